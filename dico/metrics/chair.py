"""CHAIR, objects that a caption names and the image does not show: Rohrbach et al., EMNLP 2018.

Words are brought to their singular, two-word names are joined, and names are mapped to the 80 COCO
objects by the published synonym list, which the caller brings. Two procedures are published:
``singular`` (2018: plural nouns alone, few two-word names) and ``lemma`` (the later one: verbs too,
so that "skateboarding" mentions a skateboard, and all two-word names of the list). See
`dico.metrics.word_forms` for how words are reduced. The later one rests on nltk's tagger, which is
not imitated in full: to repeat such a table to the last digit give `chair` the words that its
authors kept.
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
from dico.metrics.word_forms import lemma, singular

Procedure = Literal["singular", "lemma"]
_ANIMALS = "bird cat dog horse sheep cow elephant bear zebra giraffe animal cub".split()  # noqa: SIM905
_VEHICLES = ("jet", "train")
_NAMES_OF_2018 = (
    "motor bike", "motor cycle", "air plane", "traffic light", "street light", "traffic signal",
    "stop light", "fire hydrant", "stop sign", "parking meter", "suit case", "sports ball",
    "baseball bat", "baseball glove", "tennis racket", "wine glass", "hot dog", "cell phone",
    "mobile phone", "teddy bear", "hair drier", "potted plant", "laptop computer", "home plate",
)  # fmt: skip


class Chair(NamedTuple):
    """Hallucination rates.

    Attributes:
        chair_s: share of captions with at least one hallucinated object, lower is better.
        chair_i: hallucinated mentions over all mentions, lower is better.
        recall: objects of the images that are mentioned, over all, higher is better.
        per_image: (B,) chair_i of each caption; 0 where it mentions nothing.
        counts: (B, 4) of each caption: mentions, wrong ones, objects of the image, those of them
            that are mentioned; their sums give chair_i and recall, see `chair_from_sums`.
        mentioned: objects that each caption mentions, in order, each mention.
        hallucinated: those that are not in the image.
    """

    chair_s: float
    chair_i: float
    recall: float
    per_image: NDArray[np.float64]
    counts: NDArray[np.float64]
    mentioned: list[list[str]]
    hallucinated: list[list[str]]


@dataclass(frozen=True)
class Synonyms:
    """Names of objects.

    Attributes:
        objects: name to object, such as puppy to dog; two-word names too.
        doubles: of each procedure, two words to the one name that they are.
    """

    objects: Mapping[str, str]
    doubles: Mapping[Procedure, Mapping[str, str]]

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
        return cls(objects, {"singular": _doubles(_NAMES_OF_2018), "lemma": _doubles(objects)})

    @cached_property
    def known_words(self) -> set[str]:
        """All words of the names."""
        names = (*self.objects, *self.doubles["lemma"])
        return {word for name in names for word in name.split()}


def chair(
    captions: Sequence[str] | Sequence[Sequence[str]],
    truth: Sequence[Collection[str]],
    synonyms: Synonyms,
    procedure: Procedure = "lemma",
) -> Chair:
    """CHAIR-s, CHAIR-i and recall.

    Args:
        captions: raw text, or lists of words that are reduced already.
        truth: the objects in each image.
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
    counts = np.array(
        [
            (len(own), len(wrong), len(shown), len(shown.intersection(own)))
            for (own, shown), wrong in zip(pairs, hallucinated, strict=True)
        ],
        np.float64,
    )
    chair_i, recall = chair_from_sums(counts.sum(axis=0))
    per_image, _ = chair_from_sums(counts)
    return Chair(
        float((counts[:, 1] > 0).mean()),
        float(chair_i),
        float(recall),
        per_image,
        counts,
        mentioned,
        hallucinated,
    )


def chair_from_sums(sums: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """CHAIR-i and recall from rows (..., 4) of `Chair.counts`, or sums of them."""
    mentioned, wrong, shown, found = np.moveaxis(sums, -1, 0)
    return wrong / np.maximum(1, mentioned), found / np.maximum(1, shown)


def mentions(
    caption: str | Sequence[str], synonyms: Synonyms, procedure: Procedure = "lemma"
) -> list[str]:
    """The objects that a caption, or a list of its reduced words, mentions, in order."""
    words = _reduced(caption, synonyms, procedure) if isinstance(caption, str) else caption
    doubles = synonyms.doubles[procedure]
    joined, place = [], 0
    while place < len(words):
        double = doubles.get(" ".join(words[place : place + 2]))
        joined.append(double or words[place])
        place += 2 if double else 1
    if "toilet" in joined and "seat" in joined:  # a toilet's seat is no chair
        joined = [word for word in joined if word != "seat"]
    return [synonyms.objects[word] for word in joined if word in synonyms.objects]


def _reduced(caption: str, synonyms: Synonyms, procedure: Procedure) -> list[str]:
    text = caption.replace("\n", " ")
    words = split_text(text, len(text))
    if procedure == "singular":
        return [singular(word) for word in words]
    known = synonyms.known_words
    return [lemma(word, left, known) for word, left in zip(words, ["", *words], strict=False)]


def _doubles(names: Collection[str]) -> dict[str, str]:
    """Two-word names, and combinations that mean one object or another than their last word."""
    doubles = {name: name for name in names if len(name.split(" ")) == 2}
    if names is not _NAMES_OF_2018:
        doubles |= {name: name for name in ("home plate", "train track", "motor bike")}
        doubles.pop("dining table", None)
        doubles.pop(" cheesecake", None)
    for animal in _ANIMALS:
        doubles |= {f"baby {animal}": animal, f"adult {animal}": animal}
    for vehicle in _VEHICLES:
        doubles[f"passenger {vehicle}"] = vehicle
    return doubles | {"bow tie": "tie", "toilet seat": "toilet", "wine glas": "wine glass"}
