"""What validation says of a row, of its counts, and of the options that its advice names."""

import inspect
import json
import re

import pytest
from PIL import Image

from dico.cli import main
from dico.cli.validate import validate as command
from dico.validation.findings import KINDS
from tests.data.images import write_dataset


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(["validate", *map(str, arguments)])
    return ended.value.code, capsys.readouterr()


@pytest.fixture
def dataset(tmp_path):
    rows = write_dataset(tmp_path, 6)
    rows[2]["captions"].append("n/a")
    rows[3]["image"] = "gone.jpg"
    rows[4] |= {"is_rejected": True}
    rows[5]["captions"][0] = "word " * 60
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "dataset.jsonl").write_text(text)
    return tmp_path / "dataset.jsonl", rows


def test_rows_are_explained_by_number_id_and_place(dataset, capsys):
    path, rows = dataset
    for row in ("2", rows[2]["image"], "dataset.jsonl:3"):
        code, said = run(capsys, path, "--explain", row)
        assert code == 0
        assert "dataset.jsonl:3" in said.out
        assert f"{path.parent}/{rows[2]['image']}" in said.out
        assert "px)" in said.out
        assert "caption_boilerplate" in said.out
    assert "image_missing" in run(capsys, path, "--explain", "3")[1].out
    assert "caption_rejected" in run(capsys, path, "--explain", "4")[1].out
    code, said = run(capsys, path, "--explain", "zebra")
    assert (code, said.err.count("\n")) == (65, 1)


def test_each_line_of_an_image_explains_it(tmp_path, capsys):
    write_dataset(tmp_path, 2)
    names = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.jpg"))
    (tmp_path / "train").mkdir()
    (tmp_path / names[0]).rename(tmp_path / "train/0.jpg")
    table = f'image,caption\ntrain/0.jpg,"a dog\nruns"\n{names[1]},a cat\ntrain/0.jpg,a brown dog\n'
    (tmp_path / "d.csv").write_text(table)
    for place in ("d.csv:2", "d.csv:5"):
        code, said = run(capsys, tmp_path / "d.csv", "--explain", place)
        assert (code, said.out.count("\n\n")) == (0, 0)
        assert "d.csv:2\n" in said.out
        assert "2 rows of this image: also d.csv:5" in said.out
        assert "(none: train, by its folder, where all images" in said.out
        assert "caption      a brown dog\n" in said.out


def test_what_was_read_is_kept_or_named(dataset, capsys, tmp_path):
    path, rows = dataset
    code, said = run(capsys, path, "--output", tmp_path / "out", "--workers", "1")
    assert code == 65
    lines = {line.split()[0]: line for line in said.out.splitlines()}
    assert "6 read, 4 kept" in lines["images"]
    assert "1 image_missing" in lines["images"]
    assert "1 captions_rejected" in lines["images"]
    counts = json.loads((tmp_path / "out/summary.json").read_text())["fidelity"]["captions"]
    num_read = sum(len(row["captions"]) for row in rows)
    assert counts["read"] == num_read
    assert counts["kept"] + sum(counts["left_out"].values()) == num_read
    assert "1 caption_cut" in lines["flagged"]
    page = " ".join((tmp_path / "out/report.html").read_text().split())
    assert f"<td>captions</td><td>{num_read}</td> <td>{counts['kept']}</td>" in page
    for code, count in counts["left_out"].items():
        assert re.search(rf"<b>{count}</b> [^<]+<code>{code}</code>", page)


def test_columns_are_named_on_the_command_line(tmp_path, capsys):
    Image.new("RGB", (64, 48), (9, 90, 200)).save(tmp_path / "a.png")
    (tmp_path / "d.csv").write_text("pic,words\na.png,a blue square here\n")
    code, said = run(capsys, tmp_path / "d.csv", "--output", tmp_path / "out")
    assert (code, said.err.count("\n")) == (65, 1)
    assert "--image-column NAME --caption-column NAME" in said.err
    options = ("--image-column", "pic", "--caption-column", "words", "--workers", "1")
    code, said = run(capsys, tmp_path / "d.csv", "--output", tmp_path / "out", *options)
    assert "1 read, 1 kept" in said.out


def test_advice_names_options_that_there_are():
    options = {f"--{name.replace('_', '-')}" for name in inspect.signature(command).parameters}
    named = {option for kind in KINDS.values() for option in re.findall(r"--[a-z-]+", kind.advice)}
    assert named
    assert named <= options
    settings = ("min_captions", "max_pixels", "max_caption_chars")
    assert not any(name in kind.advice for kind in KINDS.values() for name in settings)
