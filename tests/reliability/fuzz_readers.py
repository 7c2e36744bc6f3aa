"""Fuzzes the readers of all formats: ``python -m tests.reliability.fuzz_readers [--datasets 2000]``.

Datasets are generated in every layout of docs/data.md, with defects planted in some rows. What the
generator put in must be what validation kept, plus what it names: rows, images and captions, to
the last one. Each caption that was kept must be of its own image.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from dico.data.formats import detect, read_entries
from dico.data.manifest import read_manifest
from dico.errors import DicoError
from dico.images.load import read_image
from dico.validation.comparisons import Comparisons
from dico.validation.config import ValidationConfig
from dico.validation.findings import KINDS
from dico.validation.outcome import write_manifest
from dico.validation.scan import scan
from tests.reliability.reader_layouts import LAYOUTS, MADE, Made


def check(seed: int, work: Path) -> tuple[str, str]:
    """The layout of one generated dataset, and what is wrong with how it was read."""
    chance = random.Random(seed)
    layout = chance.choice(sorted(LAYOUTS))
    folder = work / str(seed)
    folder.mkdir()
    dataset = LAYOUTS[layout](chance, folder)
    made = MADE.made
    config = ValidationConfig(image_check="skip")
    try:
        entries = list(read_entries(detect(dataset)))
        scanned = scan(iter(entries), folder, folder / "cache", config)
        outcome = write_manifest(
            scanned, Comparisons(), config, folder / "m.parquet", folder / "q.jsonl"
        )
        return layout, _compare(made, outcome.fidelity.to_dict(), folder)
    except DicoError as error:
        return layout, f"refused: {error}"


def _compare(made: Made, fidelity: dict[str, Any], folder: Path) -> str:
    """Held against the generator: the numbers, and each image's own captions."""
    wanted = {
        data: Counter(" ".join(t.split()) for t in made.captions[n])
        for n, data in made.images.items()
    }
    got = {
        read_image(record.uri): Counter(record.captions)
        for record in read_manifest(folder / "m.parquet")
    }
    if got != wanted:
        wrong = [
            (wanted.get(k), got.get(k))
            for k in wanted.keys() | got.keys()
            if wanted.get(k) != got.get(k)
        ]
        return f"other captions: {wrong[:2]}"
    num_in = sum(map(len, made.captions.values())) + made.num_named
    captions, images = fidelity["captions"], fidelity["images"]
    named = sum(captions["left_out"].values())
    if (captions["read"], captions["kept"], named) != (
        num_in,
        num_in - made.num_named,
        made.num_named,
    ):
        return f"captions {num_in} in, {made.num_named} to name: {captions}"
    if (images["read"], images["kept"]) != (len(made.images), len(made.images)):
        return f"images {len(made.images)} in: {images}"
    if any(code not in KINDS for code in captions["left_out"]):
        return f"a difference without a name: {captions}"
    return ""


def run(first: int, number: int) -> tuple[Counter[str], list[str]]:
    """Checks datasets of the seeds from ``first`` on; layouts, and what went wrong."""
    layouts: Counter[str] = Counter()
    wrong = []
    with tempfile.TemporaryDirectory(prefix="fuzz-readers-") as work:
        for seed in range(first, first + number):
            layout, reason = check(seed, Path(work))
            layouts[layout] += 1
            if reason:
                wrong.append(f"seed {seed}, {layout}: {reason}")
    return layouts, wrong


def main() -> None:
    """Fuzzes, and prints a line a layout."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.reliability.fuzz_readers", description=__doc__
    )
    parser.add_argument("--datasets", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    begun = time.monotonic()
    layouts, wrong = run(arguments.seed, arguments.datasets)
    for layout, count in sorted(layouts.items()):
        broken = sum(f", {layout}:" in line for line in wrong)
        print(f"{layout:<12} {count - broken} of {count}")
    print(f"in equals kept plus named: {arguments.datasets - len(wrong)} of {arguments.datasets} "
          f"({time.monotonic() - begun:.0f} s)")  # fmt: skip
    print("\n".join(wrong[:20]))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
