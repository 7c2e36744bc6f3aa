"""Captions of many pictures by beam search: from stored features, in batches."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from dico.data.features import FeatureStore
from dico.data.images import load_image
from dico.decoding import DecodingConfig, beam_search
from dico.errors import DataError
from dico.models.captioner import Captioner
from dico.models.evaluator import Evaluator
from dico.models.tokenizer import Tokenizer


class Caption(NamedTuple):
    """The best caption of one picture."""

    text: str
    """Lower-case words, single spaces."""
    logp: float
    """Sum of the tokens' log-probabilities, EOS included."""


def tokenizer_of(captioner: Captioner) -> Tokenizer:
    """The captioner's vocabulary.

    Raises:
        DataError: it was saved without one.
    """
    if captioner.tokenizer is None:
        raise DataError("captioner: it has no tokenizer/ folder, so its ids cannot be read")
    return captioner.tokenizer


def stored_tokens(features: FeatureStore, keys: Sequence[str], device: torch.device) -> Tensor:
    """Image tokens (B, P, F), float32, of pictures named by the SHA-256 of their files."""
    return torch.from_numpy(features.read(keys, "tokens")).to(device).float()


def stored_embeddings(features: FeatureStore, keys: Sequence[str], device: torch.device) -> Tensor:
    """The evaluator's image embeddings (B, E), float32, of pictures named by their SHA-256."""
    return torch.from_numpy(features.read(keys, "pac_embedding")).to(device).float()


@torch.no_grad()
def caption_features(
    captioner: Captioner, features: Tensor, config: DecodingConfig
) -> list[Caption]:
    """The best caption of each picture, from its image tokens (B, P, F); in eval mode."""
    found = beam_search(captioner, captioner.encode(features), config)
    texts = tokenizer_of(captioner).decode_batch(found.tokens[:, 0])
    return [
        Caption(text, logp) for text, logp in zip(texts, found.logps[:, 0].tolist(), strict=True)
    ]


def caption_stored(
    captioner: Captioner,
    features: FeatureStore,
    keys: Sequence[str],
    config: DecodingConfig,
    batch_size: int = 64,
) -> Iterator[Caption]:
    """Captions of stored pictures in the order of ``keys``, ``batch_size`` at a time."""
    device = next(captioner.parameters()).device
    for start in range(0, len(keys), batch_size):
        batch = keys[start : start + batch_size]
        yield from caption_features(captioner, stored_tokens(features, batch, device), config)


def caption_pictures(
    captioner: Captioner,
    tower: Evaluator,
    uris: Sequence[str],
    config: DecodingConfig,
    batch_size: int = 64,
) -> Iterator[Caption]:
    """Captions of picture files in the order of ``uris``, through the captioner's vision tower."""
    for start in range(0, len(uris), batch_size):
        pictures = [load_image(uri) for uri in uris[start : start + batch_size]]
        pixels = torch.stack([tower.preprocess(picture) for picture in pictures])
        yield from caption_features(captioner, tower.image_tokens(pixels)[0].float(), config)
