"""Base class of transformers captioners: encode images, score captions, search.

Captions are ids BOS..EOS, PAD after, in the model's own vocabulary. BOS is the token a caption
begins with; where a prompt takes its place, BOS only marks it. PAD is an id beyond the vocabulary,
because many models have none or use EOS for it; it never reaches the model.

B images, K candidates per image, N = B * K captions, T tokens, P image tokens, D width,
V vocabulary.
"""

from abc import abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dico.errors import ConfigError
from dico.losses import token_logps
from dico.models.captioner_config import HuggingFaceConfig
from dico.models.huggingface.memory import ImageMemory
from dico.models.huggingface.pixels import pixel_config
from dico.models.huggingface.tokenizer import HuggingFaceTokenizer
from dico.models.huggingface.word_search import WordSearch

MOST_TOKENS = 1024
Memory = Tensor | ImageMemory
"""What is computed once per image: states (B, P, D), or the memory of images with prompts."""


class HuggingFaceCaptioner(nn.Module):
    """A captioner that sees pixels; made by `wrap`, `open_checkpoint` or `load`."""

    bos_id: int
    eos_ids: list[int]

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.text_config = model.config.get_text_config(decoder=True)
        self.vocab_size: int = self.text_config.vocab_size
        self.pad_id = self.vocab_size
        self.tokenizer: HuggingFaceTokenizer | None = None
        self.processor: dict[str, Any] | None = None
        self.settings = HuggingFaceConfig()
        self.files: dict[str, bytes] = {}
        self.checked: dict[str, str] = {}
        self.place = Path()  # the folder that its weights are from

    @property
    def eos_id(self) -> int:
        """The id that captions to learn from end in; a search ends at any of ``eos_ids``."""
        return self.eos_ids[0]

    @property
    def num_prompt_tokens(self) -> int:
        """Places that a prompt takes before a caption."""
        return 0

    @property
    def max_tokens(self) -> int:
        """Longest caption that fits the model's positions, BOS and EOS included."""
        config = self.text_config
        names = ("max_position_embeddings", "n_positions")
        found = [getattr(config, name) for name in names if getattr(config, name, None)]
        return min(MOST_TOKENS, *map(int, found)) - self.num_prompt_tokens

    @property
    def excluded_ids(self) -> list[int]:
        """Ids masked from selection; they still count in the softmax."""
        return []

    @cached_property
    def pixels(self) -> Any:
        """How an image becomes pixels.

        Raises:
            ConfigError: the model has no image processor, or one that is not known.
        """
        if self.processor is None:
            raise ConfigError("captioner: its folder has no preprocessor_config.json; add it")
        return pixel_config(self.processor)

    @property
    @abstractmethod
    def image_encoder(self) -> nn.Module:
        """The vision tower."""

    @property
    @abstractmethod
    def language_model(self) -> nn.Module:
        """What makes words, without the tower and what joins it: adapted unless names are given."""

    def encode(self, pixels: Any) -> Memory:
        """Image states (B, P, D), computed once per image, of pixels (B, 3, H, W)."""
        states: Tensor = self.image_encoder(pixel_values=pixels)[0]
        return states

    @abstractmethod
    def next_logits(self, states: Any, inputs: Tensor) -> Tensor:
        """Logits (N, T, V) of what follows each of ``inputs`` (N, T), with one state per caption."""

    def read_prompts(self, memory: Memory) -> Memory:
        """``memory`` with what one pass over the prompts makes, to serve search and scores."""
        return memory

    @abstractmethod
    def begin_search(self, states: Any, num_rows: int, max_tokens: int) -> WordSearch:
        """The model at work word by word, for captions of ``max_tokens`` at most; no gradient."""

    def ends(self, words: Tensor) -> Tensor:
        """Whether each of ``words`` ends a caption."""
        found = words == self.eos_ids[0]
        for other in self.eos_ids[1:]:
            found |= words == other
        return found

    def caption_logits(self, states: Any, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (M, V) and targets (M,) of the M real tokens of captions (N, T), for cross-entropy.

        The N / B captions of an image are side by side and share its states.
        """
        targets = tokens[:, 1:]
        real = targets != self.pad_id
        inputs = tokens[:, :-1].masked_fill(tokens[:, :-1] == self.pad_id, self.eos_id)
        # (B, P, D) -> (N, P, D): the N / B captions of an image stand side by side.
        repeated = states.repeat_interleave(len(tokens) // len(states), dim=0)
        return self.next_logits(repeated, inputs)[real], targets[real]

    def score_candidates(self, states: Any, tokens: Tensor) -> Tensor:
        """Log-probabilities (B, K), float32, of candidates (B, K, T); gradients as in grad mode."""
        flat = tokens.flatten(0, 1)  # (B, K, T) -> (B * K, T)
        logits, targets = self.caption_logits(states, flat)
        real = flat[:, 1:] != self.pad_id
        logps = torch.zeros(real.shape, device=real.device)
        logps = logps.masked_scatter(real, token_logps(logits, targets))  # (M,) -> (B * K, T - 1)
        return logps.sum(dim=-1).view(tokens.shape[:2])  # (B, K)
