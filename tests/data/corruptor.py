"""The corruptor: one function for each defect, and the finding that must name it."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image, ImageEnhance

from tests.data.images import captions_of, encoded, write_dataset, write_rows

Rows = list[dict[str, Any]]


# Each defect changes the row or the file of one image; the code is what must be found there.
def _truncate(folder: Path, row: dict[str, Any]) -> None:
    path = folder / row["image"]
    path.write_bytes(path.read_bytes()[:-300])


def _write(data: bytes) -> Callable[[Path, dict[str, Any]], None]:
    return lambda folder, row: (folder / row["image"]).write_bytes(data) and None


def _set(key: str, value: Any) -> Callable[[Path, dict[str, Any]], None]:
    return lambda folder, row: row.__setitem__(key, value)


def _caption(text: Any) -> Callable[[Path, dict[str, Any]], None]:
    return lambda folder, row: row["captions"].__setitem__(2, text)


def _remove(folder: Path, row: dict[str, Any]) -> None:
    (folder / row["image"]).unlink()


def _folder(folder: Path, row: dict[str, Any]) -> None:
    (folder / row["image"]).unlink()
    (folder / row["image"]).mkdir()


def _cmyk(folder: Path, row: dict[str, Any]) -> None:
    path = folder / row["image"]
    path.write_bytes(encoded(Image.open(path).convert("CMYK")))


def _animated(folder: Path, row: dict[str, Any]) -> None:
    path = folder / row["image"]
    image = Image.open(path).convert("RGB")
    path.write_bytes(
        encoded(
            image,
            "WEBP",
            save_all=True,
            append_images=[image.transpose(Image.Transpose.ROTATE_180)],
        )
    )


def _float(folder: Path, row: dict[str, Any]) -> None:
    path = folder / row["image"]
    path.write_bytes(encoded(Image.open(path).convert("F"), "TIFF"))


def _small(folder: Path, row: dict[str, Any]) -> None:
    path = folder / row["image"]
    path.write_bytes(encoded(Image.open(path).resize((20, 15)), "PNG"))


def _blank_caption_list(folder: Path, row: dict[str, Any]) -> None:
    row["captions"] = []


def _repeat_caption(folder: Path, row: dict[str, Any]) -> None:
    row["captions"][3] = row["captions"][1]


DEFECTS: dict[str, tuple[str, Callable[[Path, dict[str, Any]], None]]] = {
    "missing": ("image_missing", _remove),
    "empty file": ("image_empty", _write(b"")),
    "truncated": ("image_truncated", _truncate),
    "text": ("image_format", _write(b"not an image at all")),
    "html": ("image_format", _write(b"<html><body>404</body></html>")),
    "svg": ("image_format", _write(b"<svg xmlns='http://www.w3.org/2000/svg'/>")),
    "folder": ("image_not_a_file", _folder),
    "float pixels": ("image_range_unclear", _float),
    "strip": ("image_too_narrow", _write(encoded(Image.new("RGB", (2, 900)), "PNG"))),
    "too small": ("image_too_small", _small),
    "cmyk": ("image_cmyk", _cmyk),
    "animated": ("image_animated", _animated),
    "unknown split": ("split_unknown", _set("split", "holdout")),
    "no image key": ("row_malformed", _set("image", None)),
    "image is a number": ("row_malformed", _set("image", 17.5)),
    "no captions": ("captions_missing", _blank_caption_list),
    "null caption": ("caption_not_text", _caption(None)),
    "number caption": ("caption_not_text", _caption(42)),
    "empty caption": ("caption_empty", _caption("  ")),
    "long caption": ("caption_too_long", _caption("word " * 400)),
    "control character": ("caption_control", _caption("a dog\x07 runs on a beach")),
    "surrogate": ("caption_encoding", _caption("a caf\ud83d on the street")),
    "mojibake": ("caption_mojibake", _caption("un cafÃ© dans la rue")),
    "special token": ("caption_special_token", _caption("a dog <|endoftext|> runs")),
    "markup": ("caption_markup", _caption("a <i>dog</i> on the grass")),
    "address": ("caption_address", _caption("a dog, see https://dogs.example/1")),
    "file name": ("caption_boilerplate", _caption("DSC_0042.jpg")),
    "placeholder": ("caption_boilerplate", _caption("image not available")),
    "digits only": ("caption_no_words", _caption("1234 5678")),
    "one word": ("caption_too_short", lambda _, row: row["captions"].append("Dog" + row["id"])),
    "repeated caption": ("caption_duplicate", _repeat_caption),
    "bad positives": ("positives_malformed", _set("positive_images", "x.jpg")),
    "lost positive": ("positive_unusable", _set("positive_images", ["nothing.jpg"])),
}


def _duplicate_id(folder: Path, rows: Rows) -> None:
    rows[3]["id"] = rows[2]["id"]


def _two_ids(folder: Path, rows: Rows) -> None:
    rows.append({**rows[2], "id": "other", "captions": captions_of(99)})


def _overlap(folder: Path, rows: Rows) -> None:
    (folder / "images/copy.jpg").write_bytes((folder / rows[0]["image"]).read_bytes())
    rows.append(
        {"id": "copy", "image": "images/copy.jpg", "captions": captions_of(99), "split": "train"}
    )


def _leaked_caption(folder: Path, rows: Rows) -> None:
    text = "a rather long caption about a dog and a cat and a horse on a beach"
    rows[0]["captions"][0] = rows[2]["captions"][0] = text


STRUCTURES = {
    "id_duplicate": _duplicate_id,
    "image_two_ids": _two_ids,
    "leak_identical": _overlap,
    "leak_caption": _leaked_caption,
}


LINES = {
    "json_duplicate_key": '{"image": "a.jpg", "image": "b.jpg", "captions": ["a dog runs"]}',
    "json_nan": '{"image": "a.jpg", "captions": ["a dog runs"], "score": NaN}',
    "json_huge_integer": '{"image": "a.jpg", "captions": ["a dog runs"], "n": ' + "9" * 5_000 + "}",
    "json_too_deep": '{"image": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "json_malformed": '{"image": "a.jpg", "captions": [a dog]}',
    "row_malformed": '["a.jpg", "a dog"]',
}

COPIES: dict[str, Callable[[Image.Image], bytes]] = {
    "re-encoded": lambda i: encoded(i, quality=40),
    "resized": lambda i: encoded(i.resize((i.width // 2, i.height // 2)), quality=90),
    "brighter": lambda i: encoded(ImageEnhance.Brightness(i).enhance(1.35), quality=90),
    "darker": lambda i: encoded(ImageEnhance.Brightness(i).enhance(0.65), quality=90),
    "mirrored": lambda i: encoded(i.transpose(Image.Transpose.FLIP_LEFT_RIGHT), quality=90),
    "cropped": lambda i: encoded(
        i.crop((i.width // 16, i.height // 16, i.width - i.width // 16, i.height - i.height // 16)),
        quality=90,
    ),
}


def corrupt(folder: Path, num_places: int) -> tuple[Path, dict[str, set[str]]]:
    """A dataset with every defect in ``num_places`` places; finding's code to the ids it is on."""
    rows = write_dataset(folder, num_places * len(DEFECTS) + 40)
    planted: dict[str, set[str]] = {}
    places = random.Random(0).sample(range(len(rows)), num_places * len(DEFECTS))
    for number, (code, plant) in enumerate(DEFECTS.values()):
        for place in places[number * num_places : (number + 1) * num_places]:
            plant(folder, rows[place])
            planted.setdefault(code, set()).add(rows[place]["id"])
    return write_rows(folder, rows), planted
