"""The examples of docs/data.md are read as the guide says."""

import re
from pathlib import Path

import pytest

from dico.data.formats import FORMATS, detect, read_entries
from dico.images.embedded import container_of
from tests.data.test_layouts import tar

GUIDE = (Path(__file__).parents[2] / "docs/data.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(
    r"<!-- example: (\S+), (\w+), (\d+) images, (\d+) captions -->\n```(\w*)\n(.*?)```",
    GUIDE,
    re.DOTALL,
)
NAMES = re.compile(r"[\w./]+\.jpg")


@pytest.mark.parametrize("example", EXAMPLES, ids=[one[0] for one in EXAMPLES])
def test_an_example_is_read_as_it_says(tmp_path, monkeypatch, example):
    name, format_name, num_images, num_captions, language, text = example
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    write_images(path.parent, text)
    if language == "python":
        monkeypatch.chdir(tmp_path)
        exec(text, {})
    elif format_name in ("sidecar", "webdataset"):
        write_files(path, text)
    else:
        path.write_text(text)
    found = detect(str(path))
    entries = list(read_entries(found))
    assert found.format == format_name
    assert [entry.findings for entry in entries] == [[]] * int(num_images)
    assert sum(len(entry.captions) for entry in entries) == int(num_captions)
    assert all(Path(container_of(entry.uri)[0]).exists() for entry in entries)


def write_images(folder: Path, text: str) -> None:
    for image in {*NAMES.findall(text), "images/0001.jpg", "images/0002.jpg"}:
        for parent in (folder, folder / "val2014"):
            (parent / image).parent.mkdir(parents=True, exist_ok=True)
            (parent / image).write_bytes(b"image")


def write_files(path: Path, text: str) -> None:
    """Writes the lines of an example, a name and a content each, to a folder or a tar."""
    files = dict(
        line.split(maxsplit=1) if " " in line else (line, "") for line in text.splitlines()
    )
    if path.suffix == ".tar":
        tar(path, {name: content.encode() or b"image" for name, content in files.items()})
        return
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(content)


def test_every_format_has_an_example():
    assert {example[1] for example in EXAMPLES} == set(FORMATS)
    assert [name for name in FORMATS if f"(`{name}`)" not in GUIDE] == []
