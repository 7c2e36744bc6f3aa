"""The captioner of the DiCO paper: an encoder over image tokens and a causal decoder of captions.

Moratelli et al. 2024 (arXiv 2408.14547), section 4. Encoder: linear projection, learned positions,
post-norm GELU layers (BERT's). Decoder: pre-norm gelu_new layers with cross-attention (GPT-2's),
the word table tied to the output head. Sizes come from the config. Differences: no word table and
no pooler in the encoder, whose token-type vector is part of its positions.

B images, K captions per image, N = B * K captions, T tokens, P image tokens, F feature width,
D width, H heads, V vocabulary.
"""

import dataclasses
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dico.configuration.schema import from_dict
from dico.errors import ConfigError, DataError
from dico.models.captioner_config import CaptionerConfig
from dico.models.decoder import Decoder
from dico.models.decoder_cache import DecoderCache
from dico.models.encoder import Encoder
from dico.models.files import load_weights, read_settings, save_weights, settings_text
from dico.models.skip_init import SkipInit
from dico.models.tokenizer import Tokenizer
from dico.storage import verify_digests, write_digests

FORMAT = 1
_RENAMED = {"decoder.words.weight": "decoder.token_embedding.weight"}
"""Weights of captioners that release 0.1.0 registered, by the names they had there."""
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"


class Captioner(nn.Module):
    """Image tokens to captions; made from a config with random weights, or by `load`."""

    def __init__(self, config: CaptionerConfig, tokenizer: Tokenizer | None = None) -> None:
        super().__init__()
        if tokenizer is not None and tokenizer.vocab_size != config.vocab_size:
            raise DataError(
                f"captioner: {config.vocab_size} ids in its config, "
                f"{tokenizer.vocab_size} in its tokenizer; they must be one vocabulary"
            )
        self.config, self.tokenizer = config, tokenizer
        # The last three ids of every vocabulary, as of CLIP's with a PAD after it.
        self.bos_id, self.eos_id, self.pad_id = (config.vocab_size - n for n in (3, 2, 1))
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    @property
    def max_tokens(self) -> int:
        """Longest caption that it has places for, BOS and EOS included."""
        return self.config.num_text_positions

    @property
    def excluded_ids(self) -> list[int]:
        """Ids that no search may put into a caption."""
        return [self.bos_id, self.pad_id]

    def ends(self, words: Tensor) -> Tensor:
        """Whether each of ``words`` ends a caption."""
        return words == self.eos_id

    def begin_search(self, memory: Tensor, num_rows: int, max_tokens: int) -> DecoderCache:
        """The decoder at work word by word, for ``num_rows`` captions of each image."""
        return DecoderCache(self.decoder, memory, max_nodes=num_rows * (max_tokens - 1))

    def encode(self, features: Tensor) -> Tensor:
        """Memory (B, P, D) that the decoder looks at, of image tokens (B, P, F).

        Raises:
            DataError: the captioner was made for image tokens of another width, or for fewer.
        """
        num_tokens, width = features.shape[-2:]
        most, wanted = self.config.num_image_positions, self.config.feature_width
        if num_tokens > most or width != wanted:
            raise DataError(
                f"features: at most {most} image tokens of width {wanted} fit this captioner, got "
                f"{num_tokens} of width {width}; it needs those of the tower it was made for"
            )
        memory: Tensor = self.encoder(features)
        return memory

    def encode_kv(self, features: Tensor) -> Tensor:
        """Cross-attention keys and values of all layers, computed once per image.

        Every function that takes a memory takes this in its place, (B, L, 2, H, P, D / H), so that
        what searches captions and what scores them share it; it is 2 L times as large.
        """
        images = self.decoder.cross_kv(self.encode(features))
        # L pairs of (B, H, P, D / H) -> (B, L, 2, H, P, D / H): images first, so that a search selects
        # them like any other memory.
        return torch.stack([torch.stack(image, dim=1) for image in images], dim=1)

    def logits(self, memory: Tensor, tokens: Tensor) -> Tensor:
        """Logits (N, T, V): row t says what follows ``tokens[:, : t + 1]``.

        The plain forward pass, padding and all; what trains and searches shares prefixes instead
        (`dico.models.scoring`, `begin_search`) and is tested against it.

        Args:
            memory: of `encode` or `encode_kv`.
            tokens: (B * K, T) ids, the K captions of an image side by side. The keys and values of
                an image are computed once and shared by its captions.
        """
        table = self.decoder.token_embedding
        states: Tensor = self.decoder(memory, table(tokens))  # (N, T, D)
        # Input and output embedding are one matrix, as in GPT-2: (N, T, D) @ (D, V).
        return F.linear(states, table.weight)

    def save(self, folder: str | Path) -> None:
        """Writes config.json, model.safetensors, tokenizer/ and digests.json.

        A caller that adds files calls ``dico.storage.write_digests`` again.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        text = settings_text(dataclasses.asdict(self.config), FORMAT)
        (folder / CONFIG_FILE).write_text(text, encoding="utf-8")
        save_weights(folder / WEIGHTS_FILE, self.state_dict())
        if self.tokenizer is not None:
            self.tokenizer.save(folder / "tokenizer")
        write_digests(folder)

    @classmethod
    def load(cls, folder: str | Path, device: str | torch.device = "cpu") -> "Captioner":
        """Reads what `save` wrote, checked by its digests, in eval mode.

        Raises:
            DigestError: a file is not what was written.
            DataError: a file is missing or is not what its name says.
        """
        folder = Path(folder)
        verify_digests(folder)
        config = read_config(folder / CONFIG_FILE)
        tokenizer = (
            Tokenizer.load(folder / "tokenizer") if (folder / "tokenizer").is_dir() else None
        )
        with SkipInit():  # weights are overwritten at once
            captioner = cls(config, tokenizer)
        load_weights(captioner, folder / WEIGHTS_FILE, _RENAMED)
        return captioner.to(device).eval()


def read_config(path: Path) -> CaptionerConfig:
    """Reads a captioner's config.json.

    Raises:
        DataError: missing or not such a file.
    """
    data = read_settings(path, "a captioner", FORMAT)
    try:
        return from_dict(CaptionerConfig, data, "captioner")
    except (ConfigError, TypeError) as error:
        raise DataError(f"{path}: not a captioner's config: {error}") from None
