"""C4, C5 and the corruptor: every planted defect is found, named, and nothing else is."""

import io
import json
import os
import signal
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dico.data.entries import Entry
from dico.data.formats import detect, read_entries
from dico.data.manifest import fingerprint, read_manifest
from dico.errors import ConfigError, DataError
from dico.images.tar_index import TarError, iter_members
from dico.validation.config import ValidationConfig
from dico.validation.findings import KINDS
from dico.validation.validate import validate
from tests.data.corruptor import COPIES, DEFECTS, LINES, STRUCTURES, corrupt
from tests.data.images import (
    annotations,
    captions_of,
    encoded,
    random_image,
    write_dataset,
    write_rows,
)

Rows = list[dict[str, Any]]


def run(folder: Path, dataset: str = "dataset.jsonl", **settings: Any) -> dict[str, Any]:
    """Validates and returns the summary with the result's parts."""
    settings.setdefault("num_workers", 1)
    result = validate(
        str(folder / dataset),
        "",
        ValidationConfig(**settings),
        folder / "m.parquet",
        folder / "out",
    )
    summary: dict[str, Any] = json.loads((folder / "out" / "summary.json").read_text())
    assert summary["ok"] == result.ok
    assert summary["fingerprint"] == result.fingerprint == fingerprint(folder / "m.parquet")
    assert len(read_manifest(folder / "m.parquet")) == result.num_images
    return summary


def found(summary: dict[str, Any]) -> dict[str, int]:
    return {code: finding["num_images"] for code, finding in summary["findings"].items()}


def test_a_clean_dataset_has_no_finding(tmp_path: Path) -> None:
    write_dataset(tmp_path)
    summary = run(tmp_path)
    assert summary["ok"]
    assert found(summary) == {}
    assert summary["split_counts"] == {"train": 18, "validation": 6, "test": 6}


PLACES = 20


@pytest.fixture(scope="module")
def corrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Any]:
    """One dataset with every defect in 20 places, and where each was planted."""
    folder = tmp_path_factory.mktemp("corrupted")
    path, planted = corrupt(folder, PLACES)
    settings = ValidationConfig(num_workers=2, max_examples=1_000_000)
    result = validate(str(path), "", settings, folder / "m.parquet", folder / "out")
    assert not result.ok
    return json.loads((folder / "out" / "summary.json").read_text()), planted


def test_every_planted_defect_is_found_and_nothing_else(
    corrupted: tuple[dict[str, Any], dict[str, set[str]]],
) -> None:
    summary, planted = corrupted
    assert len(DEFECTS) >= 30
    seen = {
        code: {example["image_id"] for example in finding["examples"]}
        for code, finding in summary["findings"].items()
    }
    num_rows_without_id = len(planted.pop("row_malformed"))
    assert summary["findings"]["row_malformed"]["num_images"] == num_rows_without_id
    seen.pop("row_malformed")
    assert seen == planted
    total = sum(map(len, planted.values())) + num_rows_without_id
    print(f"planted defects found: {total} of {PLACES * len(DEFECTS)}")


def test_each_error_is_a_reason(corrupted: tuple[dict[str, Any], Any]) -> None:
    summary, _ = corrupted
    errors = {code for code in summary["findings"] if KINDS[code].severity == "error"}
    assert {reason.partition(":")[0] for reason in summary["reasons"]} == errors


@pytest.mark.parametrize("code", STRUCTURES)
def test_rows_are_compared(tmp_path: Path, code: str) -> None:
    rows = write_dataset(tmp_path)
    STRUCTURES[code](tmp_path, rows)
    write_rows(tmp_path, rows)
    summary = run(tmp_path)
    assert found(summary) == {code: 1}
    assert summary["ok"] == (KINDS[code].severity == "warning")
    if code == "leak_identical":  # the copy in train goes, the test image stays
        kept = {record.image_id for record in read_manifest(tmp_path / "m.parquet")}
        assert "id0" in kept
        assert "copy" not in kept


@pytest.mark.parametrize("code", LINES)
def test_a_broken_line_is_named_with_its_number(tmp_path: Path, code: str) -> None:
    write_dataset(tmp_path, 8)
    path = tmp_path / "dataset.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], LINES[code], *lines[3:]]) + "\n")
    entries = list(read_entries(detect(str(path))))
    broken = [
        (e.where.rpartition("/")[2], [c for c, _ in e.findings]) for e in entries if e.findings
    ]
    assert broken == [("dataset.jsonl:4", [code])]
    assert len(entries) == 9


