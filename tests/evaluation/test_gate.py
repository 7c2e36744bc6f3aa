"""The gate: a worse or reward-hacked model is never promoted, a better one always."""

import itertools
import json
import math

import pytest

from dico.errors import ConfigError, DataError
from dico.evaluation.gate import GateConfig, decide

EVEN = {
    "pac_score": (0.0, 0.02),
    "cider": (0.0, 0.03),
    "rep_2_share": (0.0, 0.01),
    "bad_endings": (0.0, 0.01),
}


def make_metrics(against_xe=None, against_champion=None, num_images=100):
    """Metrics with differences (value, half width of the interval) on top of no change at all."""
    systems = {
        "xe": {
            "pac_score": 1.2,
            "cider": 1.0,
            "rep_2_share": 0.02,
            "bad_endings": 0.0,
            "num_words": 6.0,
        },
        "dico": {"pac_score": 1.3, "cider": 1.0, "num_words": 8.0},
    }
    differences = {"dico - xe": as_differences(against_xe or {})}
    if against_champion is not None:
        systems["champion"] = dict(systems["xe"])
        differences["dico - champion"] = as_differences(against_champion)
    return {"num_images": num_images, "systems": systems, "differences": differences}


def as_differences(changes):
    return {
        key: {"difference": value, "low": value - half, "high": value + half, "p_value": 0.5}
        for key, (value, half) in (EVEN | changes).items()
    }


def test_first_good_model_becomes_champion():
    decision = decide(make_metrics({"pac_score": (0.2, 0.03)}), GateConfig())
    assert decision.promote
    assert decision.reasons[0] == "no champion yet"
    assert "+0.2 [+0.17, +0.23]" in decision.reasons[1]


def test_first_model_worse_than_its_start_is_refused():
    decision = decide(make_metrics({"pac_score": (-0.2, 0.03)}), GateConfig())
    assert not decision.promote
    assert decision.reasons == ("worse than xe: pac_score -0.2 [-0.23, -0.17]",)


def test_equal_to_champion_is_not_promoted():
    decision = decide(make_metrics({"pac_score": (0.2, 0.03)}, {}), GateConfig())
    assert not decision.promote
    assert decision.reasons[0].startswith("not better than champion beyond chance")


def test_champion_trained_again_is_told_apart_from_a_model_that_is_not_better():
    same = dict.fromkeys(EVEN, (0.0, 0.0))
    decision = decide(make_metrics({"pac_score": (0.2, 0.03)}, same), GateConfig())
    assert not decision.promote
    assert decision.reasons == ("no different from champion: champion stays",)


@pytest.mark.parametrize("key", ["pac_score", "cider"])
def test_better_than_champion_is_promoted(key):
    decision = decide(make_metrics({}, {key: (0.1, 0.05)}), GateConfig())
    assert decision.promote
    assert decision.reasons[0].startswith(f"better than champion: {key}")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"cider": (-0.06, 0.2)}, "CIDEr fell by more than 5%"),
        ({"rep_2_share": (0.08, 0.02)}, "the share of repeated bigrams rose by more than 5%"),
        ({"bad_endings": (0.06, 0.1)}, "bad endings rose"),
    ],
)
@pytest.mark.parametrize("against", ["xe", "champion"])
def test_reward_hacking_is_refused(change, word, against):
    hacked = {"pac_score": (0.5, 0.01)} | change
    fine = {"pac_score": (0.5, 0.01)}
    metrics = make_metrics(hacked, fine) if against == "xe" else make_metrics(fine, hacked)
    decision = decide(metrics, GateConfig())
    assert not decision.promote
    assert decision.reasons[0].startswith(f"reward-hacked against {against}: {word}")


JUDGED = {"judge_likelihood": (0.0, 0.3), "judge_recall_at_1": (0.0, 0.02)}
FACTS = dict.fromkeys(("facts_precision", "facts_recall", "wholly_true"), (0.0, 0.01))


@pytest.mark.parametrize("key", [*JUDGED, *FACTS])
@pytest.mark.parametrize("against", ["xe", "champion"])
def test_a_risen_reward_with_a_fallen_independent_score_is_hacked(key, against):
    fine = {"pac_score": (0.5, 0.01)} | JUDGED | FACTS
    hacked = fine | {key: (-0.5, 0.1)}
    metrics = make_metrics(hacked, fine) if against == "xe" else make_metrics(fine, hacked)
    decision = decide(metrics, GateConfig())
    assert not decision.promote
    assert len(decision.reasons) == 1
    assert decision.reasons[0].startswith(f"reward-hacked against {against}: ")
    assert decision.reasons[0].endswith("fell: -0.5 [-0.6, -0.4]")


def test_a_fall_within_its_interval_is_none():
    change = JUDGED | FACTS | {"judge_likelihood": (-0.2, 0.3), "cider": (0.1, 0.01)}
    assert decide(make_metrics(change, change), GateConfig()).promote


def test_the_optimised_score_alone_makes_no_champion_where_something_independent_judges():
    reward = {"pac_score": (0.5, 0.01)}
    even = make_metrics(JUDGED | reward, JUDGED | reward)
    decision = decide(even, GateConfig())
    assert not decision.promote
    assert decision.reasons[0].startswith(
        "not better than champion beyond chance: judge_likelihood"
    )
    assert decide(make_metrics(reward, reward), GateConfig()).promote


