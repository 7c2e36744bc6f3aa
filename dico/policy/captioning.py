"""Captions of many images by beam search, in batches: from stored features or from pixels."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from dico.decoding import DecodingConfig
from dico.errors import DataError
from dico.features.store import FeatureStore
from dico.images.load import load_validated
from dico.models.captioner import Captioner
from dico.models.evaluator import Evaluator, Weights
from dico.models.huggingface.inputs import batch_of
from dico.policy import Policy, policy_of
from dico.policy.protocol import Images


class Caption(NamedTuple):
    """One caption of an image."""

    text: str
    """Single spaces; lower-case words from the paper's captioner."""
    logp: float
    """Sum of the tokens' log-probabilities, EOS included."""


def stored_tokens(features: FeatureStore, keys: Sequence[str], device: torch.device) -> Tensor:
    """Image tokens (B, P, F), float32, of images named by the SHA-256 of their files."""
    return torch.from_numpy(features.read(keys, "tokens")).to(device).float()


def stored_embeddings(
    features: FeatureStore, keys: Sequence[str], weights: Weights, device: torch.device
) -> Tensor:
    """Image embeddings (B, E), float32, by the evaluator's ``pac`` or ``clip`` weights."""
    return torch.from_numpy(features.read(keys, f"{weights}_embedding")).to(device).float()


def policy_inputs(policy: Policy, tower: Evaluator | None, images: Sequence[Image.Image]) -> Images:
    """What ``policy.encode`` takes of images: its own pixels, or the tower's image tokens.

    Raises:
        DataError: it needs a tower, and there is none.
    """
    device = next(policy.module.parameters()).device
    if policy.preprocess is not None:
        return batch_of([policy.preprocess(image) for image in images]).to(device)
    if tower is None:
        raise DataError("captioner: it sees through a vision tower, and none is given")
    pixels = torch.stack([tower.preprocess(image) for image in images])
    return tower.image_tokens(pixels)[0].float().to(device)


@torch.no_grad()
def caption_inputs(
    captioner: Captioner | Policy, images: Images, config: DecodingConfig, num_captions: int = 1
) -> list[list[Caption]]:
    """Captions of each image, the likeliest first, from what the captioner encodes; in eval mode.

    Args:
        captioner: in eval mode.
        images: what `policy_inputs` makes, or stored image tokens.
        config: the search.
        num_captions: captions of each image; at most the search's beams.
    """
    policy = policy_of(captioner)
    found = policy.search(policy.encode(images), config)
    tokens, logps = found.tokens[:, :num_captions], found.logps[:, :num_captions]
    texts = policy.tokenizer.decode_batch(tokens.flatten(0, 1))  # (B, N, T) -> (B * N, T)
    captions = [Caption(*pair) for pair in zip(texts, logps.flatten().tolist(), strict=True)]
    return [captions[i : i + tokens.shape[1]] for i in range(0, len(captions), tokens.shape[1])]


def caption_features(
    captioner: Captioner | Policy, images: Images, config: DecodingConfig
) -> list[Caption]:
    """The best caption of each image, as `caption_inputs` finds it."""
    return [best for (best,) in caption_inputs(captioner, images, config)]


def caption_stored(
    captioner: Captioner | Policy,
    features: FeatureStore,
    keys: Sequence[str],
    config: DecodingConfig,
    batch_size: int = 64,
) -> Iterator[Caption]:
    """Captions of stored images in the order of ``keys``, ``batch_size`` at a time."""
    policy = policy_of(captioner)
    device = next(policy.module.parameters()).device
    for start in range(0, len(keys), batch_size):
        batch = keys[start : start + batch_size]
        yield from caption_features(policy, stored_tokens(features, batch, device), config)


def caption_images(
    captioner: Captioner | Policy,
    tower: Evaluator | None,
    uris: Sequence[str],
    config: DecodingConfig,
    batch_size: int = 64,
) -> Iterator[Caption]:
    """Captions of image files in the order of ``uris``.

    Args:
        captioner: in eval mode.
        tower: the vision tower that the captioner sees through; none where it sees pixels itself.
        uris: where the images are.
        config: the search.
        batch_size: images at a time.
    """
    policy = policy_of(captioner)
    for start in range(0, len(uris), batch_size):
        images = [load_validated(uri) for uri in uris[start : start + batch_size]]
        yield from caption_features(policy, policy_inputs(policy, tower, images), config)