def test_a_truncated_last_line_fails_in_every_mode(tmp_path: Path) -> None:
    write_dataset(tmp_path)
    path = tmp_path / "dataset.jsonl"
    path.write_text(path.read_text()[:-40])
    summary = run(tmp_path, mode="quarantine", quarantine_budget=1.0)
    assert found(summary) == {"file_truncated": 1}
    assert not summary["ok"]


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("format_name", ["karpathy", "coco"])
def test_a_truncated_json_file_fails(tmp_path: Path, format_name: str, share: float) -> None:
    text = annotations(20)
    path = tmp_path / "d.json"
    path.write_text(text)
    assert not any(e.findings for e in read_entries(detect(str(path), format_name=format_name)))
    path.write_text(text[: int(len(text) * share)])
    entries = list(read_entries(detect(str(path), format_name=format_name)))
    assert any(code == "file_malformed" for e in entries for code, _ in e.findings)


def test_quarantine_goes_on_within_its_budget(tmp_path: Path) -> None:
    rows = write_dataset(tmp_path, 50)
    (tmp_path / rows[7]["image"]).unlink()
    rows[8]["captions"][0] = None
    write_rows(tmp_path, rows)
    assert not run(tmp_path)["ok"]
    summary = run(tmp_path, mode="quarantine", quarantine_budget=0.02)
    assert summary["ok"]
    assert summary["numbers"]["num_set_aside"] == 1
    aside = [
        json.loads(line) for line in (tmp_path / "out/quarantine.jsonl").read_text().splitlines()
    ]
    assert [(a["subject"], a["code"], a["image_id"]) for a in aside] == [
        ("image", "image_missing", "id7"),
        ("caption", "caption_not_text", "id8"),
    ]
    over = run(tmp_path, mode="quarantine", quarantine_budget=0.01)
    assert [reason.partition(":")[0] for reason in over["reasons"]] == ["share_set_aside"]


def test_thresholds_and_own_expectations(tmp_path: Path) -> None:
    rows = write_dataset(tmp_path, 20)
    (tmp_path / rows[3]["image"]).unlink()
    thresholds = tmp_path / "t.json"
    own = {"table": "images", "type": "expect_column_values_to_be_between",
           "kwargs": {"column": "num_captions", "min_value": 5}}  # fmt: skip
    content: dict[str, Any] = {"max_share": {"image_missing": 0.1}, "expectations": [own]}
    thresholds.write_text(json.dumps(content))
    assert run(tmp_path, thresholds=str(thresholds))["ok"]
    own["kwargs"] = {"column": "num_captions", "min_value": 6}
    content["dataset"] = {"num_train": {"min": 1000}}
    thresholds.write_text(json.dumps(content))
    reasons = run(tmp_path, thresholds=str(thresholds))["reasons"]
    assert sorted(reason.partition(":")[0] for reason in reasons) == ["num_captions", "num_train"]


@pytest.mark.parametrize(
    "content",
    [
        '{"max_shares": {}}',
        '{"max_share": {"image_lost": 0.1}}',
        '{"max_share": {"image_missing": 2}}',
        '{"dataset": {"num_train": 5}}',
        '{"expectations": [{"type": "expect_column_to_exist"}]}',
        '{"expectations": [{"table": "images", "type": "expect_no_such_thing", "kwargs": {}}]}',
        '{"expectations": [{"table": "images", "type": "expect_column_max_to_be_between",'
        ' "kwargs": {"column": "nothing"}}]}',
        "not json",
    ],
)
def test_a_wrong_thresholds_file_is_refused(tmp_path: Path, content: str) -> None:
    write_dataset(tmp_path, 5)
    (tmp_path / "t.json").write_text(content)
    with pytest.raises(ConfigError):
        run(tmp_path, thresholds=str(tmp_path / "t.json"))


def test_an_empty_or_missing_dataset_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dataset.jsonl").write_text("")
    with pytest.raises(DataError, match="no images"):
        run(tmp_path)
    with pytest.raises(DataError, match="no such dataset"):
        run(tmp_path, "other.jsonl")


def test_a_dataset_without_a_usable_image_is_refused_with_reasons(tmp_path: Path) -> None:
    (tmp_path / "dataset.jsonl").write_text('{"image": 3.5, "captions": ["a"], "split": "train"}\n')
    summary = run(tmp_path)
    assert not summary["ok"]
    assert found(summary)["row_malformed"] == 1


