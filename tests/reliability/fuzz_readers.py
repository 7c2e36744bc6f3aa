"""Fuzzes the readers of all formats: ``python -m tests.reliability.fuzz_readers [--datasets 2000]``.

Datasets are generated in every layout of docs/data.md, with defects planted in some rows. What the
generator put in must be what validation kept, plus what it names: rows, images and captions, to
the last one. Each caption that was kept must be of its own image.
"""

import argparse
import base64
import csv
import io
import json
import random
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from dico.data.formats import detect, read_entries
from dico.data.manifest import read_manifest
from dico.errors import DicoError
from dico.images.load import read_image
from dico.validation.comparisons import Comparisons
from dico.validation.config import ValidationConfig
from dico.validation.findings import KINDS
from dico.validation.outcome import write_manifest
from dico.validation.scan import scan

WORDS = ("dog", "cat", "man", "tree", "street", "red", "small", "runs", "near", "with", "a", "the")
MARKS = (
    ", ",
    "; ",
    ' "quoted" ',
    " 'single' ",
    " | ",
    " [x] ",
    " \u00e9t\u00e9 ",
    " & ",
    " - ",
    "\t",
)
SPLITS = ("train", "val", "test")


@dataclass
class Made:
    """One generated dataset."""

    captions: dict[str, list[str]] = field(default_factory=dict)
    """Image's mark, its bytes as text, to its captions."""
    num_named: int = 0
    """Captions with a defect, which must be named and not kept."""
    images: dict[str, bytes] = field(default_factory=dict)
    """Name to bytes."""


def image_file(number: int) -> bytes:
    target = io.BytesIO()
    shade = (number * 37 % 256, number * 91 % 256, number * 13 % 256)
    Image.new("RGB", (8, 8), shade).save(target, "PNG", comment=str(number))
    return target.getvalue() + str(number).encode()


def caption(chance: random.Random, number: int, delimiter: str = "") -> str:
    words = [chance.choice(WORDS) for _ in range(chance.randint(2, 9))]
    if chance.random() < 0.4:
        mark = chance.choice([m for m in MARKS if not delimiter or delimiter not in m])
        words.insert(chance.randint(1, len(words) - 1), mark.strip("\t") or "and")
    return " ".join(f"{' '.join(words)} {number}".split())


def draw(chance: random.Random, delimiter: str = "") -> Made:
    made = Made()
    for number in range(chance.randint(1, 6)):
        name = f"{number:04d}.png"
        made.images[name] = image_file(chance.randint(0, 10**6) * 10 + number)
        made.captions[name] = [
            caption(chance, 10 * number + k, delimiter) for k in range(chance.randint(1, 4))
        ]
    return made


def store(folder: Path, made: Made) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in made.images.items():
        (folder / name).write_bytes(data)


def spoil(chance: random.Random, made: Made) -> list[Any]:
    """Adds captions that validation must name; gives the rows' captions with them."""
    rows = []
    for name, texts in made.captions.items():
        bad = (
            [chance.choice(["", "https://a.org b", "n/a", "a \x07 b"])]
            if chance.random() < 0.2
            else []
        )
        made.num_named += len(bad)
        rows.append((name, [*texts, *bad]))
    return rows


def as_list(chance: random.Random, texts: list[str]) -> str:
    return json.dumps(texts, ensure_ascii=False) if chance.random() < 0.5 else repr(texts)


def jsonl(chance: random.Random, folder: Path) -> str:
    made = MADE.made = draw(chance)
    store(folder, made)
    image = chance.choice(["image", "file_name", "filename", "Image", "image_path"])
    key = chance.choice(["captions", "caption", "sentences", "text"])
    lines = []
    for name, texts in spoil(chance, made):
        if key in ("caption", "text") and chance.random() < 0.5:
            lines += [{image: name, key: text} for text in texts]
        else:
            lines.append({image: name, key: texts})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    form = chance.choice(["jsonl", "json"])
    (folder / f"d.{form}").write_text(text if form == "jsonl" else json.dumps(lines))
    return str(folder / f"d.{form}")


def table(chance: random.Random, folder: Path) -> str:
    delimiter = chance.choice(",;\t|")
    made = MADE.made = draw(chance, "" if delimiter in ",;" else delimiter)
    store(folder, made)
    way = chance.choice(["rows", "list", "numbered"])
    lists = list(made.captions.items())
    target = io.StringIO()
    writer = csv.writer(target, delimiter=delimiter, lineterminator=chance.choice(["\n", "\r\n"]),
                        quoting=chance.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))  # fmt: skip
    if way == "numbered":
        most = max(len(texts) for _, texts in lists)
        writer.writerow(["file_name", *(f"caption_{k}" for k in range(most))])
        for name, texts in lists:
            writer.writerow([name, *texts, *[""] * (most - len(texts))])
    else:
        writer.writerow(["image", chance.choice(["caption", "raw", "comment"])])
        for name, texts in lists:
            for row in [as_list(chance, texts)] if way == "list" else texts:
                writer.writerow([name, row])
    path = folder / f"d{chance.choice(['.csv', '.tsv', '.txt'])}"
    path.write_text(
        target.getvalue(), encoding=chance.choice(["utf-8", "utf-8-sig", "utf-16"]), newline=""
    )
    return str(path)


def headless(chance: random.Random, folder: Path) -> str:
    form = chance.choice(
        ["{name}#{k}\t{text}", "{name}| {k}| {text}", "{name}\t{text}", "{text}\t{name}"]
    )
    made = MADE.made = draw(chance, "\t" if "\t" in form else "|")
    store(folder, made)
    lines = [
        form.format(name=name, k=k, text=text)
        for name, texts in made.captions.items()
        for k, text in enumerate(texts)
    ]
    (folder / "captions.txt").write_text("\n".join(lines) + "\n")
    return str(folder / "captions.txt")


