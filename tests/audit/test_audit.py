"""Controls fix the verdicts: who sees the facts is fit, who sees nothing is unfit."""

import hashlib
import json

import numpy as np
import pytest

from dico.audit.audit import audit
from dico.audit.config import AuditConfig
from dico.audit.items import Item
from dico.audit.judges import CosineJudge
from dico.audit.measure import preference, rank_images, rate_of
from dico.data.toy.facts import TOY_VOCABULARY
from dico.errors import ConfigError, DataError
from tests.audit.controls import BlindJudge, FactsJudge
from tests.audit.worlds import corpus, items

ITEMS, CORPUS = items("validation", 40), corpus()
CONFIG = AuditConfig(pool_size=20, num_resamples=300)


def at_random(text):
    seed = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)
    vector = np.random.default_rng(seed).normal(size=64)
    return vector / np.linalg.norm(vector)


def bag(text):
    vector = sum(at_random(word) for word in sorted(set(text.split())))
    return vector / np.linalg.norm(vector)


def embedder(embed):
    return lambda texts: np.stack([embed(text) for text in texts])


def facts():
    return FactsJudge({item.key: item.scene for item in ITEMS}, TOY_VOCABULARY)


def random_weights():
    images = {item.key: at_random(f"image {item.key}") for item in ITEMS}
    return CosineJudge("random weights", images, embedder(at_random))


def bag_of_words():
    images = {item.key: bag(" ".join(item.captions)) for item in ITEMS}
    return CosineJudge("bag of words", images, embedder(bag))


def audited(judge, others=(), config=CONFIG):
    return audit(judge, ITEMS, CORPUS, config, TOY_VOCABULARY, others)


@pytest.fixture(scope="module")
def of_facts():
    return audited(facts(), [bag_of_words()])


@pytest.fixture(scope="module")
def of_words():
    return audited(bag_of_words(), [facts()])


def test_who_sees_the_facts_is_fit(of_facts):
    assert of_facts.verdict.word == "fit", of_facts.verdict.reasons
    assert of_facts.verdict.reasons == []
    assert all(kind.accuracy.value == 1 for kind in of_facts.kinds.values())
    assert {rate.value for rate in of_facts.harmless.values()} == {0.5}
    assert of_facts.harmless_cost.value == 0
    assert of_facts.untold_kinds == []


def test_random_weights_are_unfit():
    found = audited(random_weights())
    assert found.verdict.word == "unfit"
    assert "no better than chance" in found.verdict.reasons[0]
    assert set(found.untold_kinds) == set(found.kinds)
    assert {"circle", "disc", "red", "left of"} <= set(found.untold_words)


@pytest.mark.parametrize("judge", [facts, bag_of_words])
def test_the_blind_are_unfit_and_stand_at_chance(judge):
    found = audited(BlindJudge(judge(), ITEMS[0].key))
    assert found.verdict.word == "unfit"
    assert {kind.seen.value for kind in found.kinds.values()} == {0.5}
    assert found.ranking.outranked.value == 0.5
    assert found.ranking.recall_at_1.value == pytest.approx(found.ranking.chance)


def test_a_bag_of_words_is_weak_and_cannot_tell_what_is_exchanged(of_words):
    assert of_words.verdict.word == "weak"
    assert not of_words.kinds["exchange"].told
    assert of_words.kinds["colour"].told
    assert any(reason.startswith("exchange: prefers") for reason in of_words.verdict.reasons)
    assert of_words.hacks["word salad"].value == pytest.approx(0.5, abs=0.1)


def test_a_kind_that_another_evaluator_tells_is_told(of_words):
    assert of_words.untold_kinds == []
    alone = audited(bag_of_words())
    assert "exchange" in alone.untold_kinds


def test_agreement_is_over_pairs(of_facts):
    (rate,) = of_facts.agreement.values()
    assert list(of_facts.agreement) == ["bag of words"]
    assert 0.5 < rate.low < rate.value < rate.high < 1


class Paying(FactsJudge):
    """Sees the facts, and pays for words."""

    def __init__(self, price):
        super().__init__({item.key: item.scene for item in ITEMS}, TOY_VOCABULARY)
        self._price = price

    def score(self, images, captions):
        length = np.array([[len(text.split()) for text in own] for own in captions])
        return super().score(images, captions) + self._price * length


def test_who_pays_for_length_is_weak():
    found = audited(Paying(0.2))
    assert found.verdict.word == "weak"
    assert found.gain_per_phrase.low > 0
    assert any(reason.startswith("pays for repeated caption") for reason in found.verdict.reasons)
    assert all(kind.told for name, kind in found.kinds.items() if name not in ("count", "shape"))


def test_saved_numbers_are_plain_json(of_facts, tmp_path):
    of_facts.save(tmp_path)
    data = json.loads((tmp_path / "audit.json").read_text())
    assert (data["format"], data["verdict"]["word"]) == (1, "fit")
    assert data["kinds"]["colour"]["accuracy"] == {"value": 1, "low": 1, "high": 1, "num": 40}
    assert data["settings"]["min_accuracy"] == 0.75
    purposes = {example["purpose"] for example in data["examples"]}
    assert purposes == {"false", "harmless", "hack"}


def test_ranks_by_hand():
    class Table:
        name = "table"

        def score(self, images, captions):
            table = {"a": {"of a": 2, "of b": 1, "of c": 0}, "b": {"of a": 2, "of b": 1, "of c": 5},
                     "c": {"of a": 1, "of b": 0, "of c": 1}}  # fmt: skip
            return np.array(
                [[table[i][c] for c in own] for i, own in zip(images, captions, strict=True)]
            )

    known = [Item(name, name, (f"of {name}",)) for name in "abc"]
    found = rank_images(Table(), known, AuditConfig(num_resamples=10))
    # a shares the first place with b; b shares it with a; c is second of three
    assert found.recall_at_1.value == pytest.approx((1 / 2 + 1 / 2 + 0) / 3)
    assert found.outranked.value == pytest.approx((0.75 + 0.75 + 0.5) / 3)
    assert found.chance == 1 / 3


def test_rates_resample_images_and_count_ties_as_half():
    places = np.array([0, 0, 1, 2])
    rate = rate_of(np.array([1.0, 1.0, 0.0, 0.0]), places, CONFIG)
    assert rate.value == 0.5
    assert (rate.low, rate.high) == (0.0, 1.0)
    pairs = [type("Pair", (), {"item": k}) for k in range(2)]
    assert preference(np.array([0.0, 0.0]), pairs, CONFIG).value == 0.5


def test_what_cannot_be_audited_is_refused():
    with pytest.raises(DataError, match="1 images and 300 training captions: too few"):
        audit(facts(), ITEMS[:1], CORPUS, CONFIG, TOY_VOCABULARY)
    mute = [Item(str(k), str(k), ("",)) for k in range(3)]
    with pytest.raises(DataError, match="no caption could be edited"):
        audit(CosineJudge("x", {}, embedder(bag)), mute, CORPUS, CONFIG)


@pytest.mark.parametrize("setting", [{"min_accuracy": 0.5}, {"num_images": 1}, {"confidence": 1.0}])
def test_settings_are_checked(setting):
    with pytest.raises(ConfigError, match=next(iter(setting))):
        AuditConfig(**setting)