def test_copies_of_photographs_are_found_between_splits(tmp_path: Path, real_data: Path) -> None:
    """C5 on real photographs, 20 of each copy, with 200 others that must raise no alarm."""
    photos = sorted((real_data / "flickr8k" / "images").iterdir())[:320]
    rows: Rows = []
    expected: dict[str, str] = {}
    (tmp_path / "images").mkdir()
    for index, photo in enumerate(photos):
        rows.append(
            {"id": photo.stem, "image": str(photo), "captions": captions_of(index), "split": "test"}
        )
        if index < 20 * len(COPIES):
            kind = list(COPIES)[index % len(COPIES)]
            name = f"images/{kind}-{photo.stem}.jpg"
            (tmp_path / name).write_bytes(COPIES[kind](Image.open(photo).convert("RGB")))
            rows.append(
                {"id": name, "image": name, "captions": captions_of(1000 + index), "split": "train"}
            )
            expected[name] = kind
    write_rows(tmp_path, rows)
    summary = run(tmp_path, max_examples=1000)
    seen = {e["image_id"] for e in summary["findings"]["leak_similar"]["examples"]}
    for kind in COPIES:
        names = {name for name, k in expected.items() if k == kind}
        assert len(seen & names) >= 0.95 * len(names), kind
    print(f"copies found: {len(seen & set(expected))} of {len(expected)}")
    assert len(seen - set(expected)) <= 0.005 * len(photos)
    assert set(found(summary)) <= {"leak_similar", "image_similar"}


def test_real_photographs_raise_no_alarm(tmp_path: Path, real_data: Path) -> None:
    dataset = real_data / "coco_mini" / "annotations"
    config = ValidationConfig(num_workers=2)
    result = validate(str(dataset), "", config, tmp_path / "m.parquet", tmp_path / "out")
    assert (result.ok, result.num_images, result.reasons) == (True, 217, [])


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_truncated_tar_fails(tmp_path: Path, share: float) -> None:
    path = tmp_path / "train.tar"
    with tarfile.open(path, "w") as tar:
        for index in range(4):
            data = encoded(random_image(index))
            info = tarfile.TarInfo(f"{index}.jpg")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    whole = path.read_bytes().rstrip(b"\0")
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(TarError):
        list(iter_members(path))


def test_a_second_run_opens_only_new_images(tmp_path: Path) -> None:
    """Incremental: what did not change is not decoded again; a changed file is."""
    from dico.validation.scan import scan

    rows = write_dataset(tmp_path, 12)
    source = detect(str(tmp_path / "dataset.jsonl"))
    config = ValidationConfig(num_workers=1)

    def decoded() -> int:
        work = tmp_path / "work"
        work.mkdir(exist_ok=True)
        return scan(read_entries(source), work, tmp_path / "cache.sqlite", config).num_decoded

    assert decoded() == 12
    assert decoded() == 0
    (tmp_path / rows[4]["image"]).write_bytes(encoded(random_image(500)))
    assert decoded() == 1


def test_a_drifted_dataset_is_refused(tmp_path: Path) -> None:
    rows = write_dataset(tmp_path, 40)
    assert run(tmp_path)["ok"]
    baseline = tmp_path / "base.parquet"
    (tmp_path / "m.parquet").rename(baseline)
    assert run(tmp_path, baseline=str(baseline))["ok"]
    for row in rows:
        row["captions"] = [
            f"zwei {c} unter neuen vielen fremden anderen Wörtern" for c in row["captions"]
        ]
    write_rows(tmp_path, rows)
    reasons = run(tmp_path, baseline=str(baseline))["reasons"]
    assert [r.partition(":")[0] for r in reasons] == ["drift_words_per_caption", "drift_new_words"]


def test_a_killed_validation_goes_on_where_it_was(tmp_path: Path) -> None:
    """SIGKILL in the middle: what was seen before it, but for the last batch, is not opened again."""
    from dico.images import facts_cache
    from dico.validation.scan import scan

    write_dataset(tmp_path, 40)
    source, work = detect(str(tmp_path / "dataset.jsonl")), tmp_path / "work"
    work.mkdir()
    config = ValidationConfig(num_workers=1)

    def dying() -> Iterator[Entry]:
        for index, entry in enumerate(read_entries(source)):
            if index == 30:
                os.kill(os.getpid(), signal.SIGKILL)
            yield entry

    child = os.fork()
    if not child:
        facts_cache._BATCH = 5
        scan(dying(), work, tmp_path / "cache.sqlite", config)
        os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    again = scan(read_entries(source), work, tmp_path / "cache.sqlite", config)
    assert again.num_rows == 40
    assert 10 <= again.num_decoded <= 25
