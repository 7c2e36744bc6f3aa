"""The paper's captioner as a policy: it reads stored image tokens, and all of it is trained."""

import copy
from pathlib import Path

import torch
from torch import Tensor, nn

from dico.decoding import (
    Candidates,
    DecodingConfig,
    beam_search,
    diverse_beam_search,
    greedy,
    sample,
)
from dico.errors import DataError
from dico.models.captioner import Captioner
from dico.models.packed import forget_packed
from dico.models.scoring import caption_logits, score_candidates
from dico.models.tokenizer import Tokenizer
from dico.policy.protocol import ReferenceModel


class PaperPolicy:
    """A `Captioner` behind the protocol `Policy`, where each member is described."""

    architecture = "paper"
    preprocess = None

    def __init__(self, captioner: Captioner) -> None:
        self.captioner = captioner
        self.pad_id = captioner.pad_id
        self.max_tokens = captioner.config.num_text_positions

    @property
    def module(self) -> nn.Module:
        return self.captioner

    @property
    def trained(self) -> nn.Module:
        return self.captioner

    @property
    def tokenizer(self) -> Tokenizer:
        if self.captioner.tokenizer is None:
            raise DataError("captioner: it has no tokenizer/ folder, so its ids cannot be read")
        return self.captioner.tokenizer

    def begin_training(self, seed: int) -> None:  # noqa: ARG002
        self.captioner.requires_grad_(True)

    def reference_model(self) -> ReferenceModel:
        return _Start(copy.deepcopy(self.captioner).requires_grad_(False).eval())

    def encode(self, images: Tensor) -> Tensor:
        return self.captioner.encode_kv(images)

    def caption_logits(self, memory: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        return caption_logits(self.captioner, memory, tokens)

    def score(self, memory: Tensor, tokens: Tensor) -> Tensor:
        logps = score_candidates(self.captioner, memory, tokens)
        if logps.requires_grad:  # weights are about to change: free their packed copies
            forget_packed(self.captioner)
        return logps

    def search(self, memory: Tensor, config: DecodingConfig) -> Candidates:
        find = diverse_beam_search if config.num_groups > 1 else beam_search
        return find(self.captioner, memory, config)

    def greedy(self, memory: Tensor, config: DecodingConfig) -> Candidates:
        return greedy(self.captioner, memory, config)

    def sample(
        self,
        memory: Tensor,
        config: DecodingConfig,
        generator: torch.Generator,
        temperature: float = 1.0,
    ) -> Candidates:
        return sample(self.captioner, memory, config, generator, temperature)

    def save(self, folder: str | Path) -> None:
        self.captioner.save(folder)


class _Start:
    """A frozen captioner; what it makes of an image is small, since it may be kept."""

    def __init__(self, captioner: Captioner) -> None:
        self._captioner = captioner

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        return self._captioner.encode(images)

    @torch.no_grad()
    def score(self, memory: Tensor, tokens: Tensor) -> Tensor:
        return score_candidates(self._captioner, memory, tokens)
