"""Drift of a dataset from the one that a model was trained on.

The population stability index of a number with shares p (baseline) and q (now) by decile of the
baseline is sum((q - p) ln(q / p)): below .1 nothing moved, above .25 much did.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dico.data.manifest import iter_manifest

MAX_WORDS = 50_000
BOUNDS: dict[str, dict[str, float]] = {
    "drift_words_per_caption": {"max": 0.5},
    "drift_captions_per_image": {"max": 0.5},
    "drift_pixels": {"max": 0.5},
    "drift_aspect_ratio": {"max": 0.5},
    "drift_new_words": {"max": 0.3},
    "num_baseline_test_in_train": {"max": 0},
}


@dataclass(slots=True)
class Profile:
    """What of a manifest is compared."""

    columns: dict[str, list[float]] = field(default_factory=dict)
    words: Counter[str] = field(default_factory=Counter)
    images: dict[str, set[bytes]] = field(default_factory=dict)


def measure_drift(baseline: str, manifest: str | Path) -> dict[str, float]:
    """Numbers of drift between two manifests; their limits are `BOUNDS`."""
    old, new = _profile(baseline), _profile(manifest)
    numbers = {
        f"drift_{name}": stability_index(np.asarray(old.columns[name]), np.asarray(values))
        for name, values in new.columns.items()
    }
    total = max(1, sum(new.words.values()))
    known = {word for word, _ in old.words.most_common(MAX_WORDS)}
    unknown = sum(count for word, count in new.words.items() if word not in known)
    numbers["drift_new_words"] = unknown / total
    everything = set().union(*old.images.values())
    mine = set().union(*new.images.values())
    numbers["share_in_baseline"] = len(mine & everything) / max(1, len(mine))
    leaked = old.images.get("test", set()) & new.images.get("train", set())
    numbers["num_baseline_test_in_train"] = len(leaked)
    return numbers


def stability_index(
    old: npt.NDArray[np.float64], new: npt.NDArray[np.float64], num_bins: int = 10
) -> float:
    """Population stability index of ``new`` against ``old``, 0 for equal distributions."""
    if not len(old) or not len(new):
        return 0.0
    edges = np.unique(np.quantile(old, np.linspace(0, 1, num_bins + 1)[1:-1]))
    shares = []
    for values in (old, new):
        counts = np.bincount(np.searchsorted(edges, values, "left"), minlength=len(edges) + 1)
        shares.append((counts + 0.5) / (len(values) + 0.5 * len(counts)))
    p, q = shares
    return float(((q - p) * np.log(q / p)).sum())


def _profile(manifest: str | Path) -> Profile:
    profile = Profile()
    names = ("words_per_caption", "captions_per_image", "pixels", "aspect_ratio")
    columns: dict[str, list[float]] = {name: [] for name in names}
    for index, record in enumerate(iter_manifest(manifest)):
        words = [word for caption in record.captions for word in caption.lower().split()]
        columns["words_per_caption"].append(len(words) / max(1, len(record.captions)))
        columns["captions_per_image"].append(len(record.captions))
        columns["pixels"].append(record.width_px * record.height_px)
        columns["aspect_ratio"].append(record.width_px / max(1, record.height_px))
        profile.words.update(words)
        if record.sha256:
            images = profile.images.setdefault(record.split, set())
            images.add(bytes.fromhex(record.sha256)[:16])
        if index % 10_000 == 0 and len(profile.words) > 4 * MAX_WORDS:
            profile.words = Counter(dict(profile.words.most_common(2 * MAX_WORDS)))
    profile.columns = columns
    return profile
