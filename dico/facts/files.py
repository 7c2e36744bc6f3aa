"""The file of facts beside a dataset: JSON lines, the vocabulary first, then an image a line.

    {"format": 1, "vocabulary": {"objects": {"circle": ["disc"]}, "attributes": {"colour": ...}}}
    {"image_id": "a", "objects": [{"name": "circle", "attributes": {"colour": "red"}}]}

CHAIR's annotation is the case with names alone: `facts_of_objects`.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from dico.errors import DataError
from dico.facts.scene import Scene, Thing
from dico.facts.vocabulary import Vocabulary
from dico.storage import atomic_write

FORMAT = 1
FACTS_FILE = "facts.jsonl"


def read_facts(path: str | Path) -> tuple[Vocabulary, dict[str, Scene]]:
    """The vocabulary and {image id: scene}.

    Raises:
        DataError: not such a file; the line is named. An image twice.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file of facts") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as facts: {error}") from None
    head = _line(lines[0], f"{path}: line 1") if lines else {}
    if head.get("format") != FORMAT or "vocabulary" not in head:
        raise DataError(
            f'{path}: line 1: expected {{"format": {FORMAT}, "vocabulary": ...}}; see docs/metrics.md'
        )
    vocabulary = Vocabulary.from_dict(head["vocabulary"], f"{path}: line 1")
    scenes: dict[str, Scene] = {}
    for number, text in enumerate(lines[1:], 2):
        if not text.strip():
            continue
        where = f"{path}: line {number}"
        own = _line(text, where)
        image_id = own.pop("image_id", None)
        if not isinstance(image_id, str | int) or isinstance(image_id, bool):
            raise DataError(f'{where}: no "image_id"')
        if str(image_id) in scenes:
            raise DataError(f"{where}: image {image_id} twice")
        scenes[str(image_id)] = Scene.from_dict(own, vocabulary, where)
    return vocabulary, scenes


def write_facts(
    path: str | Path, vocabulary: Vocabulary, scenes: Iterable[tuple[str, Scene]]
) -> None:
    """Writes what `read_facts` reads; the file appears whole."""
    with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(_dump({"format": FORMAT, "vocabulary": vocabulary.to_dict()}))
        for image_id, scene in scenes:
            file.write(_dump({"image_id": image_id, **scene.to_dict()}))


def facts_of_objects(
    objects: Mapping[str, Collection[str]], names: Mapping[str, str]
) -> tuple[Vocabulary, dict[str, Scene]]:
    """Facts of annotated objects, as CHAIR has them.

    Args:
        objects: {image id: names of what the image shows}.
        names: name to object, `dico.metrics.Synonyms.objects`.
    """
    synonyms: dict[str, tuple[str, ...]] = {}
    for name, meant in names.items():
        synonyms[meant] = (*synonyms.get(meant, ()), name)
    things = {
        image_id: [names.get(name, name) for name in own] for image_id, own in objects.items()
    }
    synonyms |= {name: () for own in things.values() for name in own if name not in synonyms}
    return Vocabulary(synonyms), {i: Scene(tuple(map(Thing, own))) for i, own in things.items()}


def _line(text: str, where: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise DataError(f"{where}: not JSON: {text[:60]!r}") from None
    if not isinstance(data, dict):
        raise DataError(f"{where}: expected an object, got {text[:60]!r}")
    return data


def _dump(data: dict[str, Any]) -> str:
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False) + "\n"
