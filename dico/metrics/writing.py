"""Captions written as nobody writes: in capitals, full of marks, in letters of another script.

Looked for in the text as it is, because a tokeniser takes capitals and punctuation away: to all other
metrics "A, RED, DOG!!" is "a red dog".
"""

import unicodedata
from collections.abc import Sequence

import numpy as np

from dico.metrics.scores import Score

_MORE_MARKS = 2
_WORDS_A_MARK = 3
_IN_WORDS = " '’-"
_MARKS = "PSCZ"
"""Unicode's classes of punctuation, symbols, invisible signs and blanks."""


def odd_writing(captions: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
    """Share of captions that are written as no person writes of these images, lower is better.

    More than half of the letters are capitals; or there is a mark for every three words, and at
    least three more than in any reference; or a letter is of a script that no reference uses.

    Args:
        captions: as they are, not tokenised.
        references: human captions of each image, not tokenised.
    """
    known = {script for group in references for text in group for script in _scripts(text)}
    odd = [
        _is_odd(caption, group) or not _scripts(caption) <= known
        for caption, group in zip(captions, references, strict=True)
    ]
    per_image = np.array(odd, np.float64)
    return Score(float(per_image.mean()) if odd else 0.0, per_image)


def _is_odd(caption: str, group: Sequence[str]) -> bool:
    if _shouts(caption) and not any(map(_shouts, group)):
        return True
    marks, most = _num_marks(caption), max(map(_num_marks, group), default=0)
    return marks > most + _MORE_MARKS and _WORDS_A_MARK * marks >= len(caption.split())


def _shouts(text: str) -> bool:
    letters = [c for c in text if c.isalpha()]
    return 2 * sum(c.isupper() for c in letters) > len(letters)


def _num_marks(text: str) -> int:
    return sum(c not in _IN_WORDS and unicodedata.category(c)[0] in _MARKS for c in text)


def _scripts(text: str) -> set[str]:
    """The first words of its letters' names in Unicode, such as LATIN or CYRILLIC."""
    if text.isascii():
        return {"LATIN"} if any(map(str.isalpha, text)) else set()
    return {unicodedata.name(c, "").split(" ")[0] for c in text if c.isalpha()}
