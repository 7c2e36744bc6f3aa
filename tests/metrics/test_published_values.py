"""Scores that others published, on texts of theirs."""

import json

import numpy as np
import pytest

from dico.metrics import bleu, cider, cider_d, meteor, rouge_l

TABLES = {
    ("pacscore_example", "good"): {
        "bleu": [0.64, 0.577852, 0.456936, 0.350335],
        "meteor": 0.305734,
        "rouge_l": 0.501237,
        "cider": 1.491762,
    },
    ("pacscore_example", "bad"): {
        "bleu": [0.45, 0.158114],
        "meteor": 0.099468,
        "rouge_l": 0.326786,
        "cider": 0.425876,
    },
    ("clipscore_example", "good"): {
        "bleu": [0.6667, 0.4899, 0.3469, 0.0],
        "meteor": 0.3444,
        "rouge_l": 0.4280,
        "cider": 0.5637,
    },
    ("clipscore_example", "bad"): {
        "bleu": [0.4815, 0.2404, 0.1359, 0.0],
        "meteor": 0.1861,
        "rouge_l": 0.3121,
        "cider": 0.2790,
    },
}
PRINTED = {"pacscore_example": 5.1e-7, "clipscore_example": 5.1e-5}


@pytest.mark.parametrize(("example", "kind"), list(TABLES))
def test_example(real_data, example, kind):
    folder = real_data / "metrics" / example
    captions = json.loads((folder / f"{kind}_captions.json").read_text())
    references = json.loads((folder / "refs.json").read_text())
    table, digits = TABLES[example, kind], PRINTED[example]
    expected = table["bleu"]
    np.testing.assert_allclose(
        bleu(captions, references).total[: len(expected)], expected, atol=digits
    )
    assert rouge_l(captions, references).total == pytest.approx(table["rouge_l"], abs=digits)
    assert cider(captions, references).total == pytest.approx(table["cider"], abs=digits)


@pytest.mark.parametrize(("example", "kind"), list(TABLES))
def test_example_meteor(real_data, java_meteor, example, kind):
    folder = real_data / "metrics" / example
    captions = json.loads((folder / f"{kind}_captions.json").read_text())
    references = json.loads((folder / "refs.json").read_text())
    expected = TABLES[example, kind]["meteor"]
    assert meteor(captions, references).total == pytest.approx(expected, abs=PRINTED[example])


def read_nlg_eval(folder):
    names = ("nlgeval_hyp.txt", "nlgeval_ref1.txt", "nlgeval_ref2.txt")
    captions, *references = ((folder / name).read_text().split("\n")[:2] for name in names)
    return captions, [list(group) for group in zip(*references, strict=True)]


def test_nlg_eval(real_data):
    captions, references = read_nlg_eval(real_data / "metrics/tiny_known_values")
    np.testing.assert_allclose(
        bleu(captions, references, "none").total, [0.55, 0.428174, 0.284043, 0.201143], atol=5.1e-7
    )
    assert rouge_l(captions, references, "none").total == pytest.approx(0.522104, abs=5.1e-7)
    assert cider(captions, references, "none").total == pytest.approx(1.242192, abs=5.1e-7)


def test_nlg_eval_meteor(real_data, java_meteor):
    captions, references = read_nlg_eval(real_data / "metrics/tiny_known_values")
    assert meteor(captions, references, "none").total == pytest.approx(0.295797, abs=5.1e-7)


ONE = (["this is a good test"], [["this is a test", "this is also a test"]])
FRENCH = (["Le test est en français."], [["Test en français.", "Le test en français."]])


def test_nlg_eval_sentence():
    expected = [0.799999, 0.632455, 0.5108729, 0.0000903602]
    np.testing.assert_allclose(bleu(*ONE, "none").total, expected, atol=1e-6)
    np.testing.assert_allclose(
        bleu(*FRENCH, "none").total, [0.799999, 0.632455, 5.1e-6, 0], atol=1e-6
    )
    for texts in (ONE, FRENCH):
        assert rouge_l(*texts, "none").total == pytest.approx(0.9070631, abs=1e-7)
        assert cider(*texts, "none").total == 0.0


def test_nlg_eval_sentence_meteor(java_meteor):
    assert meteor(*ONE, "none").total == pytest.approx(0.44434387, abs=5.1e-9)
    assert meteor(*FRENCH, "none").total == pytest.approx(0.48372379, abs=5.1e-9)


def test_aac_metrics():
    captions = ["a man is speaking", "rain falls"]
    references = [
        [
            "a man speaks.",
            "someone speaks.",
            "a man is speaking while a bird is chirping in the background",
        ],
        ["rain is falling hard on a surface"],
    ]
    assert bleu(captions, references).total[0] == pytest.approx(0.4278, abs=5.1e-5)
    score = cider_d(captions, references)
    assert score.total == pytest.approx(0.9614, abs=5.1e-5)
    np.testing.assert_allclose(score.per_image, [1.3641, 0.5587], atol=5.1e-5)
