"""Settings of validation, and its thresholds file."""

from dataclasses import dataclass
from typing import Literal

from dico.configuration.ranges import Fraction, NonNegativeInt, PositiveFloat, PositiveInt, Ranged
from dico.configuration.schema import check
from dico.images.limits import MAX_BYTES, MAX_PIXELS


@dataclass(frozen=True)
class ValidationConfig(Ranged):
    """How a dataset is read, checked and judged."""

    format: str = ""
    """Name of the dataset's format (see docs/data.md); empty means by content."""
    image_column: str = ""
    """Column of a table, or key of a row, that names the image; empty means the known names."""
    caption_column: str = ""
    """Column of the captions, several with commas; empty means the known names."""
    where: str = ""
    """Rows whose captions count, as language=en; several conditions with commas; empty means all."""
    mode: Literal["fail", "quarantine"] = "fail"
    """fail: any error fails the dataset. quarantine: exclude up to the budget and continue."""
    quarantine_budget: Fraction = 0.02
    """Largest share of images that may be excluded in quarantine mode, 0 to 1."""
    thresholds: str = ""
    """Path of a JSON file with allowed shares and own expectations; empty means the defaults."""
    baseline: str = ""
    """Manifest of the data a model was trained on, to measure drift from; empty means none."""
    facts: str = ""
    """File of what the images show (see docs/metrics.md), a path or s3:// URI; empty means
    facts.jsonl beside the dataset's first file, where there is one."""
    image_check: Literal["decode", "skip"] = "decode"
    """skip: tables and captions only, no image is opened."""
    cache: str = ""
    """Folder that keeps what was seen in images, for resuming and for the next run; empty means
    the report's folder."""
    num_workers: NonNegativeInt = 0
    """Decoding processes; 0 means one per core."""
    max_pixels: PositiveInt = MAX_PIXELS
    """Largest width x height of an image."""
    max_image_bytes: PositiveInt = MAX_BYTES
    """Largest image file, bytes."""
    max_image_seconds: PositiveFloat = 5.0
    """Deadline for decoding one image, seconds."""
    min_side_px: PositiveInt = 32
    """Smallest width and height of an image, pixels."""
    min_captions: NonNegativeInt = 1
    """Fewest usable captions per image."""
    max_caption_chars: PositiveInt = 1_000
    """Longest caption, characters."""
    max_caption_words: PositiveInt = 38
    """Words above which a caption is flagged, because a captioner may cut it: the preset with the
    fewest positions holds 38 between begin and end."""
    near_duplicates: bool = True
    """Whether to look for nearly identical images."""
    near_duplicate_likeness: Fraction = 0.8
    """Correlation of thumbnails from which two images count as nearly identical, 0 to 1."""
    validation_share: Fraction = 0.1
    """Share of images for validation where the dataset has no splits, 0 to 1."""
    test_share: Fraction = 0.1
    """Share of images for test where the dataset has no splits, 0 to 1."""
    max_examples: NonNegativeInt = 8
    """Examples of each finding shown in the report."""

    def __post_init__(self) -> None:
        super().__post_init__()
        share = self.validation_share + self.test_share
        check(share < 1.0, "test_share", share, "validation_share + test_share must be below 1")
