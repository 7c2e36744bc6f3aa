"""Training data of the captioner: captions of a split, and features or pixels by image."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dico.data.manifest import Record
from dico.errors import DataError
from dico.features.store import FeatureStore
from dico.images.load import load_validated
from dico.models.evaluator import Weights
from dico.policy.captioning import stored_embeddings, stored_tokens
from dico.policy.protocol import Images
from dico.training.pixel_cache import PixelCache


class CaptioningData:
    """One split: its records, their stored features, and their pixels where a bank gives them."""

    def __init__(
        self,
        records: Sequence[Record],
        features: FeatureStore,
        device: torch.device,
        pixel_cache: PixelCache | None = None,
    ) -> None:
        if not records:
            raise DataError("training: the manifest has no images in this split")
        absent = [record.image_id for record in records if record.sha256 not in features]
        if absent:
            raise DataError(
                f"{features.folder}: no features of {len(absent)} images, such as {absent[0]}; "
                "extract them from the same manifest"
            )
        self.records, self.features, self.device = records, features, device
        self.pixel_cache = pixel_cache

    def __len__(self) -> int:
        """Number of images."""
        return len(self.records)

    def keys(self, indices: Sequence[int]) -> list[str]:
        """Keys of images in the feature store."""
        return [self.records[i].sha256 for i in indices]

    def tokens(self, indices: Sequence[int]) -> Tensor:
        """Image tokens (B, P, F), float32."""
        return stored_tokens(self.features, self.keys(indices), self.device)

    def images(self, indices: Sequence[int]) -> Images:
        """What the captioner encodes: the pixel cache's images, else stored image tokens."""
        if self.pixel_cache is None:
            return self.tokens(indices)
        return self.pixel_cache.pixels([self.records[i].uri for i in indices]).to(self.device)

    def embeddings(self, indices: Sequence[int], weights: Weights) -> Tensor:
        """Image embeddings (B, E), float32, by the evaluator's ``pac`` or ``clip`` weights."""
        return stored_embeddings(self.features, self.keys(indices), weights, self.device)

    def references(self, indices: Sequence[int]) -> list[tuple[str, ...]]:
        """Human captions of each image."""
        return [self.records[i].captions for i in indices]

    def load_images(self, indices: Sequence[int]) -> list[Image.Image]:
        """The images themselves, decoded at each call."""
        return [load_validated(self.records[i].uri) for i in indices]

    def draw_captions(
        self, indices: Sequence[int], num_captions: int, rng: np.random.Generator
    ) -> list[str]:
        """``num_captions`` captions of each image, side by side; repeated only when too few."""
        drawn: list[str] = []
        for captions in self.references(indices):
            repeat = len(captions) < num_captions
            # Without repetition where enough are there, so that K captions are K lessons.
            chosen = rng.choice(len(captions), num_captions, replace=repeat)
            drawn.extend(captions[i] for i in chosen)
        return drawn
