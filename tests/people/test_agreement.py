"""Published judgement files in their true format, and the statistics on them."""

import json
import math

import numpy as np
import pytest

from dico.errors import DataError
from dico.people.agreement import agree, alpha, alpha_of_choices
from dico.people.judgements import Judgement, win_rates
from dico.people.published import (
    Rated,
    Ratings,
    of_judgements,
    read_clipscore_json,
    read_flickr8k,
    read_pairs,
    read_pascal50s,
)
from dico.people.scorers import reference_scores

TOKENS = """\
1000268201_693b08cb0e.jpg#0\tA child in a pink dress is climbing up a set of stairs .
1000268201_693b08cb0e.jpg#1\tA girl going into a wooden building .
1001773457_577c3a7d70.jpg#0\tA black dog and a spotted dog are fighting
1001773457_577c3a7d70.jpg#1\tTwo dogs are playing "fetch" on the road .
"""
EXPERT = """\
1000268201_693b08cb0e.jpg\t1001773457_577c3a7d70.jpg#1\t1\t1\t1
1000268201_693b08cb0e.jpg\t1000268201_693b08cb0e.jpg#0\t4\t4\t3
1001773457_577c3a7d70.jpg\t1000268201_693b08cb0e.jpg#1\t1\t2\t1
1001773457_577c3a7d70.jpg\t1000268201_693b08cb0e.jpg#0\t2\t2\t3
"""
CROWD = """\
1000268201_693b08cb0e.jpg\t1001773457_577c3a7d70.jpg#1\t0\t0\t3
1000268201_693b08cb0e.jpg\t1001773457_577c3a7d70.jpg#0\t0.3333333333333333\t1\t2
1001773457_577c3a7d70.jpg\t1001773457_577c3a7d70.jpg#0\t1\t3\t0
"""


@pytest.fixture
def flickr(tmp_path):
    for name, text in (("token", TOKENS), ("expert", EXPERT), ("crowd", CROWD)):
        (tmp_path / name).write_text(text)
    return tmp_path


def test_flickr8k_expert(flickr):
    ratings = read_flickr8k(flickr / "expert", flickr / "token")
    assert ratings.scale == "ordinal"
    assert ratings.notes == ["1 captions of the image itself left out, as published"]
    first, second, third = ratings.rated
    assert first.caption == 'Two dogs are playing "fetch" on the road .'
    assert first.ratings == (1, 1, 1)
    assert third.ratings == (2, 2, 3)
    assert second.references == (
        "A black dog and a spotted dog are fighting",
        'Two dogs are playing "fetch" on the road .',
    )
    kept = read_flickr8k(flickr / "expert", flickr / "token", keep_own=True)
    assert len(kept.rated) == 4


def test_flickr8k_crowdflower(flickr):
    ratings = read_flickr8k(flickr / "crowd", flickr / "token", keep_own=True)
    assert ratings.scale == "interval"
    assert [own.ratings for own in ratings.rated] == [(0,), (1 / 3,), (1,)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.jpg\t1000268201_693b08cb0e.jpg#0\t1\t5\t9\n", "neither three ratings"),
        ("a.jpg\t1000268201_693b08cb0e.jpg#9\t1\t1\t1\n", "has no caption 1000268201"),
        ("a.jpg\tb.jpg#0\tx\t1\t1\n", "line 1: not numbers"),
        ("a.jpg\tb.jpg#0\t1\n", "two or five columns"),
        ("", "two or five columns"),
    ],
)
def test_other_files_are_named(flickr, text, message):
    (flickr / "bad").write_text(text)
    with pytest.raises(DataError, match=message):
        read_flickr8k(flickr / "bad", flickr / "token")


def test_clipscores_json(tmp_path):
    path = tmp_path / "flickr8k.json"
    judged = [
        {"image_path": "images/a.jpg", "caption": "two dogs  play", "rating": 1.0},
        {"image_path": "images/a.jpg", "caption": "two dogs  play", "rating": 2.0},
        {"image_path": "images/a.jpg", "caption": "a cat", "rating": math.nan},
    ]
    data = {
        "0": {"image_path": "images/a.jpg", "ground_truth": ["a  dog"], "human_judgement": judged}
    }
    path.write_text(json.dumps(data))
    ratings = read_clipscore_json(path)
    assert ratings.rated == [Rated("a.jpg", "two dogs play", (1, 2), ("a dog",), "a.jpg")]
    assert ratings.notes == ["1 judgements without a rating left out, as published"]
    assert ratings.scale == "ordinal"


def cell(text):
    """A MATLAB cell of one text."""
    made = np.empty((1, 1), dtype=object)
    made[0, 0] = text
    return made


