"""A metric's result, and the alignment of captions with references."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dico.errors import DataError

Captions = Sequence[str] | Mapping[str, str]
References = Sequence[Sequence[str]] | Mapping[str, Sequence[str]]
NUM_NAMED = 5


class Score(NamedTuple):
    """A metric over a set of captions and for each of them.

    Attributes:
        total: the corpus score; not always the mean of ``per_image`` (BLEU, METEOR).
        per_image: (B,) float64, in the order of the captions.
    """

    total: float
    per_image: NDArray[np.float64]


def name_some(ids: Sequence[object]) -> str:
    """The first few ids as text for an error line."""
    shown = ", ".join(str(i) for i in ids[:NUM_NAMED])
    return shown + (f" and {len(ids) - NUM_NAMED} more" if len(ids) > NUM_NAMED else "")


def line_up(captions: Captions, references: References) -> tuple[list[str], list[Sequence[str]]]:
    """Captions and their references as lists in one order, that of ``captions``.

    Raises:
        DataError: different lengths or ids, a caption that is not text, no reference.
    """
    if isinstance(captions, Mapping) != isinstance(references, Mapping):
        raise DataError("captions and references: give two lists or two mappings by image id")
    names: Sequence[object]
    if isinstance(captions, Mapping) and isinstance(references, Mapping):
        _same_ids(captions, references)
        names = list(captions)
        caption_list = list(captions.values())
        reference_list: list[Sequence[str]] = [references[i] for i in captions]
    else:
        caption_list, reference_list = list(captions), list(references)
        names = range(len(caption_list))
    if len(caption_list) != len(reference_list):
        raise DataError(
            f"{len(caption_list)} captions for {len(reference_list)} lists of references: "
            "give one caption and one list of references for each image"
        )
    _check_text(names, caption_list, reference_list)
    return caption_list, reference_list


def _same_ids(captions: Mapping[str, str], references: Mapping[str, Sequence[str]]) -> None:
    missing = [i for i in captions if i not in references]
    if missing:
        raise DataError(f"no references for {name_some(missing)}")
    missing = [i for i in references if i not in captions]
    if missing:
        raise DataError(f"no caption for {name_some(missing)}")


def _check_text(
    names: Sequence[object], captions: Sequence[str], references: Sequence[Sequence[str]]
) -> None:
    if all(type(c) is str for c in captions) and all(
        len(r) and type(r) is not str and all(type(s) is str for s in r) for r in references
    ):
        return
    for name, caption, own in zip(names, captions, references, strict=True):
        if not isinstance(caption, str):
            raise DataError(f"caption of {name}: expected text, got {caption!r}")
        if isinstance(own, str) or not all(isinstance(s, str) for s in own):
            raise DataError(f"references of {name}: expected a list of texts, got {own!r}")
        if not len(own):
            raise DataError(f"references of {name}: expected at least one")
