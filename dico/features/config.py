"""Settings of feature extraction."""

import dataclasses
from typing import Literal

from dico.configuration.ranges import PositiveInt, Ranged


@dataclasses.dataclass(frozen=True)
class FeaturesConfig(Ranged):
    """Which features are kept, and how they are computed."""

    tower: Literal["clip", "pac", "tower"] = "clip"
    """The vision tower that the captioner sees through: base CLIP's, the evaluator's own, or
    ``tower``, a third one that the evaluator's folder holds (the paper's ViT-L/14)."""
    dtype: Literal["float16", "float32"] = "float16"
    """Stored type of the image tokens."""
    batch_size: PositiveInt = 128
    """Images in one pass of the tower."""
    preprocessing: Literal["exact", "fast"] = "exact"
    """exact: as Pillow decodes and resizes. fast: JPEGs by simplejpeg, three times faster, a byte in
    300 one step off; such features have a store of their own."""
