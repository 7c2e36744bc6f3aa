"""Which test images a page shows, and the images themselves as data URIs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dico.data.manifest import Record, read_manifest
from dico.evaluation.evaluate import read_per_image
from dico.evaluation.systems import BASELINE, CANDIDATE, CHAMPION
from dico.images.load import load_validated
from dico.pages.thumbnails import is_tiny, thumbnail

THUMBNAIL_PX = 288


@dataclass(frozen=True, slots=True)
class ScoredCaption:
    """One system's caption of one image."""

    text: str
    """The caption."""

    scores: Mapping[str, float]
    """Metric to score."""

    false_statements: str | None = None
    """What it says that is not so; None where no facts are known."""


@dataclass(frozen=True, slots=True)
class ShownImage:
    """A test image with what people and systems say about it."""

    image_id: str
    """Its name in the dataset."""

    source: str
    """The image as a data URI."""

    pixelated: bool
    """Whether it is so small that its pixels should stay sharp when enlarged."""

    references: tuple[str, ...]
    """Human captions."""

    captions: Mapping[str, ScoredCaption]
    """System to caption."""

    gain: float
    """The candidate's reward minus that of its cross-entropy start."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The images of a page."""

    sample: tuple[ShownImage, ...]
    """Spread evenly over the test split, chosen without regard to scores."""

    gained: tuple[ShownImage, ...]
    """Those whose reward rose most."""

    lost: tuple[ShownImage, ...]
    """Those whose reward fell most, or rose least."""


def select_images(
    evaluation: Path, manifest: Path, reward: str, num_sample: int = 12, num_extremes: int = 8
) -> Selection:
    """Chooses images by an evaluation's scores and loads them by the manifest."""
    rows = _read_rows(evaluation)
    records = {record.image_id: record for record in read_manifest(manifest)}
    gains = {
        image_id: systems[CANDIDATE].scores.get(reward, 0.0)
        - systems[BASELINE].scores.get(reward, 0.0)
        for image_id, systems in rows.items()
        if image_id in records and {CANDIDATE, BASELINE} <= systems.keys()
    }
    ordered = sorted(gains, key=lambda image_id: (gains[image_id], image_id))
    in_file_order = list(gains)
    stride = max(1, len(in_file_order) // num_sample)

    def load(image_ids: list[str]) -> tuple[ShownImage, ...]:
        return tuple(_load(records[i], rows[i], gains[i]) for i in image_ids)

    return Selection(
        load(in_file_order[::stride][:num_sample]),
        load(ordered[::-1][:num_extremes]),
        load(ordered[:num_extremes]),
    )


def _load(record: Record, captions: Mapping[str, ScoredCaption], gain: float) -> ShownImage:
    image = load_validated(record.uri)
    source, tiny = thumbnail(image, THUMBNAIL_PX), is_tiny(image)
    shown = {name: captions[name] for name in (BASELINE, CANDIDATE, CHAMPION) if name in captions}
    return ShownImage(record.image_id, source, tiny, record.captions, shown, gain)


def _read_rows(evaluation: Path) -> dict[str, dict[str, ScoredCaption]]:
    """Image to system to caption, in the file's order."""
    rows: dict[str, dict[str, ScoredCaption]] = {}
    for row in read_per_image(evaluation):
        scores = {key: value for key, value in row.items() if isinstance(value, float)}
        rows.setdefault(row["image_id"], {})[row["system"]] = ScoredCaption(
            row["caption"], scores, row.get("false_statements")
        )
    return rows
