"""Interface that training, validation and captioning need of a captioner.

B images, K candidates per image, N captions, M real tokens, T tokens, V vocabulary.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import torch
from PIL import Image
from torch import Tensor, nn

from dico.decoding import Candidates, DecodingConfig
from dico.images.frame import Frame

Seen: TypeAlias = Any
"""What a policy makes of one image: pixels (3, H, W), or the inputs that a processor makes."""
Images: TypeAlias = Any
"""A batch of B images, on a device: a tensor (B, ...), or an `InputBatch`."""
Memory: TypeAlias = Any
"""What is computed once per image, of B images: a tensor (B, ...), or an `ImageMemory`; it has
``device``, ``requires_grad``, ``detach`` and a length."""


class CaptionTokenizer(Protocol):
    """Captions to ids BOS..EOS, PAD after, and back."""

    def encode_batch(self, texts: Sequence[str], max_tokens: int) -> Tensor:
        """Ids (N, T) of captions, cut at ``max_tokens`` with their EOS kept."""

    def decode_batch(self, tokens: Tensor) -> list[str]:
        """Captions of ids (N, T), with single spaces."""


class Preprocess(Protocol):
    """How a captioner that sees pixels makes them of an image, at once or in two steps."""

    @property
    def frame(self) -> Frame:
        """The part of an image that is seen, (H, W, 3) bytes."""

    def __call__(self, image: Image.Image) -> Seen:
        """What is seen of an image."""

    def of_frames(self, frames: Sequence[Image.Image]) -> Images:
        """The batch of images that `frame` cut."""


class ReferenceModel(Protocol):
    """The start model of fine-tuning, frozen; nothing of it has a gradient."""

    def encode(self, images: Images) -> Memory:
        """As `Policy.encode`."""

    def score(self, memory: Memory, tokens: Tensor) -> Tensor:
        """As `Policy.score`."""


class Policy(Protocol):
    """A captioner that can be trained."""

    @property
    def architecture(self) -> str:
        """Name by which ``captioner.architecture`` chooses it."""

    @property
    def module(self) -> nn.Module:
        """All of the model: what is put on a device, and in training or eval mode."""

    @property
    def trained(self) -> nn.Module:
        """Holds what training changes, and nothing else: what checkpoints keep."""

    @property
    def tokenizer(self) -> CaptionTokenizer:
        """Its vocabulary.

        Raises:
            DataError: it was saved without one.
        """

    @property
    def pad_id(self) -> int:
        """Id that fills captions after EOS."""

    @property
    def max_tokens(self) -> int:
        """Longest caption it has places for, BOS and EOS included."""

    @property
    def preprocess(self) -> Preprocess | None:
        """Pixels of images; None where `encode` takes a tower's image tokens."""

    def begin_training(self, seed: int) -> None:
        """Makes what is to be trained trainable, and all else frozen; changes no output."""

    def reference_model(self) -> ReferenceModel:
        """The model as it is now, kept while this one is trained."""

    def encode(self, images: Images) -> Memory:
        """What is computed once per image, of stored image tokens or of pixels."""

    def caption_logits(self, memory: Memory, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (M, V) and targets (M,) of the real tokens of captions (N, T), for cross-entropy.

        The N / B captions of an image are side by side.
        """

    def score(self, memory: Memory, tokens: Tensor) -> Tensor:
        """Log-probabilities (B, K), float32, of candidates (B, K, T); gradients as in grad mode."""

    def search(self, memory: Memory, config: DecodingConfig) -> Candidates:
        """The K best captions of each image by beam search, in groups if asked; no gradient."""

    def greedy(self, memory: Memory, config: DecodingConfig) -> Candidates:
        """The caption (K = 1) of each image whose every token is the likeliest; no gradient."""

    def sample(
        self,
        memory: Memory,
        config: DecodingConfig,
        generator: torch.Generator,
        temperature: float = 1.0,
    ) -> Candidates:
        """K captions of each image, drawn independently, their logits divided by ``temperature``.

        No gradient.
        """

    def save(self, folder: str | Path) -> None:
        """Writes its folder, with config.json and model.safetensors; training is over then."""
