"""Images inside of Parquet and Arrow tables against the same images in a WebDataset tar.

Run: python benchmarks/tables.py [--images FOLDER] [--count 800] [--rounds 5]

Three passes of each, by turns: ``entries`` reads the dataset with its images' bytes, as validation
does; ``forwards`` and ``shuffled`` read each image by its URI, in order and at random, as training
does. Nothing is decoded: what is measured is the way to the bytes. Row groups have 100 rows, the
size that Hugging Face's datasets writes for images.
"""

import argparse
import hashlib
import io
import random
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from measure import alternate, table, write
from PIL import Image

from dico.data.formats import detect, read_entries
from dico.images.load import read_image

FORMS = ("tar", "parquet", "arrow")
PASSES = ("entries", "forwards", "shuffled")
ROWS_PER_GROUP = 100


def main() -> None:
    """Writes the three datasets, reads them by turns, and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", default="", help="folder of JPEGs; empty: rendered noise")
    parser.add_argument("--count", type=int, default=800, help="images in each dataset")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        images = _images(arguments.images, arguments.count)
        datasets = {form: _write(Path(folder), form, images) for form in FORMS}
        digests = {form: _digest(_entries(path)) for form, path in datasets.items()}
        assert len(set(digests.values())) == 1, digests
        rivals = {
            f"{form} {how}": _pass(path, how) for form, path in datasets.items() for how in PASSES
        }
        found = alternate(rivals, arguments.rounds)
    megabytes = sum(map(len, images)) / 1e6
    result = {"images": len(images), "megabytes": round(megabytes, 1), "times": found}
    write("tables", result, _lines(found, megabytes))


def _images(folder: str, count: int) -> list[bytes]:
    if folder:
        return [path.read_bytes() for path in sorted(Path(folder).rglob("*.jpg"))[:count]]
    generator = np.random.default_rng(0)
    found = []
    for _ in range(count):
        small = generator.integers(0, 256, (30, 40, 3), dtype=np.uint8)
        target = io.BytesIO()
        Image.fromarray(small).resize((640, 480)).save(target, "JPEG", quality=90)
        found.append(target.getvalue())
    return found


def _write(folder: Path, form: str, images: list[bytes]) -> Path:
    path = folder / f"images.{form}"
    if form == "tar":
        with tarfile.open(path, "w") as archive:
            for index, data in enumerate(images):
                for name, content in ((f"{index:06d}.jpg", data), (f"{index:06d}.txt", b"a dog")):
                    member = tarfile.TarInfo(name)
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
        return path
    rows = [{"bytes": data, "path": f"{index:06d}.jpg"} for index, data in enumerate(images)]
    written = pa.table({"image": rows, "caption": ["a dog"] * len(rows)})
    if form == "parquet":
        pq.write_table(written, path, row_group_size=ROWS_PER_GROUP)
        return path
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, written.schema) as writer:
        writer.write_table(written, max_chunksize=ROWS_PER_GROUP)
    return path


def _entries(path: Path) -> list[str]:
    return [entry.uri for entry in read_entries(detect(str(path)))]


def _digest(uris: list[str]) -> str:
    total = hashlib.sha256()
    for uri in uris:
        total.update(read_image(uri))
    return total.hexdigest()


def _pass(path: Path, how: str) -> Callable[[], Any]:
    if how == "entries":
        return lambda: [
            len(entry.image_bytes or read_image(entry.uri))
            for entry in read_entries(detect(str(path)), pixels=True)
        ]
    uris = _entries(path)
    if how == "shuffled":
        random.Random(0).shuffle(uris)
    return lambda: [len(read_image(uri)) for uri in uris]


def _lines(found: dict[str, dict[str, float]], megabytes: float) -> str:
    rows = []
    for how in PASSES:
        base = found[f"tar {how}"]["cpu_seconds"]
        for form in FORMS:
            one = found[f"{form} {how}"]
            rows.append([how, form, f"{one['cpu_seconds']:.3f}",
                         f"{one['cpu_seconds_low']:.3f} to {one['cpu_seconds_high']:.3f}",
                         f"{one['wall_seconds']:.3f}", f"{megabytes / one['cpu_seconds']:.0f}",
                         f"{one['cpu_seconds'] / base:.2f}"])  # fmt: skip
    header = ["pass", "form", "CPU s", "spread", "wall s", "MB per CPU s", "times the tar's"]
    return table(header, rows)


if __name__ == "__main__":
    main()
