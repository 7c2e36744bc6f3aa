import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dico.errors import DataError
from dico.metrics import PreparedReferences, bleu, cider, cider_d, rouge_l, tokenize

pytest.importorskip("pycocoevalcap", reason="pycocoevalcap is the implementation compared with")
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

EXACT = 1e-9
words = st.sampled_from(["a", "b", "c", "dog", "runs", "", " ", "\xa0", "d\te"])
sentences = st.lists(words, max_size=12).map(" ".join)
image = st.tuples(sentences, st.lists(sentences, min_size=1, max_size=4))


def assert_equal_to_pycocoevalcap(captions, references):
    gts = {i: list(group) for i, group in enumerate(references)}
    res = {i: [caption] for i, caption in enumerate(captions)}
    total, per_image = Bleu(4).compute_score(gts, res, verbose=0)
    ours = bleu(captions, references, "none")
    np.testing.assert_allclose(ours.total, total, rtol=0, atol=EXACT)
    np.testing.assert_allclose(ours.per_image, per_image, rtol=0, atol=EXACT)
    metrics = [(rouge_l, Rouge())]
    if any(text.split() for group in references for text in group):  # else Cider raises
        metrics += [(cider, Cider()), (cider_d, Cider())]
    for metric, theirs in metrics:
        total, per_image = theirs.compute_score(gts, res)
        ours = metric(captions, references, "none")
        np.testing.assert_allclose(ours.total, total, rtol=0, atol=EXACT)
        np.testing.assert_allclose(ours.per_image, per_image, rtol=0, atol=EXACT)


@settings(max_examples=150, deadline=None)
@given(st.lists(image, min_size=1, max_size=5))
def test_equal_on_any_text(images):
    assert_equal_to_pycocoevalcap([c for c, _ in images], [r for _, r in images])


def test_equal_on_long_and_ragged_text(make_sentence):
    for num_images in (1, 2, 5, 40):
        captions = [make_sentence() for _ in range(num_images)]
        references = [[make_sentence() for _ in range(1 + k % 5)] for k in range(num_images)]
        assert_equal_to_pycocoevalcap(captions, references)


@pytest.mark.parametrize(
    ("captions", "references"),
    [
        ([""], [[""]]),
        (["", "a"], [["a b"], [""]]),
        (["a"], [["a"]]),
        (["a b c d"] * 3, [["a b c d", "a b c d"]] * 3),
        (["x y z", "p q"], [["a b c", "d e"], ["f"]]),
        (["a " * 200, "b"], [["a " * 199 + "b"], ["c"]]),
    ],
)
def test_corners(captions, references):
    assert_equal_to_pycocoevalcap(captions, references)


def test_equal_on_real_captions(real_data):
    images = json.loads((real_data / "flickr8k/dataset_flickr8k.json").read_text())["images"]
    groups = [[sentence["raw"] for sentence in image["sentences"]] for image in images]
    flat = iter(tokenize([text for group in groups for text in group]))
    tokenized = [[next(flat) for _ in group] for group in groups]
    assert_equal_to_pycocoevalcap(
        [group[0] for group in tokenized], [group[1:] for group in tokenized]
    )


def naive_ngrams(sentence, n):
    found = sentence.split()
    return [tuple(found[i : i + n]) for i in range(len(found) - n + 1)]


def naive_cider(captions, references):
    """The paper's formula, with clipping and the length penalty, a dictionary a vector."""
    documents = [
        {g for r in rs for n in range(1, 5) for g in naive_ngrams(r, n)} for rs in references
    ]

    def vector(sentence, n):
        grams = naive_ngrams(sentence, n)
        df = {g: sum(g in d for d in documents) for g in grams}
        return {g: grams.count(g) * math.log(len(captions) / max(1, df[g])) for g in grams}

    def similarity(c, r, n):
        vc, vr = vector(c, n), vector(r, n)
        norms = math.hypot(*vc.values()) * math.hypot(*vr.values())
        product = sum(min(vc[g], vr.get(g, 0)) * vr.get(g, 0) for g in vc)
        penalty = math.exp(-((len(c.split()) - len(r.split())) ** 2) / 72)
        return product / norms * penalty if norms else 0.0

    return [
        10 * sum(similarity(c, r, n) for r in rs for n in range(1, 5)) / 4 / len(rs)
        for c, rs in zip(captions, references, strict=True)
    ]


CAPTIONS = ["a dog runs fast", "two cats sleep", "a red bus"]
REFERENCES = [
    ["a dog runs", "the dog runs fast now"],
    ["two cats sleep on a bed", "cats sleep", "two cats"],
    ["a red bus in the street"],
]


def test_cider_is_the_formula():
    np.testing.assert_allclose(
        cider(CAPTIONS, REFERENCES).per_image, naive_cider(CAPTIONS, REFERENCES), rtol=1e-12
    )