def karpathy(chance: random.Random, folder: Path) -> str:
    made = MADE.made = draw(chance)
    images = []
    for number, (name, data) in enumerate(made.images.items()):
        split = chance.choice(SPLITS)
        (folder / split).mkdir(parents=True, exist_ok=True)
        (folder / split / name).write_bytes(data)
        sentences = [{"raw": text} for text in made.captions[name]]
        images.append(
            {
                "filepath": split,
                "filename": name,
                "imgid": number,
                "split": split,
                "sentences": sentences,
            }
        )
    (folder / "dataset.json").write_text(json.dumps({"images": images}))
    return str(folder / "dataset.json")


def coco(chance: random.Random, folder: Path) -> str:
    made = MADE.made = draw(chance)
    store(folder / "train2017", made)
    images, annotations = [], []
    for number, (name, texts) in enumerate(made.captions.items()):
        images.append({"id": number, "file_name": name})
        for text in texts:
            annotations.append({"id": len(annotations), "image_id": number, "caption": text})
        if chance.random() < 0.3:
            annotations.append(
                {
                    "id": len(annotations),
                    "image_id": number,
                    "caption": "stock text",
                    "is_rejected": True,
                }
            )
            made.num_named += 1
    chance.shuffle(annotations)
    (folder / "annotations").mkdir()
    path = folder / "annotations" / "captions_train2017.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    return str(path)


def mapping(chance: random.Random, folder: Path) -> str:
    made = MADE.made = draw(chance)
    store(folder, made)
    (folder / "captions.json").write_text(json.dumps(made.captions))
    return str(folder / "captions.json")


def sidecar(chance: random.Random, folder: Path) -> str:
    made = MADE.made = draw(chance)
    store(folder / "images", made)
    for name, texts in made.captions.items():
        path = folder / "images" / name
        if chance.random() < 0.5:
            path.with_suffix(".txt").write_text("\n".join(texts))
        else:
            path.with_suffix(".json").write_text(json.dumps({"captions": texts}))
    return str(folder / "images")


def shards(chance: random.Random, folder: Path) -> str:
    made = MADE.made = draw(chance)
    folder.mkdir(parents=True, exist_ok=True)
    dotted = chance.random() < 0.3
    with tarfile.open(folder / "train.tar", "w") as archive:
        members = []
        for name, texts in made.captions.items():
            stem = f"clip.{name.partition('.')[0]}" if dotted else name.partition(".")[0]
            members.append((f"{stem}.png", made.images[name]))
            form = chance.choice(["txt", "json", "both"])
            if form != "json":
                members.append((f"{stem}.txt", "\n".join(texts).encode()))
            if form != "txt":
                members.append((f"{stem}.json", json.dumps({"captions": texts}).encode()))
            if form == "both":
                made.num_named += len(texts)
        if chance.random() < 0.3:
            members.append(("README.txt", b"about this"))
        if chance.random() < 0.3:
            chance.shuffle(members)
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return str(folder / "train.tar")


def embedded(chance: random.Random, folder: Path) -> str:
    made = MADE.made = draw(chance)
    folder.mkdir(parents=True, exist_ok=True)
    kind = chance.choice(["parquet", "arrow", "bytes", "base64", "ofa"])
    rows = [
        {"image": {"bytes": made.images[n], "path": n}, "caption": t}
        for n, t in made.captions.items()
    ]
    if kind == "bytes":
        rows = [
            {"jpg": row["image"]["bytes"], "key": row["image"]["path"], "caption": row["caption"]}
            for row in rows
        ]
    if kind in ("parquet", "bytes"):
        path = folder / "train-00000-of-00001.parquet"
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=chance.randint(1, 4))
    elif kind == "arrow":
        path = folder / "data-00000-of-00001.arrow"
        data = pa.Table.from_pylist(rows)
        with pa.ipc.new_stream(str(path), data.schema) as writer:
            writer.write_table(data, max_chunksize=chance.randint(1, 4))
    elif kind == "base64":
        path = folder / "d.jsonl"
        lines = [
            {"id": n, "image": base64.b64encode(made.images[n]).decode(), "captions": t}
            for n, t in made.captions.items()
        ]
        path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    else:
        path = folder / "caption_train.tsv"
        for texts in made.captions.values():
            texts[:] = [text.replace("&", "and") for text in texts]
        lines = [
            "\t".join(
                [
                    n,
                    n,
                    "&&".join(t),
                    "dog&&cat",
                    base64.urlsafe_b64encode(made.images[n]).decode(),
                ]
            )
            for n, t in made.captions.items()
        ]
        path.write_text("\n".join(lines) + "\n")
    return str(path)


def imagefolder(chance: random.Random, folder: Path) -> str:
    """The same names in each split's folder, and a table in each."""
    whole = Made()
    for split in ("train", "test"):
        made = draw(chance)
        store(folder / split, made)
        rows = [
            json.dumps({"file_name": n, "text": text})
            for n, texts in made.captions.items()
            for text in texts
        ]
        (folder / split / "metadata.jsonl").write_text("\n".join(rows) + "\n")
        for name, texts in made.captions.items():
            whole.images[f"{split}/{name}"] = made.images[name]
            whole.captions[f"{split}/{name}"] = texts
    MADE.made = whole
    return str(folder)


@dataclass
class _Holder:
    made: Made = field(default_factory=Made)


MADE = _Holder()
LAYOUTS: dict[str, Callable[[random.Random, Path], str]] = {
    one.__name__: one
    for one in (
        jsonl,
        table,
        headless,
        karpathy,
        coco,
        mapping,
        sidecar,
        shards,
        embedded,
        imagefolder,
    )
}


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
