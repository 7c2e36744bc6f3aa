import pytest

from dico.errors import DataError
from dico.metrics import (
    CaptionScores,
    bad_endings,
    bleu,
    cider,
    distinct_n,
    div_n,
    novelty,
    num_words,
    rep_n,
    rep_n_share,
    self_bleu,
    vocabulary_size,
)

CAPTIONS = ["a dog and a dog and a dog", "a man with a", "", "snow"]


def test_repetition_in_both_forms():
    # bigrams: a dog x3, dog and x2, and a x2 -> 2 + 1 + 1 repeated of 7
    assert rep_n(CAPTIONS, 2).per_image.tolist() == [4, 0, 0, 0]
    assert rep_n_share(CAPTIONS, 2).per_image.tolist() == [pytest.approx(4 / 7), 0, 0, 0]
    assert rep_n(CAPTIONS, 1).per_image.tolist() == [5, 1, 0, 0]
    assert rep_n(CAPTIONS, 2).total == 1


def test_bad_endings():
    texts = ["a man with a", "a man with", "a dog and", "a dog", "A Man With The", "", "sit down"]
    assert bad_endings(texts).per_image.tolist() == [1, 1, 1, 0, 1, 0, 0]


def test_length_and_variety():
    assert num_words(CAPTIONS).per_image.tolist() == [8, 4, 0, 1]
    assert vocabulary_size(CAPTIONS) == 6
    assert distinct_n(CAPTIONS, 1) == pytest.approx(6 / 13)
    assert distinct_n([""], 2) == 0


def test_novelty():
    assert novelty(["a dog", "a cat"], ["a  dog", "two cats"]).per_image.tolist() == [0, 1]


def test_self_bleu():
    same = self_bleu([["a b c d e"] * 3, ["a b c d", "e f g h"]])
    assert same.per_image[0] == pytest.approx(1, abs=1e-6)
    assert same.per_image[1] < 1e-6
    group = ["a dog runs on the beach", "a dog sits on the beach", "the dog runs"]
    others = [group[1:], [group[0], group[2]], group[:2]]
    expected = bleu(group, others, "none").per_image[3].mean()
    assert self_bleu([group]).total == pytest.approx(expected)
    with pytest.raises(DataError, match="image 1 has fewer than two"):
        self_bleu([["a", "b"], ["a"]])


def test_div_n():
    assert div_n([["a b", "a c"]], 1).total == 3 / 4
    assert div_n([["a b", "a b"], ["a", ""]], 2).per_image.tolist() == [1 / 4, 0]


IDS = [f"{k}" for k in range(6)]
TEXTS = ["a dog runs", "two cats", "a red bus", "a bus", "the cats sleep", "snow"]
REFERENCES = [[f"{text} here", text, "a dog"] for text in reversed(TEXTS)]


def test_ranks_together_score_as_one():
    ranks = [CaptionScores() for _ in range(3)]
    for rank, scores in enumerate(ranks):
        own = [
            k % 6 for k in range(rank, 8, 3)
        ]  # the last batch is filled up with the first images
        scores.update([IDS[k] for k in own], [TEXTS[k] for k in own], [REFERENCES[k] for k in own])
    states = [scores.state() for scores in ranks]
    for scores in ranks:
        scores.synchronise(lambda _: states)
    whole = ranks[0].compute()
    assert whole == ranks[2].compute()
    assert whole["cider"] == pytest.approx(cider(TEXTS, REFERENCES).total, abs=1e-12)
    assert whole["bleu_4"] == pytest.approx(bleu(TEXTS, REFERENCES).total[3], abs=1e-12)


def test_two_captions_of_one_image_are_refused():
    scores = CaptionScores()
    scores.update(["7"], ["a"], [["a"]])
    with pytest.raises(DataError, match="two different captions: 7"):
        scores.update(["7"], ["b"], [["a"]])
    with pytest.raises(DataError, match="1 image ids, 0 captions"):
        scores.update(["8"], [], [["a"]])
    scores.reset()
    with pytest.raises(DataError, match="no caption to score"):
        scores.compute()