def naive_lcs(a, b):
    row = [0] * (len(b) + 1)
    for x in a:
        diagonal = 0
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], diagonal + 1 if x == y else max(row[j], row[j - 1])
    return row[-1]


@given(
    st.lists(st.sampled_from("abc"), max_size=150), st.lists(st.sampled_from("abc"), max_size=150)
)
@settings(max_examples=60, deadline=None)
def test_lcs_of_any_length(a, b):
    from dico.metrics.ngrams import Vocabulary, intern_words
    from dico.metrics.rouge import lcs_lengths

    vocabulary = Vocabulary()
    one, other = intern_words([a], vocabulary), intern_words([b], vocabulary)
    pair = np.array([0])
    assert lcs_lengths(one, other, pair, pair).tolist() == [naive_lcs(a, b)]


def test_bleu_by_hand():
    # 3 of 4 words right, 2 of 3 bigrams; the closest reference has 5 words, so exp(1 - 5 / 4)
    score = bleu(["the dog runs away"], [["the dog runs very fast", "dog"]])
    assert score.total[0] == pytest.approx(3 / 4 * math.exp(-1 / 4), abs=1e-8)
    assert score.total[1] == pytest.approx(math.sqrt(3 / 4 * 2 / 3) * math.exp(-1 / 4), abs=1e-8)


def test_identical_captions_score_full():
    score = cider(
        ["a dog runs fast", "two cats sleep well"], [["a dog runs fast"], ["two cats sleep well"]]
    )
    np.testing.assert_allclose(score.per_image, [10, 10])


def test_prepared_references_serve_many_candidates():
    prepared = PreparedReferences(REFERENCES)
    candidates = ["a dog", "a dog runs fast", "two cats sleep", "a red bus", "nothing else"]
    of_image = [0, 0, 1, 2, 2]
    scores = cider(prepared.prepare(candidates, of_image), prepared).per_image
    for candidate, i, score in zip(candidates, of_image, scores, strict=True):
        whole = list(CAPTIONS)
        whole[i] = candidate
        assert cider(whole, REFERENCES).per_image[i] == pytest.approx(score, abs=1e-12)


def test_given_document_frequencies():
    training = PreparedReferences(
        [["a dog", "a cat"], ["a bus runs", "the bus"], ["red dog"], ["a"]]
    )
    score = cider_d(["a dog x"], [["a dog"]], document_frequencies=training)
    # 4 images: "a" is in 3, "dog" in 2, "a dog" in 1, "x" and "dog x" in none; norms over all words
    a, dog, rare = math.log(4 / 3), math.log(4 / 2), math.log(4)
    unigrams = (a * a + dog * dog) / (math.hypot(a, dog, rare) * math.hypot(a, dog))
    bigrams = rare * rare / (math.hypot(rare, rare) * rare)
    expected = 10 / 4 * (unigrams + bigrams) * math.exp(-1 / 72)
    assert score.total == pytest.approx(expected, abs=1e-12)


def test_end_of_sentence_as_a_word():
    captions, references = ["a dog", "a bus in"], [["a dog"], ["a bus"]]
    marked = cider(
        [c + " <eos>" for c in captions], [[r + " <eos>" for r in g] for g in references], "none"
    )
    with_eos = cider_d(captions, references, with_eos=True)
    np.testing.assert_allclose(with_eos.per_image, marked.per_image)
    assert with_eos.total != cider(captions, references).total


def test_mappings_are_lined_up_by_id():
    captions = {"b": "two cats sleep", "a": "a dog runs fast"}
    references = {"a": REFERENCES[0], "b": REFERENCES[1]}
    assert (
        rouge_l(captions, references).per_image[0]
        == rouge_l([captions["b"]], [REFERENCES[1]]).total
    )
    prepared = PreparedReferences(references)
    assert (
        rouge_l(captions, prepared).per_image[0] == rouge_l([captions["a"]], [REFERENCES[0]]).total
    )


@pytest.mark.parametrize(
    ("captions", "references", "message"),
    [
        ({"a": "x"}, {"b": ["x"]}, "no references for a"),
        ({"a": "x"}, {"a": ["x"], "b": ["y"]}, "no caption for b"),
        (["x"], [["x"], ["y"]], "1 captions for 2 lists"),
        (["x"], [[]], "references of 0: expected at least one"),
        (["x"], ["x"], "references of 0: expected a list of texts, got 'x'"),
        ({"q": 5}, {"q": ["x"]}, "caption of q: expected text, got 5"),
        ({"q": "x"}, [["x"]], "two lists or two mappings"),
    ],
)
def test_bad_input_is_named(captions, references, message):
    with pytest.raises(DataError, match=message):
        cider(captions, references)
