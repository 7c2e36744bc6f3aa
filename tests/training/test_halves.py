"""Parts of the training images: disjoint, whole, and the same whatever comes later."""

import hashlib

import pytest

from dico.data.manifest import Record
from dico.training.halves import evaluators_part, judges_part


def record(k):
    digest = hashlib.sha256(str(k).encode()).hexdigest()
    return Record(
        image_id=str(k),
        uri=f"{k}.png",
        sha256=digest,
        num_bytes=1,
        width_px=64,
        height_px=64,
        captions=("a dog",),
        split="train",
    )


RECORDS = [record(k) for k in range(2000)]


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_parts_are_disjoint_and_whole(share):
    judge, evaluator = judges_part(RECORDS, share), evaluators_part(RECORDS, share)
    assert {r.sha256 for r in judge} | {r.sha256 for r in evaluator} == {r.sha256 for r in RECORDS}
    assert len(judge) + len(evaluator) == len(RECORDS)
    assert abs(len(judge) / len(RECORDS) - share) < 0.04


def test_weekly_images_do_not_move_the_others():
    before = {r.sha256 for r in judges_part(RECORDS[:1000], 0.5)}
    after = {r.sha256 for r in judges_part(list(reversed(RECORDS)), 0.5)}
    assert before == after & {r.sha256 for r in RECORDS[:1000]}


def test_without_a_share_all_images_are_both_ones():
    assert judges_part(RECORDS, 0.0) == evaluators_part(RECORDS, 0.0) == RECORDS