def test_without_an_independent_evaluator_the_reasons_say_so():
    alone = decide(make_metrics({"pac_score": (0.5, 0.01)}), GateConfig()).reasons
    judged = decide(make_metrics({"pac_score": (0.5, 0.01)} | JUDGED), GateConfig()).reasons
    assert alone[-1].startswith("no independent evaluator")
    assert not any("no independent" in reason for reason in judged)
    assert "judge_recall_at_1" in judged[1]


@pytest.mark.parametrize(("num_words", "promote"), [(14.9, True), (15.1, False)])
def test_captions_may_not_grow_without_end(num_words, promote):
    metrics = make_metrics({"pac_score": (0.5, 0.01)} | JUDGED)
    metrics["systems"]["dico"]["num_words"] = num_words
    decision = decide(metrics, GateConfig(max_length_ratio=2.5))
    assert decision.promote == promote
    assert promote or "captions became 2.5 times as long" in decision.reasons[0]


def test_a_start_that_is_too_short_may_grow_to_what_people_write():
    metrics = make_metrics({"pac_score": (0.5, 0.01)} | JUDGED)
    metrics["systems"]["dico"]["num_words"] = 19.0
    assert not decide(metrics, GateConfig()).promote
    metrics["systems"]["human"] = {"num_words": 9.0}
    assert decide(metrics, GateConfig()).promote


def test_a_collapsed_captioner_is_refused():
    metrics = make_metrics({"pac_score": (0.5, 0.01)})
    warning = '100% of the images get one caption, "a".'
    assert decide(metrics | {"warnings": [f"xe: {warning}"]}, GateConfig()).promote
    decision = decide(metrics | {"warnings": [f"dico: {warning}"]}, GateConfig())
    assert decision.reasons == (f"collapsed: dico: {warning}",)
    assert not decision.promote


def test_small_certain_loss_of_cider_needs_a_higher_reward():
    loss = {"cider": (-0.03, 0.01)}
    assert not decide(make_metrics(loss), GateConfig()).promote
    assert decide(make_metrics(loss | {"pac_score": (0.1, 0.02)}), GateConfig()).promote


def test_never_promoted_when_worse_or_hacked_always_when_better():
    """Every combination of clear moves against the champion, judged by the definition."""
    moves = (-0.2, 0.0, 0.2)
    for reward, cider, rep_2 in itertools.product(moves, moves, (0.0, 0.1)):
        change = {"pac_score": (reward, 0.05), "cider": (cider, 0.04), "rep_2_share": (rep_2, 0.02)}
        decision = decide(make_metrics({}, change), GateConfig())
        bad = reward < 0 or cider < 0 or rep_2 > 0.05
        better = reward > 0 or cider > 0
        assert decision.promote == (better and not bad), (reward, cider, rep_2, decision)


def test_empty_captions_are_refused():
    metrics = make_metrics({"pac_score": (0.2, 0.01)})
    metrics["systems"]["dico"]["num_words"] = 0.4
    decision = decide(metrics, GateConfig())
    assert not decision.promote
    assert decision.reasons == ("captions of 0.4 words on average say nothing",)


def test_too_few_images_decide_nothing():
    decision = decide(make_metrics({"pac_score": (0.2, 0.01)}, num_images=19), GateConfig())
    assert not decision.promote
    assert "19 test images" in decision.reasons[0]


def test_missing_or_non_finite_metrics_are_errors_not_promotions():
    metrics = make_metrics({"pac_score": (0.2, 0.01)})
    metrics["differences"]["dico - xe"]["cider"]["low"] = math.nan
    with pytest.raises(DataError, match="low of dico - xe in cider is nan"):
        decide(metrics, GateConfig())
    del metrics["differences"]["dico - xe"]["cider"]
    with pytest.raises(DataError, match="no difference 'dico - xe' in cider"):
        decide(metrics, GateConfig())


def test_decision_is_saved_as_json(tmp_path):
    decision = decide(make_metrics({"pac_score": (-0.2, 0.03)}), GateConfig())
    decision.save(tmp_path / "decision.json")
    saved = json.loads((tmp_path / "decision.json").read_text())
    assert saved == {"promote": False, "reasons": list(decision.reasons)}


def test_limits_are_checked():
    with pytest.raises(ConfigError, match=r"max_cider_drop: must be from 0 to 1, got 2"):
        GateConfig(max_cider_drop=2)


def test_a_judge_of_another_package_is_heard():
    """As the independent evaluator: its fall beyond chance refuses, its rise tells who is better."""
    fallen = decide(make_metrics({"judge_wording": (-0.2, 0.1)}), GateConfig())
    assert fallen.reasons == (
        "worse against xe: the score of the judge wording fell: -0.2 [-0.3, -0.1]",
    )
    risen = decide(make_metrics({}, {"judge_wording": (0.2, 0.1)}), GateConfig())
    assert risen.promote
    assert risen.reasons == ("better than champion: judge_wording +0.2 [+0.1, +0.3]",)
