"""The file of facts: what is written is read, and what is wrong is named."""

import json

import pytest

from dico.errors import DataError
from dico.facts import Vocabulary, read_facts, write_facts


def test_what_is_written_is_read(tmp_path, scene, vocabulary):
    path = tmp_path / "facts.jsonl"
    write_facts(path, vocabulary, [("a", scene), ("b", scene)])
    assert read_facts(path) == (vocabulary, {"a": scene, "b": scene})
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[1] == {
        "image_id": "a",
        "objects": [
            {"name": "dog", "attributes": {"colour": "white"}},
            {"name": "ball", "attributes": {"colour": ["red", "white"], "size": []}},
        ],
        "relations": [[0, "left of", 1]],
        "background": "beach",
    }


def test_names_alone_will_do(tmp_path):
    path = tmp_path / "facts.jsonl"
    path.write_text(
        '{"format": 1, "vocabulary": {"objects": {"dog": ["puppy"]}}}\n'
        '{"image_id": 7, "objects": ["dog"]}\n\n'
    )
    vocabulary, scenes = read_facts(path)
    assert vocabulary == Vocabulary({"dog": ("puppy",)})
    assert [thing.name for thing in scenes["7"].things] == ["dog"]
    assert scenes["7"].num_facts == 1


HEAD = (
    '{"format": 1, "vocabulary": {"objects": {"dog": []}, "attributes": {"colour": {"red": []}}, '
    '"relations": {"above": []}}}\n'
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: expected"),
        ('{"format": 2, "vocabulary": {}}', "line 1: expected"),
        ("[]", "line 1: expected an object"),
        ('{"format": 1, "vocabulary": {}}', 'a vocabulary needs "objects"'),
        ('{"format": 1, "vocabulary": {"objects": {}, "shapes": {}}}', "unknown in the vocabulary"),
        ('{"format": 1, "vocabulary": {"objects": {"dog": "puppy"}}}', "expected a list of synon"),
        (
            '{"format": 1, "vocabulary": {"objects": {}, "attributes": {"count": {}}}}',
            "no attribute may be called count",
        ),
        (
            '{"format": 1, "vocabulary": {"objects": {}, "inverses": {"above": "below"}}}',
            "no such relation: above, below",
        ),
        (HEAD + '{"objects": []}', 'line 2: no "image_id"'),
        (HEAD + '{"image_id": "a"}', 'line 2: expected "objects"'),
        (HEAD + '{"image_id": "a", "objects": [], "things": []}', "unknown: things"),
        (HEAD + '{"image_id": "a", "objects": ["cat"]}', "'cat' is not among the vocabulary's obj"),
        (
            HEAD + '{"image_id": "a", "objects": [{"name": "dog", "attributes": {"size": "big"}}]}',
            "'size' is no kind of attribute",
        ),
        (
            HEAD + '{"image_id": "a", "objects": [{"name": "dog", "attributes": {"colour": 3}}]}',
            "3 is not among the vocabulary's colour",
        ),
        (
            HEAD + '{"image_id": "a", "objects": ["dog"], "relations": [[0, "above", 1]]}',
            "there is no object 1",
        ),
        (
            HEAD + '{"image_id": "a", "objects": ["dog", "dog"], "relations": [[0, "on", 1]]}',
            "not a relation of the vocabulary",
        ),
        (HEAD + '{"image_id": "a", "objects": ["dog"], "background": "sky"}', "vocabulary's backg"),
        (HEAD + '{"image_id": "a", "objects": []}\n' * 2, "line 3: image a twice"),
        (HEAD + "{", "line 2: not JSON"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, message):
    path = tmp_path / "facts.jsonl"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_facts(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="no such file of facts"):
        read_facts(tmp_path / "facts.jsonl")
