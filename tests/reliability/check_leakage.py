"""C5: copies of test images in train are found on real photographs, and few others are reported."""

import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from dico.validation.config import ValidationConfig
from dico.validation.validate import validate
from tests.data.corruptor import COPIES
from tests.data.images import captions_of, encoded, write_rows
from tests.reliability.result import CONTROL, Result

IDS = ("C5",)
BARS = {"identical": 1.0, "re-encoded": 0.95, "resized": 0.95, "brighter": 0.95, "darker": 0.95}
MAX_FALSE_ALARMS = 0.005


def _square(image: Image.Image) -> bytes:
    """The central square."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return encoded(image.crop((left, top, left + side, top + side)), quality=90)


def _corner(image: Image.Image) -> bytes:
    """Three quarters of both sides, away from the centre."""
    return encoded(image.crop((0, 0, image.width * 3 // 4, image.height * 3 // 4)), quality=90)


KINDS: dict[str, Callable[[Image.Image], bytes]] = {
    **COPIES,
    "cropped to the square": _square,
    "cropped off centre": _corner,
}


def check(full: bool) -> list[Result]:
    photos = _photographs()
    if not photos:
        return [Result("C5", "leakage", 0, 0, 0.0, "not tried: no photographs; set DICO_TEST_DATA")]
    photos = photos if full else photos[:90]
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="leakage-") as temporary:
        folder = Path(temporary)
        planted, others = _plant(folder, photos, 2 if full else 1)
        seen = _reported(folder, near=True)
        seconds = time.monotonic() - begun
        rows = [
            Result("C5", f"copies found: {kind}", len(ids & seen), len(ids), seconds / len(planted),
                   "" if kind in BARS else "no bar", BARS.get(kind, 0.0))
            for kind, ids in planted.items()
        ]  # fmt: skip
        alarms = len(others & seen)
        name = "different photographs are not reported as copies"
        passed, bar = len(others) - alarms, 1 - MAX_FALSE_ALARMS
        rows.append(Result("C5", name, passed, len(others), seconds, "", bar))
        begun = time.monotonic()
        exact = _reported(folder, near=False)
        copies = set().union(*(ids for kind, ids in planted.items() if kind != "identical"))
        name = CONTROL + "digests alone miss re-encoded and changed copies"
        note = f"{len(copies - exact)} of {len(copies)} missed"
        rows.append(Result("C5", name, int(not copies & exact), 1, time.monotonic() - begun, note))
        return rows


def _photographs() -> list[Path]:
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    folder = Path(os.environ.get("DICO_TEST_DATA") or beside) / "flickr8k" / "images"
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _plant(folder: Path, photos: list[Path], times: int) -> tuple[dict[str, set[str]], set[str]]:
    """Half the photographs go to test, half to train with copies of the first half."""
    (folder / "images").mkdir()
    kinds: dict[str, Any] = {"identical": None, **KINDS}
    planted: dict[str, set[str]] = {kind: set() for kind in kinds}
    half = len(photos) // 2
    rows = [_row(photo.stem, str(photo), i, "test" if i < half else "train")
            for i, photo in enumerate(photos)]  # fmt: skip
    for number in range(half * times):
        photo, kind = photos[number % half], list(kinds)[(number + number // half) % len(kinds)]
        name = f"{kind}-{photo.stem}".replace(" ", "-")
        data = photo.read_bytes()
        if kinds[kind] is not None:
            data = kinds[kind](Image.open(photo).convert("RGB"))
        (folder / "images" / f"{name}.jpg").write_bytes(data)
        rows.append(_row(name, f"images/{name}.jpg", 10_000 + number, "train"))
        planted[kind].add(name)
    write_rows(folder, rows)
    return planted, {photo.stem for photo in photos[half:]}


def _row(image_id: str, image: str, number: int, split: str) -> dict[str, Any]:
    return {"id": image_id, "image": image, "captions": captions_of(number), "split": split}


def _reported(folder: Path, near: bool) -> set[str]:
    """Ids of the images that are reported to leak."""
    config = ValidationConfig(max_examples=10**6, near_duplicates=near)
    validate(str(folder / "dataset.jsonl"), "", config, folder / "m.parquet", folder / "out")
    findings = json.loads((folder / "out/summary.json").read_text())["findings"]
    codes = ("leak_identical", "leak_similar")
    return {
        e["image_id"] for code in codes for e in findings.get(code, {"examples": []})["examples"]
    }
