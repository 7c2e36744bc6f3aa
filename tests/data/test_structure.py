"""C4, C5 and the corruptor: every planted defect is found, named, and nothing else is."""

import io
import json
import random
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageEnhance

from dico.data.formats import detect, read_entries
from dico.data.manifest import fingerprint, read_manifest
from dico.data.tar_index import TarError, iter_members
from dico.data.validation import ValidationConfig, validate
from dico.data.validation.findings import KINDS
from dico.errors import ConfigError, DataError
from tests.data.pictures import captions_of, encoded, picture, write_dataset, write_rows

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
    return {code: finding["num_pictures"] for code, finding in summary["findings"].items()}


def test_a_clean_dataset_has_no_finding(tmp_path: Path) -> None:
    write_dataset(tmp_path)
    summary = run(tmp_path)
    assert summary["ok"]
    assert found(summary) == {}
    assert summary["split_counts"] == {"train": 18, "validation": 6, "test": 6}


# Each defect changes the row or the file of one picture; the code is what must be found there.
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
    "text": ("image_format", _write(b"not a picture at all")),
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
    "image is a number": ("row_malformed", _set("image", 17)),
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
PLACES = 20


@pytest.fixture(scope="module")
def corrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Any]:
    """One dataset with every defect in 20 places, and where each was planted."""
    folder = tmp_path_factory.mktemp("corrupted")
    rows = write_dataset(folder, PLACES * len(DEFECTS) + 40)
    planted: dict[str, set[str]] = {}
    places = random.Random(0).sample(range(len(rows)), PLACES * len(DEFECTS))
    for number, (code, plant) in enumerate(DEFECTS.values()):
        for place in places[number * PLACES : (number + 1) * PLACES]:
            plant(folder, rows[place])
            planted.setdefault(code, set()).add(rows[place]["id"])
    path = write_rows(folder, rows)
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
    assert summary["findings"]["row_malformed"]["num_pictures"] == num_rows_without_id
    seen.pop("row_malformed")
    assert seen == planted
    total = sum(map(len, planted.values())) + num_rows_without_id
    print(f"planted defects found: {total} of {PLACES * len(DEFECTS)}")


def test_each_error_is_a_reason(corrupted: tuple[dict[str, Any], Any]) -> None:
    summary, _ = corrupted
    errors = {code for code in summary["findings"] if KINDS[code].severity == "error"}
    assert {reason.partition(":")[0] for reason in summary["reasons"]} == errors


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


@pytest.mark.parametrize("code", STRUCTURES)
def test_rows_are_compared(tmp_path: Path, code: str) -> None:
    rows = write_dataset(tmp_path)
    STRUCTURES[code](tmp_path, rows)
    write_rows(tmp_path, rows)
    summary = run(tmp_path)
    assert found(summary) == {code: 1}
    assert summary["ok"] == (KINDS[code].severity == "warning")
    if code == "leak_identical":  # the copy in train goes, the test picture stays
        kept = {record.image_id for record in read_manifest(tmp_path / "m.parquet")}
        assert "id0" in kept
        assert "copy" not in kept


LINES = {
    "json_duplicate_key": '{"image": "a.jpg", "image": "b.jpg", "captions": ["a dog runs"]}',
    "json_nan": '{"image": "a.jpg", "captions": ["a dog runs"], "score": NaN}',
    "json_huge_integer": '{"image": "a.jpg", "captions": ["a dog runs"], "n": ' + "9" * 5_000 + "}",
    "json_too_deep": '{"image": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "json_malformed": '{"image": "a.jpg", "captions": [a dog]}',
    "row_malformed": '["a.jpg", "a dog"]',
}


@pytest.mark.parametrize("code", LINES)
def test_a_broken_line_is_named_with_its_number(tmp_path: Path, code: str) -> None:
    write_dataset(tmp_path, 8)
    path = tmp_path / "dataset.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], LINES[code], *lines[3:]]) + "\n")
    start = time.monotonic()
    entries = list(read_entries(detect(str(path))))
    assert time.monotonic() - start < 5
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
    images = [
        {"filename": f"{i}.jpg", "id": i, "file_name": f"{i}.jpg", "split": "train",
         "sentences": [{"raw": c} for c in captions_of(i)]}
        for i in range(20)
    ]  # fmt: skip
    annotations = [{"image_id": i, "caption": c} for i in range(20) for c in captions_of(i)]
    text = json.dumps({"images": images, "annotations": annotations})
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
        ("picture", "image_missing", "id7"),
        ("caption", "caption_not_text", "id8"),
    ]
    over = run(tmp_path, mode="quarantine", quarantine_budget=0.01)
    assert [reason.partition(":")[0] for reason in over["reasons"]] == ["share_set_aside"]


def test_thresholds_and_own_expectations(tmp_path: Path) -> None:
    rows = write_dataset(tmp_path, 20)
    (tmp_path / rows[3]["image"]).unlink()
    thresholds = tmp_path / "t.json"
    own = {"table": "pictures", "type": "expect_column_values_to_be_between",
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
        '{"expectations": [{"table": "pictures", "type": "expect_no_such_thing", "kwargs": {}}]}',
        '{"expectations": [{"table": "pictures", "type": "expect_column_max_to_be_between",'
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
    with pytest.raises(DataError, match="no pictures"):
        run(tmp_path)
    with pytest.raises(DataError, match="no such dataset"):
        run(tmp_path, "other.jsonl")


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
            data = encoded(picture(index))
            info = tarfile.TarInfo(f"{index}.jpg")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    whole = path.read_bytes().rstrip(b"\0")
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(TarError):
        list(iter_members(path))


def test_a_second_run_opens_only_new_pictures(tmp_path: Path) -> None:
    """Incremental: what did not change is not decoded again; a changed file is."""
    from dico.data.validation.scan import scan

    rows = write_dataset(tmp_path, 12)
    source = detect(str(tmp_path / "dataset.jsonl"))
    config = ValidationConfig(num_workers=1)

    def decoded() -> int:
        work = tmp_path / "work"
        work.mkdir(exist_ok=True)
        return scan(read_entries(source), work, tmp_path / "cache.sqlite", config).num_decoded

    assert decoded() == 12
    assert decoded() == 0
    (tmp_path / rows[4]["image"]).write_bytes(encoded(picture(500)))
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
