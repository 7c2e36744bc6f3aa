"""Images made for tests: photograph-like noise, and a dataset of them."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

WORDS = ["dog", "cat", "man", "woman", "child", "horse", "car", "boat", "tree", "house", "beach"]


def random_image(seed: int, width_px: int = 96, height_px: int = 72) -> Image.Image:
    """A smooth random image, different for each seed."""
    generator = np.random.default_rng(seed)
    small = generator.integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width_px, height_px), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, format_name: str = "JPEG", **settings: Any) -> bytes:
    """The image as bytes of a file."""
    stream = io.BytesIO()
    image.save(stream, format_name, **settings)
    return stream.getvalue()


def captions_of(seed: int) -> list[str]:
    """Five captions, different for each seed."""
    generator = np.random.default_rng(seed)
    return [
        "a {} and a {} near the {} number {}".format(*generator.choice(WORDS, 3), seed * 5 + i)
        for i in range(5)
    ]


def annotations(num_images: int) -> str:
    """JSON that is both Karpathy's and COCO's."""
    numbers = range(num_images)
    images = [
        {"filename": f"{i}.jpg", "id": i, "file_name": f"{i}.jpg", "split": "train",
         "sentences": [{"raw": c} for c in captions_of(i)]}
        for i in numbers
    ]  # fmt: skip
    rows = [{"image_id": i, "caption": c} for i in numbers for c in captions_of(i)]
    return json.dumps({"images": images, "annotations": rows})


def write_dataset(folder: Path, num_images: int = 30) -> list[dict[str, Any]]:
    """Writes images and ``dataset.jsonl`` into ``folder``; returns the rows."""
    (folder / "images").mkdir(parents=True)
    rows = []
    for seed in range(num_images):
        name = f"images/{seed:04d}.jpg"
        (folder / name).write_bytes(encoded(random_image(seed), quality=90))
        split = "test" if seed % 5 == 0 else "val" if seed % 5 == 1 else "train"
        rows.append(
            {"id": f"id{seed}", "image": name, "captions": captions_of(seed), "split": split}
        )
    write_rows(folder, rows)
    return rows


def write_rows(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """Writes rows as ``dataset.jsonl``."""
    path = folder / "dataset.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
