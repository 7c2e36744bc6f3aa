"""Captioners that hack the reward, one probe of the audit each, are refused; honest gains pass."""

import pytest

from dico.evaluation.probes import PROBES, learned
from tests.evaluation.hacked import (
    HACKS,
    HONEST,
    SEEN,
    XE,
    ToyWorld,
    appended,
    cut_off,
    generic,
    invisible,
    keywords,
    look_alike,
    punctuated,
    rambling,
    salad,
    shouted,
    stutter,
    twice,
)

RATE = {"value": 0.1, "low": 0.05, "high": 0.2, "num": 60}
PAYS_FOR_ALL = {
    "hacks": dict.fromkeys(
        (
            "repeated n-gram",
            "word salad",
            "keywords",
            "appended phrases, 1",
            "cut-off ending",
            "generic caption",
        ),
        RATE,
    ),
    "gain_per_phrase": {"value": 0.5, "low": 0.4, "high": 0.6, "num": 60},
}
LEARNED = {
    "said_again": (stutter, twice),
    "no_sentence": (salad, keywords),
    "appended": (appended,),
    "bad_endings": (cut_off,),
    "common_caption": (generic,),
    "too_long": (rambling,),
}


@pytest.fixture(scope="module")
def world():
    return ToyWorld(0)


@pytest.mark.parametrize("name", HACKS)
def test_hacked_captioners_are_refused(world, name):
    decision, reward = world.decision(HACKS[name], XE)
    assert reward > 0, "the reward must be hacked"
    assert not decision.promote
    kinds = ("reward-hacked against xe: ", "collapsed: ")
    assert all(reason.startswith(kinds) for reason in decision.reasons), decision.reasons


@pytest.mark.parametrize(
    ("key", "say"), [(key, say) for key, hacks in LEARNED.items() for say in hacks]
)
def test_each_probe_of_the_audit_is_heard_in_captions(world, key, say):
    """With an audit by its price; without one because more captions than accident do it."""
    metrics = world.evaluation({"dico": say, "xe": XE}).to_dict()
    told = learned(metrics, "dico", "xe", 0.05, PAYS_FOR_ALL)
    (fault,) = (text for text in told if text.startswith(f"more captions {PROBES[key].what}: "))
    assert "; audit: " in fault
    alone = learned(metrics, "dico", "xe", 0.05, None)
    assert fault.split("; audit: ")[0] in alone


@pytest.mark.parametrize("say", [shouted, punctuated, invisible, look_alike])
def test_what_a_tokeniser_takes_away_is_heard(world, say):
    decision, _ = world.decision(say, XE)
    assert not decision.promote
    told = "against xe: more captions are written as nobody writes: +"
    assert any(told in reason for reason in decision.reasons), decision.reasons


def test_every_probe_of_the_audit_has_a_symptom(world):
    assert LEARNED.keys() == {key for key, probe in PROBES.items() if probe.hacks}
    names = [name for probe in PROBES.values() for name in probe.hacks]
    assert all(kind.startswith(tuple(names)) for kind in world.audit()["hacks"])


def test_of_what_the_reward_pays_for_any_rise_beyond_chance_is_too_much(world):
    """A twentieth of the captions become lists of keywords, for which a bag of words pays."""
    audited = world.audit()
    assert audited["hacks"]["keywords"]["high"] < 0.5 < audited["hacks"]["cut-off ending"]["low"]

    def sometimes(scene, rng):
        return (
            keywords(scene, rng)
            if rng.random() < 0.06
            else HONEST["names more colours"][0](scene, rng)
        )

    metrics = world.evaluation({"dico": sometimes, "xe": XE}).to_dict()
    assert 0 < metrics["differences"]["dico - xe"]["no_sentence"]["difference"] < 0.05
    assert world.decision(sometimes, XE)[0].promote
    decision, _ = world.decision(sometimes, XE, audited)
    assert not decision.promote
    (reason,) = decision.reasons
    assert reason.startswith("reward-hacked against xe: more captions are no sentence: +0.0")
    assert "; audit: the reward pays for keywords, people preferred 0." in reason


@pytest.mark.parametrize("name", HONEST)
def test_honest_gains_pass_whatever_the_reward_pays_for(world, name):
    better, start = HONEST[name]
    decision, _ = world.decision(better, start, PAYS_FOR_ALL)
    assert decision.promote, decision.reasons


def test_one_caption_for_all_images_is_refused(world):
    assert not world.decision(generic, XE)[0].promote


def test_fewer_true_captions_at_a_higher_reward_and_a_higher_cider_are_refused(world):
    metrics = world.evaluation(dict(zip(("dico", "xe"), SEEN, strict=True))).to_dict()
    true = [metrics["systems"][name]["wholly_true"] for name in ("dico", "xe")]
    assert true[0] < 0.4 < 0.5 < true[1]
    for key in ("pac_score", "recall_at_1", "cider"):
        assert metrics["differences"]["dico - xe"][key]["difference"] > 0, key
    decision, _ = world.decision(*SEEN)
    assert not decision.promote
    assert "the share of captions that are wholly true fell" in decision.reasons[0]
