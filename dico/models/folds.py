"""Maps of joined towers that have not seen an image, for rewards on training images.

An evaluator remembers the images that it learnt from: of a quarter of 653 photographs, human captions
retrieve their own with R@1 .82 to .87 where it has seen them, and .29 to .34 where it has not. A
reward by its own maps pays for what it remembers, and what a captioner learns from that does not
carry over to other images. So training
images are cut into folds, and those of a fold are rewarded by maps that learnt from the other folds
alone: cross-fitting (Chernozhukov et al. 2018, arXiv 1608.00060), as stacking has its out-of-fold
predictions (Wolpert 1992).

G sets of maps: one for each fold, and last the evaluator's own, which has not seen images that are
added later. N images, M images of one set, K candidates, S width of a pooled text, E embedding.
"""

import functools
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from dico.errors import DataError
from dico.models.files import read_tensors, save_weights

FILE = "folds.safetensors"
"""In an evaluator's folder."""
_DIGEST_BYTES = 32


@dataclass(frozen=True)
class Folds:
    """What a reward needs of each set: its map of texts, and its embeddings of its images."""

    text_weights: Tensor
    """(G, E, S), float32."""
    text_biases: Tensor
    """(G, E), float32."""
    scales: Tensor
    """(G,), float32: inverse temperatures of the cosines."""
    images: Tensor
    """(2 N, E), float32, of length 1: each image by the maps of its fold, then each by the last set."""
    sets: Tensor
    """(2 N,), int64: which set made ``images``."""
    digests: Tensor
    """(N, 32), uint8: SHA-256 of each image's file."""

    @functools.cached_property
    def _images(self) -> list[Tensor]:
        """Of each set (M, E): its images'."""
        return [self.images[self.sets == which] for which in range(len(self.scales))]

    @functools.cached_property
    def _places(self) -> dict[str, tuple[int, int]]:
        """Of each image by its digest: its fold, and its place among the images of that."""
        seen, places = [0] * len(self.scales), {}
        own = self.sets[: len(self.digests)].tolist()  # (N,)
        for digest, fold in zip(self.digests.numpy(force=True), own, strict=True):
            places[digest.tobytes().hex()] = fold, seen[fold]
            seen[fold] += 1
        return places

    def knows(self, sha256: str) -> bool:
        """Whether an image is of a fold; the evaluator's own maps have not seen any other."""
        return sha256 in self._places

    def log_retrieval(self, sha256: str, texts: Tensor, image: Tensor | None = None) -> Tensor:
        """Log p(image | caption), (K,), float32 nats, among the other images of its set.

        Args:
            sha256: of the image's file.
            texts: (K, S) pooled texts of the candidates.
            image: (E,) its embedding by the evaluator's own maps, where no fold holds it.
        """
        which, place = self._places.get(sha256, (len(self.scales) - 1, -1))
        images = self._images[which]  # (M, E)
        if place < 0:
            assert image is not None
            images = torch.cat([images, image[None].to(images)])  # (M + 1, E): the last is its own
        mapped = F.linear(texts, self.text_weights[which], self.text_biases[which])  # (K, E)
        cosines = F.normalize(mapped, dim=-1) @ images.T  # (K, M)
        return torch.log_softmax(self.scales[which] * cosines, dim=-1)[:, place]

    def save(self, folder: Path) -> None:
        """Writes folds.safetensors."""
        save_weights(
            folder / FILE, {field.name: getattr(self, field.name) for field in fields(self)}
        )

    @classmethod
    def load(cls, folder: Path, device: str | torch.device = "cpu") -> "Folds":
        """Reads what `save` wrote; the folder's digests are the caller's to check.

        Raises:
            DataError: missing, or not such a file.
        """
        path = folder / FILE
        found = read_tensors(path)
        if found.keys() != {field.name for field in fields(cls)} or not _fit(found):
            raise DataError(f"{path}: not an evaluator's folds")
        return cls(**{name: value.to(device) for name, value in found.items()})


def _fit(found: dict[str, Tensor]) -> bool:
    """Whether shapes agree and each image is of a set that is there."""
    weights, images, sets = found["text_weights"], found["images"], found["sets"]
    if weights.dim() != 3:
        return False
    num_sets, embed_dim, _ = weights.shape
    num_images = len(found["digests"])
    return (
        found["text_biases"].shape == (num_sets, embed_dim)
        and found["scales"].shape == (num_sets,)
        and found["digests"].shape == (num_images, _DIGEST_BYTES)
        and images.shape == (2 * num_images, embed_dim)
        and sets.shape == (2 * num_images,)
        and bool(((sets >= 0) & (sets < num_sets)).all())
    )
