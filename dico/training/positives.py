"""Positives of contrastive training: another view of an image, another caption of it.

Positives of the dataset's own where it brings any, as PAC has them (Sarto et al. 2023, arXiv
2303.12112, section 3); else a crop of the image and another of its human captions.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dico.data.manifest import Record
from dico.models.tokenizer import Tokenizer
from dico.training.determinism import step_seed
from dico.training.pixel_cache import PixelCache, random_crops


def all_captions(records: Sequence[Record]) -> list[str]:
    """Human captions and added positives of images, one list."""
    return [text for r in records for text in (*r.captions, *r.positive_captions)]


def learn_vocabulary(records: Sequence[Record], vocab_size: int) -> Tokenizer:
    """A tokenizer of the captions that training sees."""
    return Tokenizer.train(all_captions(records), vocab_size)


def other_caption(record: Record, caption: str, rng: np.random.Generator) -> str:
    """A paraphrase where the dataset brings one, else another human caption of the image."""
    others = record.positive_captions or [c for c in record.captions if c != caption]
    return str(rng.choice(others)) if len(others) else caption


def other_images(
    records: Sequence[Record],
    pixel_cache: PixelCache,
    seed: int,
    draw: int,
    rng: np.random.Generator,
) -> Tensor:
    """Pixels (B, 3, H, W) of another image of what each shows, or of a crop of it."""
    uris = [str(rng.choice(r.positive_uris)) if r.positive_uris else r.uri for r in records]
    pixels: Tensor = pixel_cache.pixels(uris)
    own = [i for i, record in enumerate(records) if not record.positive_uris]
    if own:
        generator = torch.Generator().manual_seed(step_seed(seed, draw, "crops"))
        pixels[own] = random_crops(pixels[own], generator)
    return pixels
