"""Which training images an evaluator may see, which only the judge sees, and the folds of them.

An independent judge must not have seen what the optimised evaluator learnt by heart. An image's
part follows from the SHA-256 of its file alone, so a dataset that grows from week to week never
moves an image from one part to the other, whatever the seed.
"""

from collections.abc import Sequence

from dico.data.manifest import Record

_DIGITS = 8


def for_judge(sha256: str, share: float) -> bool:
    """Whether the image of this digest is the judge's alone, if ``share`` of all images are."""
    return int(sha256[:_DIGITS], 16) < share * float(16**_DIGITS)


def judges_part(records: Sequence[Record], share: float) -> list[Record]:
    """The images that only the judge sees; all where ``share`` is 0, and they are shared."""
    return [record for record in records if not share or for_judge(record.sha256, share)]


def evaluators_part(records: Sequence[Record], share: float) -> list[Record]:
    """The images that the optimised evaluator may see."""
    return [record for record in records if not for_judge(record.sha256, share)]


def fold_of(sha256: str, num_folds: int) -> int:
    """Which of ``num_folds`` folds the image of this digest is in, whatever its half."""
    return int(sha256[_DIGITS : 2 * _DIGITS], 16) % num_folds
