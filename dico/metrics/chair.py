"""CHAIR, objects that a caption names and the picture does not show: Rohrbach et al., EMNLP 2018.

Words are brought to their singular, two-word names are joined, and names are mapped to the 80 COCO
objects by the published synonym list, which the caller brings. Two procedures are published:
``singular`` (2018: plural nouns alone) and ``lemma`` (the later one: verbs too, so that
"skateboarding" mentions a skateboard). They use the packages pattern and nltk, whose data are
downloads of their own; here a word is reduced by rules of English, to words of the list alone,
which is all that counts. nltk's tagger, which decides whether "skiing" is a verb, is not imitated in
full: to repeat a published table to the last digit give `chair` the words that its authors kept.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dico.errors import DataError
from dico.metrics.ptb import split_text

Procedure = Literal["singular", "lemma"]
_IRREGULAR = {
    "men": "man", "women": "woman", "children": "child", "mice": "mouse", "geese": "goose",
    "oxen": "ox", "feet": "foot", "teeth": "tooth", "knives": "knife", "calves": "calf",
    "wolves": "wolf", "loaves": "loaf", "policemen": "policeman", "cacti": "cactus",
    "firemen": "fireman", "snowmen": "snowman", "fishermen": "fisherman",
}  # fmt: skip
_LEMMA_QUIRKS = {"men": "men", "vases": "vas", "seating": "seating"}
"""Where WordNet's lemmatiser has its own way: "men" is an entry of its own, and so is "vas"."""
_BEFORE_NOUNS = frozenset(["a", "the", "her", "his", "their", "own", "your"])
"""After these an -ing form is a noun, and stays."""
_ANIMALS = "bird cat dog horse sheep cow elephant bear zebra giraffe animal cub".split()  # noqa: SIM905
_VEHICLES = ("jet", "train")


class Chair(NamedTuple):
    """Hallucination rates.

    Attributes:
        chair_s: share of captions with at least one hallucinated object, lower is better.
        chair_i: hallucinated mentions over all mentions, lower is better.
        recall: objects of the pictures that are mentioned, over all, higher is better.
        per_image: (B,) chair_i of each caption; 0 where it mentions nothing.
        mentioned: objects that each caption mentions, in order, each mention.
        hallucinated: those that are not in the picture.
    """

    chair_s: float
    chair_i: float
    recall: float
    per_image: NDArray[np.float64]
    mentioned: list[list[str]]
    hallucinated: list[list[str]]


@dataclass(frozen=True)
class Synonyms:
    """Names of objects.

    Attributes:
        objects: name to object, such as puppy to dog; two-word names too.
        doubles: two words to the one name that they are.
    """

    objects: Mapping[str, str]
    doubles: Mapping[str, str]

    @classmethod
    def read(cls, path: str | Path) -> "Synonyms":
        """Reads the published list: a line an object, its names separated by commas.

        Raises:
            DataError: not such a file.
        """
        try:
            lines = Path(path).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: not a list of synonyms: {error}") from None
        objects: dict[str, str] = {}
        for line in filter(str.strip, lines):
            names = line.strip().split(", ")  # as published: a name after two blanks keeps one
            objects |= dict.fromkeys(names, names[0])
        if not objects:
            raise DataError(f"{path}: holds no synonyms")
        return cls(objects, _doubles(objects))

    @cached_property
    def known_words(self) -> set[str]:
        """All words of the names."""
        return {word for name in (*self.objects, *self.doubles) for word in name.split()}


def chair(
    captions: Sequence[str] | Sequence[Sequence[str]],
    truth: Sequence[Collection[str]],
    synonyms: Synonyms,
    procedure: Procedure = "lemma",
) -> Chair:
    """CHAIR-s, CHAIR-i and recall.

    Args:
        captions: raw text, or lists of words that are reduced already.
        truth: the objects in each picture.
        synonyms: the published list.
        procedure: ``singular`` or ``lemma``, see the module.

    Raises:
        DataError: different lengths, no caption.
    """
    if len(captions) != len(truth) or not captions:
        raise DataError(f"chair: {len(captions)} captions for {len(truth)} lists of objects")
    mentioned = [mentions(caption, synonyms, procedure) for caption in captions]
    pairs = list(zip(mentioned, map(set, truth), strict=True))
    hallucinated = [[name for name in own if name not in shown] for own, shown in pairs]
    num_mentions = np.array([len(own) for own in mentioned])
    num_wrong = np.array([len(own) for own in hallucinated])
    num_shown = sum(len(shown) for _, shown in pairs)
    return Chair(
        float((num_wrong > 0).mean()),
        float(num_wrong.sum() / max(1, num_mentions.sum())),
        sum(len(shown.intersection(own)) for own, shown in pairs) / max(1, num_shown),
        num_wrong / np.maximum(1, num_mentions),
        mentioned,
        hallucinated,
    )


def mentions(
    caption: str | Sequence[str], synonyms: Synonyms, procedure: Procedure = "lemma"
) -> list[str]:
    """The objects that a caption, or a list of its reduced words, mentions, in order."""
    words = _reduced(caption, synonyms, procedure) if isinstance(caption, str) else caption
    joined, place = [], 0
    while place < len(words):
        double = synonyms.doubles.get(" ".join(words[place : place + 2]))
        joined.append(double or words[place])
        place += 2 if double else 1
    if "toilet" in joined and "seat" in joined:  # a toilet's seat is no chair
        joined = [word for word in joined if word != "seat"]
    return [synonyms.objects[word] for word in joined if word in synonyms.objects]


def _reduced(caption: str, synonyms: Synonyms, procedure: Procedure) -> list[str]:
    known = synonyms.known_words
    text = caption.replace("\n", " ")
    words = split_text(text, len(text))
    before = ["", *words]
    return [
        _reduce(word, known, procedure if left not in _BEFORE_NOUNS else "singular")
        if procedure == "singular" or word not in _LEMMA_QUIRKS
        else _LEMMA_QUIRKS[word]
        for word, left in zip(words, before, strict=False)
    ]


def _reduce(word: str, known: Collection[str], procedure: Procedure) -> str:
    """The form of a word that the list knows; else the word itself."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word.endswith("s"):
        for ending, singular in (("ies", "y"), ("ves", "f"), ("es", ""), ("s", "")):
            stem = word.removesuffix(ending) + singular
            if word.endswith(ending) and stem in known:
                return stem
    if procedure == "lemma" and word not in known:
        for ending in ("ing", "ed"):
            stem = word.removesuffix(ending)
            for base in (stem, stem + "e", stem[:-1] if stem[-2:-1] == stem[-1:] else stem):
                if word.endswith(ending) and base in known:
                    return base
    return word


def _doubles(objects: Mapping[str, str]) -> dict[str, str]:
    """Two-word names, and combinations that mean one object or another than their last word."""
    doubles = {name: name for name in objects if len(name.split(" ")) == 2}
    doubles |= {name: name for name in ("home plate", "train track", "motor bike")}
    doubles.pop("dining table", None)
    doubles.pop(" cheesecake", None)
    for animal in _ANIMALS:
        doubles |= {f"baby {animal}": animal, f"adult {animal}": animal}
    for vehicle in _VEHICLES:
        doubles[f"passenger {vehicle}"] = vehicle
    return doubles | {"bow tie": "tie", "toilet seat": "toilet", "wine glas": "wine glass"}