def test_pascal50s(tmp_path):
    """Struct arrays, as the published files are: texts in pairs, cells of texts in votes."""
    from scipy.io import savemat

    pairs = np.empty((1, 2), dtype=[(name, object) for name in ("image", "sent1", "sent2")])
    names = ("A", "B", "C", "winner")
    votes = np.empty((1, 96), dtype=[(name, object) for name in names])
    texts = [("a dog runs", "a cat sits"), ("a man", "a red bus")]
    for number, (one, other) in enumerate(texts):
        pairs[0, number] = (f"2008_00000{number}.jpg", f"{one} ", other)
        for vote in range(48):
            winner = 1 if vote < 36 else -1
            told = (cell(f"reference {vote}"), cell(one), cell(f" {other}"), winner)
            votes[0, number * 48 + vote] = told
    savemat(tmp_path / "pair_pascal.mat", {"new_input": pairs, "category": np.array([[1, 4]])})
    savemat(tmp_path / "consensus_pascal.mat", {"triplets": votes})
    found = read_pascal50s(tmp_path / "consensus_pascal.mat", tmp_path / "pair_pascal.mat", 5)
    first, second, *_, last = found.rated
    assert (first.image_id, first.caption, first.ratings) == (
        "2008_000000.jpg",
        "a dog runs",
        (0.75,),
    )
    assert (second.caption, second.ratings, second.category) == ("a cat sits", (0.25,), "HC")
    assert first.references == tuple(f"reference {k}" for k in range(5))
    assert (last.category, last.group) == ("MM", "1")
    scores = agree(found, {"right": np.array([2.0, 1.0, 1.0, 2.0])})
    assert scores["right"].accuracy == 0.5
    assert scores["right"].by_category == {"HC": 1.0, "MM": 0.0}
    with pytest.raises(DataError, match="not Pascal-50S's files"):
        read_pascal50s(tmp_path / "pair_pascal.mat", tmp_path / "consensus_pascal.mat")


def test_pairs_of_a_winner_and_a_loser():
    lines = [{"image_id": 1, "winner": "a dog", "loser": "a cat", "references": ["a dog"]}]
    ratings = read_pairs(lines, "file")
    assert [(own.caption, own.rating) for own in ratings.rated] == [("a dog", 1), ("a cat", 0)]
    with pytest.raises(DataError, match="line 1: not a pair: no 'loser'"):
        read_pairs([{"image_id": 1, "winner": "a"}], "file")


def naive_tau_b(x, y):
    """Kendall's tau-b by its definition."""
    pairs = [(i, j) for i in range(len(x)) for j in range(i)]
    signs = [(np.sign(x[i] - x[j]), np.sign(y[i] - y[j])) for i, j in pairs]
    same = sum(a * b for a, b in signs)
    return same / math.sqrt(sum(a != 0 for a, _ in signs) * sum(b != 0 for _, b in signs))


def test_tau_is_over_single_ratings_and_accuracy_over_captions_of_one_image():
    rated = [
        Rated("a", "w", (1, 2), group="a"),
        Rated("a", "x", (2, 3), group="a"),
        Rated("a", "y", (3, 2), group="a"),
        Rated("b", "z", (4, 4), group="b"),
    ]
    scores = np.array([0.1, 0.4, 0.2, 0.3])
    (found,) = agree(Ratings(rated), {"metric": scores}).values()
    single = [1, 2, 2, 3, 3, 2, 4, 4]
    assert found.tau_b == pytest.approx(naive_tau_b(np.repeat(scores, 2), single))
    assert found.num_pairs == 2  # x and y are rated alike, z is of another image
    assert found.accuracy == 1.0
    tied = agree(Ratings(rated), {"metric": np.zeros(4)})["metric"]
    assert tied.accuracy == 0.5


def test_krippendorffs_own_example():
    """His example C of 2011: nominal .743, ordinal .815, interval .849."""
    gap = np.nan
    table = np.array([
        [1, 2, 3, 3, 2, 1, 4, 1, 2, gap, gap, gap],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, gap, 3],
        [gap, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, gap],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, gap],
    ])  # fmt: skip
    rated = [
        Rated(str(k), "", tuple(v for v in column if not np.isnan(v)))
        for k, column in enumerate(table.T)
    ]
    for scale, expected in (("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)):
        assert alpha(Ratings(rated, scale)) == pytest.approx(expected, abs=5e-4)


def test_alpha_of_choices():
    def judged(rater, image, choice):
        captions = {"xe": "a", "dico": "b"}
        return Judgement(rater, image, captions, ("xe", "dico"), choice)

    agreed = [judged(r, i, c) for r in "pq" for i, c in (("a", "xe"), ("b", "dico"), ("c", "xe"))]
    assert alpha_of_choices(agreed) == 1.0
    assert alpha_of_choices(agreed[:3]) is None
    opposed = [*agreed[:3], *(judged("q", i, "equal") for i in "abc")]
    assert alpha_of_choices(opposed) < 0


def test_who_chooses_one_of_two_equal_captions_prefers_neither_system():
    captions = {"xe": "a dog", "dico": "a dog", "scst": "a cat"}
    one, other = (
        Judgement(rater, "a", captions, tuple(captions), choice)
        for rater, choice in (("ann", "xe"), ("bob", "dico"))
    )
    rates = {(own.first, own.second): own.win_rate for own in win_rates([one, other])}
    assert rates == {("xe", "dico"): 0.5, ("xe", "scst"): 1.0, ("dico", "scst"): 1.0}
    assert [own.chosen for own in (one, other)] == ["dico", "dico"]
    ratings = of_judgements([one, other], {}).rated
    assert {own.caption: own.ratings for own in ratings} == {"a dog": (1, 1), "a cat": (0, 0)}


def test_scores_of_references_and_own_judgements():
    judgement = Judgement(
        "p", "a", {"xe": "a dog", "dico": "a red dog runs"}, ("xe", "dico"), "dico"
    )
    ratings = of_judgements([judgement], {"a": ["a red dog runs", "the dog is running"]})
    scores = reference_scores(ratings.rated)
    found = agree(ratings, scores)
    bleu = {f"bleu_{n}" for n in range(1, 5)}
    assert {*bleu, "rouge_l", "cider", "num_words"} == set(found)
    assert found["rouge_l"].accuracy == 1.0
    with pytest.raises(DataError, match="no references for b"):
        reference_scores([Rated("b", "a dog", (1,))])
