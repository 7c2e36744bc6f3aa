"""Generated datasets in every layout of docs/data.md, with what must be kept and named of each."""

import base64
import csv
import io
import json
import random
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

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


def label_studio(chance: random.Random, folder: Path) -> str:
    """Tasks of Label Studio: what each annotator wrote, and some of it cancelled."""
    made = MADE.made = draw(chance)
    store(folder, made)
    tasks = []
    for number, (name, texts) in enumerate(made.captions.items()):
        said = [(text, False) for text in texts]
        if chance.random() < 0.3:
            said.append(("a text that was cancelled", True))
            made.num_named += 1
        annotations = [
            {
                "was_cancelled": cancelled,
                "result": [{"type": "textarea", "value": {"text": [text]}}],
            }
            for text, cancelled in said
        ]
        data = {"image": f"/data/upload/{number}/{name}"}
        tasks.append({"id": number, "data": data, "annotations": annotations})
    (folder / "export.json").write_text(json.dumps(tasks))
    return str(folder / "export.json")


def datumaro(chance: random.Random, folder: Path) -> str:
    """Items of Datumaro, which CVAT writes, with labels among the captions."""
    made = MADE.made = draw(chance)
    store(folder / "images", made)
    items = []
    for name, texts in made.captions.items():
        annotations = [{"type": "caption", "caption": text} for text in texts]
        label = [{"type": "label", "label_id": 1}] if chance.random() < 0.5 else []
        stem = name.partition(".")[0]
        items.append({"id": stem, "image": {"path": name}, "annotations": annotations + label})
    (folder / "default.json").write_text(json.dumps({"info": {}, "categories": {}, "items": items}))
    return str(folder / "default.json")


def chats(chance: random.Random, folder: Path) -> str:
    """Conversations of one question and one answer, plain or with typed parts."""
    made = MADE.made = draw(chance)
    for texts in made.captions.values():
        texts[:] = texts[:1]
    store(folder, made)
    rows: list[dict[str, Any]] = []
    for name, (text,) in made.captions.items():
        if chance.random() < 0.5:
            turns = [{"from": "human", "value": "<image>"}, {"from": "gpt", "value": text}]
            rows.append({"id": name, "image": name, "conversations": turns})
        else:
            asked = [{"type": "image", "image": name}, {"type": "text", "text": "Describe it."}]
            said = [{"type": "text", "text": text}]
            rows.append({"messages": [{"role": "user", "content": asked},
                                      {"role": "assistant", "content": said}]})  # fmt: skip
    (folder / "chats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder / "chats.jsonl")


def redcaps(chance: random.Random, folder: Path) -> str:
    """Annotations that name their images themselves."""
    made = MADE.made = draw(chance)
    for texts in made.captions.values():
        texts[:] = texts[:1]
    store(folder, made)
    annotations = [
        {"image_id": name.partition(".")[0], "file_name": name, "raw_caption": "x", "caption": text}
        for name, (text,) in made.captions.items()
    ]
    (folder / "pics.json").write_text(json.dumps({"info": {}, "annotations": annotations}))
    return str(folder / "pics.json")


def kohya(chance: random.Random, folder: Path) -> str:
    """Objects of caption and tags by the image's name."""
    made = MADE.made = draw(chance)
    for texts in made.captions.values():
        texts[:] = texts[:1]
    store(folder, made)
    content = {name: {"caption": texts[0], "tags": "a, b"} for name, texts in made.captions.items()}
    (folder / "meta_cap.json").write_text(json.dumps(content))
    return str(folder / "meta_cap.json")


def base64_table(chance: random.Random, folder: Path) -> str:
    """Images in base64 in a column of Parquet or Arrow."""
    made = MADE.made = draw(chance)
    folder.mkdir(parents=True, exist_ok=True)
    for name in made.images:
        made.images[name] += bytes(600)  # shorter texts are taken for names
    rows = [
        {"id": name, "image": base64.b64encode(made.images[name]).decode(), "captions": texts}
        for name, texts in made.captions.items()
    ]
    data = pa.Table.from_pylist(rows)
    if chance.random() < 0.5:
        pq.write_table(data, folder / "d.parquet", row_group_size=chance.randint(1, 4))
        return str(folder / "d.parquet")
    with pa.ipc.new_stream(str(folder / "d.arrow"), data.schema) as writer:
        writer.write_table(data, max_chunksize=chance.randint(1, 4))
    return str(folder / "d.arrow")


def vizwiz(chance: random.Random, folder: Path) -> str:
    """Captions with flags, some of which say that they are not to be used."""
    made = MADE.made = draw(chance)
    store(folder / "train", made)
    annotations = []
    for number, texts in enumerate(made.captions.values()):
        for text in texts:
            flags = {"is_rejected": False, "is_precanned": False, "text_detected": True}
            annotations.append({"image_id": number, "caption": text, **flags})
        if chance.random() < 0.5:
            flag = chance.choice(["is_rejected", "is_precanned"])
            annotations.append({"image_id": number, "caption": "stock text", flag: True})
            made.num_named += 1
    images = [{"id": number, "file_name": name} for number, name in enumerate(made.images)]
    (folder / "annotations").mkdir()
    path = folder / "annotations" / "train.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    return str(path)


def parallel(chance: random.Random, folder: Path) -> str:
    """Texts in a folder of their own, or with the image's suffix in their names."""
    made = MADE.made = draw(chance)
    store(folder / "set" / "images", made)
    texts_in, suffix = chance.choice(
        [("captions", ".txt"), ("labels", ".txt"), ("images", ".png.txt")]
    )
    (folder / "set" / texts_in).mkdir(exist_ok=True)
    for name, texts in made.captions.items():
        path = folder / "set" / texts_in / f"{name.partition('.')[0]}{suffix}"
        path.write_text("\n".join(texts))
    return str(folder / "set")


def joined(chance: random.Random, folder: Path) -> str:
    """Several captions in one cell, between separators."""
    made = MADE.made = draw(chance, "|")
    store(folder, made)
    mark = chance.choice(["||", " || ", "&&", "###"])
    rows = [["image", "captions"], *([name, mark.join(t)] for name, t in made.captions.items())]
    with open(folder / "d.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    return str(folder / "d.csv")


def quoted(chance: random.Random, folder: Path) -> str:
    """Tables in single quotes, with spaces after commas, or with escaped quotes."""
    made = MADE.made = draw(chance)
    store(folder, made)
    form = chance.choice([
        {"quotechar": "'", "quoting": csv.QUOTE_ALL},
        {"escapechar": "\\", "doublequote": False, "quoting": csv.QUOTE_ALL},
        {"delimiter": ";", "quoting": csv.QUOTE_ALL},
    ])  # fmt: skip
    with open(folder / "d.csv", "w", newline="") as file:
        writer = csv.writer(file, **form)
        writer.writerow(["image", "caption"])
        writer.writerows([name, text] for name, texts in made.captions.items() for text in texts)
    return str(folder / "d.csv")


def pandas_json(chance: random.Random, folder: Path) -> str:
    """A table by pandas' ``to_json``."""
    import pandas as pd

    made = MADE.made = draw(chance)
    store(folder, made)
    table = pd.DataFrame({"image": list(made.captions), "captions": list(made.captions.values())})
    way = chance.choice(["columns", "split", "records", "table"])
    (folder / "d.json").write_text(table.to_json(orient=way))
    return str(folder / "d.json")


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
        label_studio,
        datumaro,
        chats,
        redcaps,
        kohya,
        base64_table,
        vizwiz,
        parallel,
        joined,
        quoted,
        pandas_json,
    )
}
