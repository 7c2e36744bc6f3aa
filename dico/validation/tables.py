"""The two tables that are judged: one row per image, and one row for the whole dataset."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from dico.data.manifest import SPLITS
from dico.validation.findings import KINDS
from dico.validation.outcome import Outcome
from dico.validation.scan import Scan

TEXT_COLUMNS = ("image_id", "uri", "sha256", "captions", "num_bytes")
NUMBER_COLUMNS = (
    "width_px",
    "height_px",
    "aspect_ratio",
    "num_captions",
    "num_words",
    "set_aside",
    "split",
)
IMAGE_COLUMNS = (*TEXT_COLUMNS, *NUMBER_COLUMNS)


def image_frame(outcome: Outcome, scan: Scan, suite: list[dict[str, Any]]) -> Any:
    """A pandas frame with the columns that the suite names, and no others."""
    import pandas as pd

    wanted, none_found = _columns_of(suite), np.zeros(outcome.num_rows, np.int8)
    columns = {name: values for name, values in _numbers(outcome).items() if name in wanted}
    for code in KINDS:
        if code in wanted:
            counts = outcome.counts.get(code)
            columns[code] = none_found if counts is None else counts
    texts = [name for name in TEXT_COLUMNS if name in wanted]
    frame = pd.DataFrame(columns, index=range(outcome.num_rows), copy=False)
    for name in texts:
        values = [row[name] for batch in scan.batches([name]) for row in batch]
        frame[name] = ["\n".join(v) for v in values] if name == "captions" else values
    return frame


def dataset_numbers(outcome: Outcome) -> dict[str, float]:
    """Numbers about the whole dataset; each may be bounded in the thresholds file."""
    kept = ~outcome.set_aside
    num_usable = int(np.count_nonzero(kept))
    num_captions = int(outcome.num_captions[kept].sum())
    num_faulty = outcome.num_rows - num_usable - outcome.num_excluded
    numbers: dict[str, float] = {
        "num_rows": outcome.num_rows,
        "num_usable": num_usable,
        "num_set_aside": outcome.num_rows - num_usable,
        "num_excluded": outcome.num_excluded,
        "share_set_aside": num_faulty / max(1, outcome.num_rows),
        "num_captions": num_captions,
        "captions_per_image": num_captions / max(1, num_usable),
        "words_per_caption": int(outcome.num_words[kept].sum()) / max(1, num_captions),
    }
    for index, name in enumerate(SPLITS):
        numbers[f"total_{name}"] = int(np.count_nonzero(outcome.splits == index))
        numbers[f"num_{name}"] = int(np.count_nonzero(kept & (outcome.splits == index)))
    return numbers


def frame_of_numbers(numbers: Mapping[str, float]) -> Any:
    """A pandas frame of one row."""
    import pandas as pd

    return pd.DataFrame({name: [value] for name, value in numbers.items()})


def _numbers(outcome: Outcome) -> dict[str, Any]:
    width, height = outcome.sizes[:, 0], outcome.sizes[:, 1]
    short = np.maximum(1, np.minimum(width, height))
    return {
        "width_px": width,
        "height_px": height,
        "aspect_ratio": (np.maximum(width, height) / short).astype(np.float32),
        "num_captions": outcome.num_captions,
        "num_words": outcome.num_words,
        "set_aside": outcome.set_aside,
        "split": np.array([*SPLITS, ""], dtype=object)[outcome.splits],
    }


def _columns_of(suite: list[dict[str, Any]]) -> set[str]:
    """Every column that an expectation names."""
    names: set[str] = set()
    for one in suite:
        kwargs = one.get("kwargs", {})
        names |= {v for k, v in kwargs.items() if k.startswith("column") and isinstance(v, str)}
        for key in ("column_list", "column_set"):
            names |= {str(v) for v in kwargs.get(key, [])}
    return names
