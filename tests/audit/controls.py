"""Judges whose verdict is known: the controls that fix the audit's thresholds."""

import functools
from collections.abc import Mapping, Sequence

import numpy as np

from dico.audit.judges import Floats, Judge
from dico.facts import Scene, Vocabulary, check_caption, read_caption


class BlindJudge:
    """A control: another judge that is shown one and the same image whatever it is asked about."""

    def __init__(self, judge: Judge, image: str) -> None:
        self.name, self._judge, self._image = f"{judge.name}, blind", judge, image

    def score(self, images: Sequence[str], captions: Sequence[Sequence[str]]) -> Floats:
        """See `Judge`."""
        return self._judge.score([self._image] * len(images), captions)


class FactsJudge:
    """A control that sees the facts: named facts minus false statements, of all facts."""

    def __init__(self, scenes: Mapping[str, Scene], vocabulary: Vocabulary) -> None:
        """Knows images by their scenes, {key: scene}."""
        self.name, self._scenes, self._vocabulary = "facts", scenes, vocabulary
        self._read = functools.cache(lambda text: read_caption(text, vocabulary))

    def score(self, images: Sequence[str], captions: Sequence[Sequence[str]]) -> Floats:
        """See `Judge`."""
        rows = [
            [self._of(key, text) for text in own] for key, own in zip(images, captions, strict=True)
        ]
        return np.array(rows, np.float64)

    def _of(self, key: str, caption: str) -> float:
        verdict = check_caption(self._read(caption), self._scenes[key], self._vocabulary)
        num_false = sum(not own.true for own in verdict.statements)
        return (verdict.num_named - num_false) / max(1, verdict.num_facts)
