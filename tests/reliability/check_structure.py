"""C4: every planted defect of a dataset is found and named; a million rows in bounded memory."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dico.data.formats import detect, read_entries
from dico.validation.config import ValidationConfig
from dico.validation.validate import validate
from tests.data.corruptor import DEFECTS, LINES, STRUCTURES, corrupt
from tests.data.images import annotations, captions_of, write_dataset, write_rows
from tests.reliability.result import CONTROL, Result, count

IDS = ("C4",)
PLACES = range(20)


def check(full: bool) -> list[Result]:
    with tempfile.TemporaryDirectory(prefix="structure-") as temporary:
        folder = Path(temporary)
        places = PLACES if full else PLACES[:2]
        control = count("C4", "", _standard_parser())
        rows = [
            count(
                "C4",
                "broken lines are reported with their line number",
                _lines(folder / "lines", places),
            ),
            count("C4", "files truncated at any place are detected", _cut(folder)),
            count(
                "C4",
                "repeated ids, images under two ids and leaks between splits are detected",
                _compared(folder),
            ),
            Result(
                "C4",
                CONTROL + "Python's own JSON parser takes duplicate keys and NaN",
                int(control.passed < control.total),
                1,
                control.seconds,
                f"{control.total - control.passed} of {control.total} accepted",
            ),
        ]
        if full:
            rows.append(
                count(
                    "C4",
                    "planted defects are all reported, and nothing else is",
                    _corrupted(folder),
                )
            )
            rows.append(_million(folder))
        return rows


def _run(folder: Path, dataset: Path, **settings: Any) -> dict[str, Any]:
    config = ValidationConfig(num_workers=1, **settings)
    validate(str(dataset), "", config, folder / "m.parquet", folder / "out")
    summary: dict[str, Any] = json.loads((folder / "out/summary.json").read_text())
    return summary


def _lines(folder: Path, places: range) -> Iterator[bool]:
    """Each kind of broken line at each place of a file of 30 rows."""
    folder.mkdir()
    rows = [{"image": f"{i}.jpg", "captions": captions_of(i)} for i in range(30)]
    good = write_rows(folder, rows).read_text().splitlines()
    path = folder / "broken.jsonl"
    for code, line in LINES.items():
        for place in places:
            path.write_text("\n".join([*good[:place], line, *good[place:]]) + "\n")
            entries = list(read_entries(detect(str(path))))
            broken = [(e.where, [c for c, _ in e.findings]) for e in entries if e.findings]
            yield broken == [(f"{path}:{place + 1}", [code])] and len(entries) == 31


def _cut(folder: Path) -> Iterator[bool]:
    """JSON lines, Karpathy's and COCO's JSON, each cut at nine places."""
    lines = [{"image": f"{i}.jpg", "captions": captions_of(i)} for i in range(20)]
    whole = annotations(20)
    texts = {"karpathy": whole, "coco": whole, "jsonl": "\n".join(map(json.dumps, lines)) + "\n"}
    for format_name, text in texts.items():
        for share in (0.15, 0.25, 0.35, 0.45, 0.53, 0.65, 0.75, 0.85, 0.95):
            path = folder / f"cut.{'jsonl' if format_name == 'jsonl' else 'json'}"
            path.write_text(text[: int(len(text) * share)])
            entries = read_entries(detect(str(path), format_name=format_name), check_exists=False)
            codes = {code for entry in entries for code, _ in entry.findings}
            yield bool(codes & {"file_malformed", "file_truncated"})


def _compared(folder: Path) -> Iterator[bool]:
    for code, plant in STRUCTURES.items():
        here = folder / code
        rows = write_dataset(here, 12)
        plant(here, rows)
        summary = _run(here, write_rows(here, rows))
        yield {k: v["num_images"] for k, v in summary["findings"].items()} == {code: 1}


def _standard_parser() -> Iterator[bool]:
    """Whether `json.loads` refuses each kind of line."""
    for line in LINES.values():
        try:
            json.loads(line)
        except (ValueError, RecursionError):
            yield True
        else:
            yield False


def _corrupted(folder: Path) -> Iterator[bool]:
    """Each place of each defect; a row without an image's name counts by their number."""
    path, planted = corrupt(folder / "corrupted", len(PLACES))
    findings = _run(folder / "corrupted", path, max_examples=10**6)["findings"]
    seen = {code: {e["image_id"] for e in one["examples"]} for code, one in findings.items()}
    nameless = planted.pop("row_malformed")
    num_found = findings["row_malformed"]["num_images"]
    yield from (index < num_found for index in range(len(nameless)))
    yield from (one in seen.get(code, ()) for code, ids in planted.items() for one in ids)
    seen.pop("row_malformed")
    yield seen == planted
    assert len(DEFECTS) >= 30


def _million(folder: Path) -> Result:
    """A table of a million rows, validated by the command; CPU time, because others may compute."""
    path, begun = folder / "million.csv", time.monotonic()
    texts = [text for index in range(1_000) for text in captions_of(index)]
    with open(path, "w", encoding="utf-8") as file:
        file.write("image,caption,split\n")
        for index in range(1_000_000):
            text = texts[index % len(texts)]
            file.write(f"{index // 5:07d}.jpg,{text} {index},train\n")
    command = [sys.executable, "-m", "dico", "validate", str(path), "--image-check", "skip"]
    process = subprocess.Popen(
        [*command, "--output", str(folder / "million")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = usage.ru_utime + usage.ru_stime
    peak = usage.ru_maxrss / 1e6
    good = status == 0 and seconds < 180 and peak < 1.0
    note = f"{seconds:.0f} s of CPU, peak {peak:.2f} GB"
    name = "a million rows under 3 minutes and 1 GB"
    return Result("C4", name, int(good), 1, time.monotonic() - begun, note)
