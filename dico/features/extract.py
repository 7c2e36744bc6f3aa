"""Features of images by a frozen tower: image tokens for the captioner, embeddings for rewards.

Moratelli et al. 2024 (arXiv 2408.14547), section 4: the tokens after the tower's last block, before
its final norm. Each image is seen once; images that the store has already are passed over.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from dico.data.manifest import Record
from dico.features.config import FeaturesConfig
from dico.features.store import FeatureSpec, FeatureWriter
from dico.images.load import load_image_bytes, load_validated, read_image
from dico.process.progress import progress

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from dico.models.evaluator import Evaluator


@dataclasses.dataclass(frozen=True)
class Towers:
    """The models of an evaluator's folder that look at images."""

    tower: Evaluator
    """Gives the captioner its image tokens."""
    clip: Evaluator
    """Base CLIP, whose embeddings serve CLIP-S."""
    pac: Evaluator
    """The tuned evaluator, whose embeddings serve PAC-S."""

    @classmethod
    def load(
        cls, folder: str, config: FeaturesConfig, device: str | torch.device = "cpu"
    ) -> Towers:
        """Reads an evaluator's folder; see `Evaluator.load` for what is raised."""
        from dico.models.evaluator import Evaluator

        clip = Evaluator.load(folder, "clip", device)
        pac = Evaluator.load(folder, "pac", device) if clip.config.tuned else clip
        known = {"clip": clip, "pac": pac}
        tower = known.get(config.tower) or Evaluator.load(folder, config.tower, device)
        return cls(tower, clip, pac)


def feature_spec(towers: Towers, config: FeaturesConfig) -> FeatureSpec:
    """What a row of the store is: tokens (P, F) of the tower, and both embeddings (E,)."""
    vision = towers.tower.config.clip
    digests = (towers.tower.digest, towers.clip.digest, towers.pac.digest)
    return FeatureSpec(
        tower_digest=" ".join(digests) + (" fast" if config.preprocessing == "fast" else ""),
        arrays={
            "tokens": ((vision.num_tokens, vision.token_width), config.dtype),
            "clip_embedding": ((towers.clip.config.clip.embed_dim,), "float32"),
            "pac_embedding": ((towers.pac.config.clip.embed_dim,), "float32"),
        },
    )


def extract(
    records: Sequence[Record], towers: Towers, writer: FeatureWriter, config: FeaturesConfig
) -> int:
    """Adds the features of all images that ``writer`` lacks; returns how many were added."""
    uris = {record.sha256: record.uri for record in records}
    missing = writer.missing(list(uris))
    writer.require_space(len(missing))
    with progress("features", total=len(missing), unit="image") as bar:
        for start in range(0, len(missing), config.batch_size):
            keys = missing[start : start + config.batch_size]
            rows = _features(
                {key: uris[key] for key in keys}, towers, config.preprocessing == "fast"
            )
            for key, (tokens, clip_embedding, pac_embedding) in zip(keys, rows, strict=True):
                writer.add(
                    key,
                    tokens=tokens.numpy().astype(config.dtype),
                    clip_embedding=clip_embedding.numpy(),
                    pac_embedding=pac_embedding.numpy(),
                )
            bar.advance(len(keys))
    return len(missing)


def _features(
    uris: Mapping[str, str], towers: Towers, fast: bool
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Tokens (P, F) and both embeddings (E,) of each image, in one pass of each tower.

    An image is named by its digest, so that another one is never taken for it.
    """
    import torch

    if fast:
        files = {uri: read_image(uri, key) for key, uri in uris.items()}
    else:
        images = [load_validated(uri, sha256=key) for key, uri in uris.items()]

    def pixels(model: Evaluator) -> Tensor:
        if fast:
            return torch.stack([_fast_pixels(data, uri, model) for uri, data in files.items()])
        return torch.stack([model.preprocess(image) for image in images])

    tokens, own = towers.tower.image_tokens(pixels(towers.tower))
    clip, pac = (
        own if model is towers.tower else model.embed_images(pixels(model))
        for model in (towers.clip, towers.pac)
    )
    return zip(tokens.float().cpu(), clip.cpu(), pac.cpu(), strict=True)


def _fast_pixels(data: bytes, uri: str, model: Evaluator) -> Tensor:
    from dico.images.fast_square import fast_square
    from dico.images.frame import centre_square

    config = model.config
    is_plain = config.frame == centre_square(config.image_size_px, config.interpolation)
    square = (
        fast_square(data, uri, config.image_size_px, config.interpolation) if is_plain else None
    )
    if square is None:
        return model.preprocess(load_image_bytes(data, uri))
    return model.normalise(square)
