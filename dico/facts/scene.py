"""The facts of one image: objects with attributes, their relations, and the background."""

import dataclasses
import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from dico.errors import DataError
from dico.facts.vocabulary import Vocabulary

Relation = tuple[int, str, int]


@dataclasses.dataclass(frozen=True)
class Thing:
    """One object."""

    name: str
    """Its name in the vocabulary."""

    attributes: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """Kind to values. No values: it has none of that kind; a kind that is absent: nothing is known."""


@dataclasses.dataclass(frozen=True)
class Scene:
    """What one image shows."""

    things: tuple[Thing, ...]
    """Its objects."""

    relations: tuple[Relation, ...] = ()
    """(place of the first object, relation, place of the second): those worth naming."""

    implied_relations: tuple[Relation, ...] = ()
    """Those that hold too but need not be named: recall does not ask for them."""

    background: tuple[str, ...] | None = None
    """What may be called its background; None where nothing is known."""

    @property
    def num_facts(self) -> int:
        """How many facts a caption that names everything states."""
        attributes = sum(bool(own) for thing in self.things for own in thing.attributes.values())
        return len(self.things) + attributes + len(self.relations) + bool(self.background)

    @cached_property
    def related(self) -> dict[tuple[int, int], set[str]]:
        """Two objects to all relations that are given of the first to the second."""
        found: dict[tuple[int, int], set[str]] = {}
        for first, relation, second in (*self.relations, *self.implied_relations):
            found.setdefault((first, second), set()).add(relation)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, the inverse of `from_dict`; what is empty is left out."""
        objects = [
            {
                "name": thing.name,
                "attributes": {
                    kind: own[0] if len(own) == 1 else list(own)
                    for kind, own in thing.attributes.items()
                },
            }
            for thing in self.things
        ]
        data: dict[str, Any] = {"objects": objects}
        for name in ("relations", "implied_relations"):
            if getattr(self, name):
                data[name] = [list(relation) for relation in getattr(self, name)]
        if self.background is not None:
            own = self.background
            data["background"] = own[0] if len(own) == 1 else list(own)
        return data

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(self.to_dict(), separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_dict(cls, data: Any, vocabulary: Vocabulary, where: str) -> "Scene":
        """Reads the facts of an image.

        Raises:
            DataError: not such facts, or a word that the vocabulary does not have.
        """
        known = {"objects", "relations", "implied_relations", "background"}
        if not isinstance(data, dict) or not isinstance(data.get("objects"), list):
            raise DataError(f'{where}: expected "objects", a list')
        if unknown := sorted(data.keys() - known):
            raise DataError(f"{where}: unknown: {', '.join(unknown)}")
        things = tuple(_thing(own, vocabulary, where) for own in data["objects"])
        relations, implied = (
            tuple(_relation(own, len(things), vocabulary, where) for own in _list(data, key, where))
            for key in ("relations", "implied_relations")
        )
        ground = data.get("background")
        background = (
            None if ground is None else _values(ground, vocabulary.backgrounds, "background", where)
        )
        return cls(things, relations, implied, background)

    @classmethod
    def from_json(cls, text: str, vocabulary: Vocabulary, where: str) -> "Scene":
        """Reads one line of JSON; raises as `from_dict`."""
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: not JSON: {error}") from None
        return cls.from_dict(data, vocabulary, where)


def _thing(data: Any, vocabulary: Vocabulary, where: str) -> Thing:
    if isinstance(data, str):
        data = {"name": data}
    if not isinstance(data, dict) or data.keys() - {"name", "attributes"}:
        raise DataError(f'{where}: an object is a name or {{"name", "attributes"}}, got {data!r}')
    (name,) = _values(data.get("name"), vocabulary.objects, "objects", where) or ("",)
    own = data.get("attributes", {})
    if not isinstance(own, dict):
        raise DataError(f"{where}: {name}: attributes: expected {{kind: value}}")
    attributes = {}
    for kind, values in own.items():
        if kind not in vocabulary.attributes:
            raise DataError(f"{where}: {name}: {kind!r} is no kind of attribute in the vocabulary")
        attributes[kind] = _values(values, vocabulary.attributes[kind], kind, where)
    return Thing(name, attributes)


def _values(data: Any, known: Mapping[str, object], kind: str, where: str) -> tuple[str, ...]:
    values = data if isinstance(data, list) else [data]
    for value in values:
        if not isinstance(value, str) or value not in known:
            raise DataError(f"{where}: {value!r} is not among the vocabulary's {kind}")
    return tuple(values)


def _list(data: dict[str, Any], key: str, where: str) -> list[Any]:
    own = data.get(key, [])
    if not isinstance(own, list):
        raise DataError(f"{where}: {key}: expected a list")
    return own


def _relation(data: Any, num_things: int, vocabulary: Vocabulary, where: str) -> Relation:
    shown = str(data)[:60]
    if not isinstance(data, list) or len(data) != 3:
        raise DataError(f"{where}: a relation is [first, relation, second], got {shown}")
    first, name, second = data
    for place in (first, second):
        if type(place) is not int or not 0 <= place < num_things:
            raise DataError(f"{where}: {shown}: there is no object {place!r}; they count from 0")
    if first == second or name not in vocabulary.relations:
        raise DataError(f"{where}: {shown}: not a relation of the vocabulary between two objects")
    return first, name, second
