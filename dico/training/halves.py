"""Which training pictures an evaluator may see, and which only the judge sees.

An independent judge must not have seen what the optimised evaluator learnt by heart. A picture's
part follows from the SHA-256 of its file alone, so a dataset that grows from week to week never
moves a picture from one part to the other, whatever the seed.
"""

from collections.abc import Sequence

from dico.data.manifest import Record

_DIGITS = 8


def for_judge(sha256: str, share: float) -> bool:
    """Whether the picture of this digest is the judge's alone, if ``share`` of all pictures are."""
    return int(sha256[:_DIGITS], 16) < share * float(16**_DIGITS)


def judges_part(records: Sequence[Record], share: float) -> list[Record]:
    """The pictures that only the judge sees; all where ``share`` is 0, and they are shared."""
    return [record for record in records if not share or for_judge(record.sha256, share)]


def evaluators_part(records: Sequence[Record], share: float) -> list[Record]:
    """The pictures that the optimised evaluator may see."""
    return [record for record in records if not for_judge(record.sha256, share)]
