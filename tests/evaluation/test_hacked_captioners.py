"""Ten captioners that hack the reward are refused; ten honest gains pass."""

import pytest

from tests.evaluation.hacked import HACKS, HONEST, SEEN, XE, ToyWorld, generic


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


@pytest.mark.parametrize("name", HONEST)
def test_honest_gains_pass(world, name):
    better, start = HONEST[name]
    decision, _ = world.decision(better, start)
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
