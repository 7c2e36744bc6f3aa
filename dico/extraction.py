"""Features of pictures by a frozen tower: image tokens for the captioner, embeddings for rewards.

Moratelli et al. 2024 (arXiv 2408.14547), section 4: the tokens after the tower's last block, before
its final norm. Each picture is seen once; pictures that the store has already are passed over.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from dico.config_schema import check
from dico.data.features import FeatureSpec, FeatureWriter
from dico.data.images import load_image
from dico.data.manifest import Record
from dico.progress import progress

if TYPE_CHECKING:
    from torch import Tensor

    from dico.models.evaluator import Evaluator


@dataclasses.dataclass(frozen=True)
class FeaturesConfig:
    """Which features are kept, and how they are computed."""

    tower: Literal["clip", "pac"] = "clip"
    """Weights of the vision tower that the captioner sees through: base CLIP, as in the paper, or
    the evaluator's own."""
    dtype: Literal["float16", "float32"] = "float16"
    """Stored type of the image tokens."""
    batch_size: int = 128
    """Pictures in one pass of the tower."""

    def __post_init__(self) -> None:
        """Checks the ranges."""
        check(self.batch_size >= 1, "batch_size", self.batch_size, "must be at least 1")


def feature_spec(clip: Evaluator, pac: Evaluator, config: FeaturesConfig) -> FeatureSpec:
    """What a row of the store is: tokens (P, F) of the tower, and both embeddings (E,)."""
    vision, embed_dim = clip.config.clip.vision_cfg, clip.config.clip.embed_dim
    return FeatureSpec(
        tower_digest=f"{config.tower} of {clip.digest} {pac.digest}",
        arrays={
            "tokens": ((vision.num_tokens, vision.token_width), config.dtype),
            "clip_embedding": ((embed_dim,), "float32"),
            "pac_embedding": ((embed_dim,), "float32"),
        },
    )


def extract(
    records: Sequence[Record],
    clip: Evaluator,
    pac: Evaluator,
    writer: FeatureWriter,
    config: FeaturesConfig,
) -> int:
    """Adds the features of all pictures that ``writer`` lacks; returns how many were added."""
    uris = {record.sha256: record.uri for record in records}
    missing = writer.missing(list(uris))
    writer.require_space(len(missing))
    with progress("features", total=len(missing), unit="picture") as bar:
        for start in range(0, len(missing), config.batch_size):
            keys = missing[start : start + config.batch_size]
            rows = _features([uris[key] for key in keys], clip, pac, config)
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
    uris: Sequence[str], clip: Evaluator, pac: Evaluator, config: FeaturesConfig
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Tokens (P, F) and both embeddings (E,) of each picture."""
    import torch

    pixels = torch.stack([clip.preprocess(load_image(uri)) for uri in uris])
    tower, other = (clip, pac) if config.tower == "clip" else (pac, clip)
    tokens, own = tower.image_tokens(pixels)
    embeddings = {config.tower: own, "pac" if tower is clip else "clip": other.embed_images(pixels)}
    return zip(tokens.float().cpu(), embeddings["clip"].cpu(), embeddings["pac"].cpu(), strict=True)
