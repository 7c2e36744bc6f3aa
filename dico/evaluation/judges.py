"""Judges of other packages: functions under the entry-point group ``dico.judges``.

The scores of the judge ``name`` are the metric ``judge_name``, to which the gate listens as to the
independent evaluator's: nothing that a captioner was tuned on may be a judge.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dico.errors import DataError
from dico.evaluation.scores import Floats, Judge
from dico.plugins import JUDGES

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class JudgeContext:
    """What a judge is made from."""

    references: Mapping[str, Sequence[str]]
    """{image id: human captions}."""
    uris: Mapping[str, str]
    """{image id: where the image is}; empty where captions are scored without images."""
    read: "Callable[[str], Image.Image]"
    """Reads the image at such a place, RGB."""

    def image(self, image_id: str) -> "Image.Image":
        """An image.

        Raises:
            DataError: none is known, or it cannot be read.
        """
        if image_id not in self.uris:
            raise DataError(f"judge: needs the image of {image_id}; name the folder of the images")
        return self.read(self.uris[image_id])


OwnJudge = Callable[[Sequence[str], Sequence[str]], Any]
"""From captions and their image ids, B each, to (B,) scores, finite, higher is better."""


def build_judges(names: Sequence[str], context: JudgeContext) -> list[Judge]:
    """The judges that ``names`` ask for.

    Raises:
        ConfigError: no installed package has one.
    """
    return [_named(name, JUDGES.load(name)(context)) for name in names]


def _named(name: str, judge: OwnJudge) -> Judge:
    def scored(captions: Sequence[str], image_ids: Sequence[str]) -> dict[str, Floats]:
        scores = np.asarray(judge(captions, image_ids), np.float64)
        if scores.shape != (len(captions),) or not np.isfinite(scores).all():
            wanted = f"a finite number for each of {len(captions)} captions"
            raise DataError(f"judge {name!r}: gave shape {scores.shape} or NaN; must be {wanted}")
        return {f"judge_{name}": scores}

    return scored
