"""The words of facts: names, attributes, relations and backgrounds, with their synonyms."""

import dataclasses
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, NamedTuple

from dico.errors import DataError

OBJECT, RELATION, BACKGROUND, COUNT = "object", "relation", "background", "count"
Synonyms = Mapping[str, tuple[str, ...]]


class Term(NamedTuple):
    """One sense of a word or phrase."""

    kind: str
    """object, relation, background, or a kind of attribute."""

    value: str
    """Its name among the facts."""


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """What may be said, by name; each name has its synonyms, and is itself one."""

    objects: Synonyms
    """Names of objects."""

    attributes: Mapping[str, Synonyms] = dataclasses.field(default_factory=dict)
    """Kind of attribute, such as colour, to its values."""

    relations: Synonyms = dataclasses.field(default_factory=dict)
    """Relations of a first object to a second."""

    inverses: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Relation to that of the second object to the first, such as above to below."""

    backgrounds: Synonyms = dataclasses.field(default_factory=dict)
    """What the objects are before or in."""

    object_kind: str = OBJECT
    """What the name of an object says, for reports: its shape, say."""

    background_words: tuple[str, ...] = (BACKGROUND,)
    """Words that follow a background's name."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of statements, in the order of reports."""
        rest = [RELATION] * bool(self.relations) + [BACKGROUND] * bool(self.backgrounds)
        return (self.object_kind, *self.attributes, *rest, COUNT)

    def words_of(self, kind: str) -> Synonyms:
        """The values of a kind of statement, with their synonyms; none for counts."""
        if kind == self.object_kind:
            return self.objects
        return {RELATION: self.relations, BACKGROUND: self.backgrounds, **self.attributes}.get(
            kind, {}
        )

    @cached_property
    def phrases(self) -> dict[tuple[str, ...], tuple[Term, ...]]:
        """Words, lower-cased, to all that they may mean."""
        found: dict[tuple[str, ...], list[Term]] = {}
        for phrase, term in self._senses():
            senses = found.setdefault(tuple(phrase.lower().split()), [])
            if term not in senses:
                senses.append(term)
        return {words: tuple(senses) for words, senses in found.items()}

    @cached_property
    def longest_phrase(self) -> int:
        """Words in the longest phrase."""
        return max(map(len, self.phrases))

    def _senses(self) -> Iterator[tuple[str, Term]]:
        kinds = {OBJECT: self.objects, RELATION: self.relations, BACKGROUND: self.backgrounds}
        for kind, values in {**kinds, **self.attributes}.items():
            for value, synonyms in values.items():
                for phrase in (value, *synonyms):
                    yield phrase, Term(kind, value)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, the inverse of `from_dict`."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Any, where: str) -> "Vocabulary":
        """Reads the vocabulary of a facts file.

        Raises:
            DataError: unknown or missing parts, wrong types, an inverse that is no relation.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(data, dict) or "objects" not in data:
            raise DataError(f'{where}: a vocabulary needs "objects": {{name: [synonyms]}}')
        if unknown := sorted(data.keys() - known):
            raise DataError(f"{where}: unknown in the vocabulary: {', '.join(unknown)}")
        values: dict[str, Any] = {**data}
        for name in ("objects", "relations", "backgrounds"):
            values[name] = _synonyms(data.get(name, {}), f"{where}: {name}")
        values["attributes"] = {
            str(kind): _synonyms(own, f"{where}: attributes: {kind}")
            for kind, own in _object(data.get("attributes", {}), f"{where}: attributes").items()
        }
        clash = {OBJECT, RELATION, BACKGROUND, COUNT} & values["attributes"].keys()
        if clash:
            raise DataError(f"{where}: no attribute may be called {', '.join(sorted(clash))}")
        values["background_words"] = tuple(data.get("background_words", (BACKGROUND,)))
        inverses = _object(data.get("inverses", {}), f"{where}: inverses")
        strange = {*inverses, *map(str, inverses.values())} - values["relations"].keys()
        if strange:
            raise DataError(f"{where}: inverses: no such relation: {', '.join(sorted(strange))}")
        return cls(**values)


def _object(data: Any, where: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise DataError(f"{where}: expected an object, got {str(data)[:60]!r}")
    return data


def _synonyms(data: Any, where: str) -> dict[str, tuple[str, ...]]:
    found = {}
    for name, synonyms in _object(data, where).items():
        if not isinstance(synonyms, list | tuple) or not all(
            isinstance(text, str) and text.strip() for text in (name, *synonyms)
        ):
            raise DataError(f"{where}: {name!r}: expected a list of synonyms")
        found[str(name)] = tuple(synonyms)
    return found
