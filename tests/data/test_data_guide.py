"""The examples of docs/data.md are read as the guide says."""

import re
from pathlib import Path

import pytest

from dico.data.formats import FORMATS, detect, read_entries

GUIDE = (Path(__file__).parents[2] / "docs/data.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(
    r"<!-- example: (\S+), (\w+), (\d+) images, (\d+) captions -->\n```\n(.*?)```",
    GUIDE,
    re.DOTALL,
)
NAMES = re.compile(r"[\w./]+\.jpg")


@pytest.mark.parametrize("example", EXAMPLES, ids=[one[0] for one in EXAMPLES])
def test_an_example_is_read_as_it_says(tmp_path, example):
    name, format_name, num_images, num_captions, text = example
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    for image in NAMES.findall(text):
        for folder in (path.parent, path.parent / "val2014"):
            (folder / image).parent.mkdir(parents=True, exist_ok=True)
            (folder / image).write_bytes(b"")
    found = detect(str(path))
    entries = list(read_entries(found))
    assert found.format == format_name
    assert [entry.findings for entry in entries] == [[]] * int(num_images)
    assert sum(len(entry.captions) for entry in entries) == int(num_captions)
    assert all(Path(entry.uri).exists() for entry in entries)


def test_every_format_is_in_the_guide():
    assert len(EXAMPLES) >= 8
    assert [name for name in FORMATS if f"(`{name}`)" not in GUIDE] == []
