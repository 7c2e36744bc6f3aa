"""A captioner of transformers as a policy: it sees pixels; all of it is trained, or adapters alone.

With adapters the reference model is the same weights with the adapters off: no second copy.
"""

import copy
from pathlib import Path

import torch
from torch import Tensor, nn

from dico.decoding import Candidates, DecodingConfig
from dico.decoding import huggingface as decoding
from dico.errors import DataError
from dico.models.huggingface import (
    HuggingFaceCaptioner,
    HuggingFaceTokenizer,
    Memory,
    add_adapters,
    has_adapters,
    save,
    without_adapters,
)
from dico.policy.protocol import Images, Preprocess, ReferenceModel


class HuggingFacePolicy:
    """A `HuggingFaceCaptioner` behind the protocol `Policy`, where each member is described."""

    architecture = "huggingface"

    def __init__(self, captioner: HuggingFaceCaptioner) -> None:
        self.captioner = captioner
        self.pad_id, self.max_tokens = captioner.pad_id, captioner.max_tokens

    @property
    def module(self) -> nn.Module:
        return self.captioner

    @property
    def trained(self) -> nn.Module:
        if not has_adapters(self.captioner.model):
            return self.captioner.model  # type: ignore[no-any-return]
        named = self.captioner.model.named_parameters()
        adapters = {name.replace(".", "/"): p for name, p in named if p.requires_grad}
        return nn.ParameterDict(adapters)

    @property
    def tokenizer(self) -> HuggingFaceTokenizer:
        if self.captioner.tokenizer is None:
            raise DataError("captioner: its folder has no tokenizer, so its ids cannot be read")
        return self.captioner.tokenizer

    @property
    def preprocess(self) -> Preprocess:
        return self.captioner.pixels  # type: ignore[no-any-return]

    def begin_training(self, seed: int) -> None:
        model, settings = self.captioner.model, self.captioner.settings
        if not settings.lora_rank:
            model.requires_grad_(True)
            self.captioner.image_encoder.requires_grad_(not settings.freeze_image_encoder)
        elif not has_adapters(model):
            torch.manual_seed(seed)
            add_adapters(model, settings, self.captioner.language_model)
            self.captioner.train(self.captioner.training)

    def reference_model(self) -> ReferenceModel:
        if has_adapters(self.captioner.model):
            return _AdaptersOff(self.captioner)
        frozen = copy.deepcopy(self.captioner).requires_grad_(False).eval()
        return HuggingFacePolicy(frozen)

    def encode(self, images: Images) -> Memory:
        return self.captioner.encode(images)

    def caption_logits(self, memory: Memory, tokens: Tensor) -> tuple[Tensor, Tensor]:
        return self.captioner.caption_logits(memory, tokens)

    def score(self, memory: Memory, tokens: Tensor) -> Tensor:
        return self.captioner.score_candidates(memory, tokens)

    def search(self, memory: Memory, config: DecodingConfig) -> Candidates:
        return decoding.search(self.captioner, memory, config)

    def greedy(self, memory: Memory, config: DecodingConfig) -> Candidates:
        return decoding.greedy(self.captioner, memory, config)

    def sample(
        self,
        memory: Memory,
        config: DecodingConfig,
        generator: torch.Generator,
        temperature: float = 1.0,
    ) -> Candidates:
        return decoding.sample(self.captioner, memory, config, generator, temperature)

    def save(self, folder: str | Path) -> None:
        save(self.captioner, folder)


class _AdaptersOff:
    """The weights of a captioner in training without its adapters: what it started from."""

    def __init__(self, captioner: HuggingFaceCaptioner) -> None:
        self._captioner = captioner

    @torch.no_grad()
    def encode(self, images: Images) -> Memory:
        with without_adapters(self._captioner.model):
            return self._captioner.encode(images)

    @torch.no_grad()
    def score(self, memory: Memory, tokens: Tensor) -> Tensor:
        with without_adapters(self._captioner.model):
            return self._captioner.score_candidates(memory, tokens)
