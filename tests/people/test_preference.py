"""What the gate asks of people: judgements of these captions, and the lower end of their interval."""

import pytest

from dico.configuration.schema import to_json
from dico.evaluation.gate import GateConfig
from dico.people.judgements import Judgement
from dico.people.preference import not_preferred
from dico.steps.compare_models import compare_models
from tests.evaluation.hacked import HONEST, ToyWorld

CAPTIONS = {name: {str(k): f"{name} {k}" for k in range(40)} for name in ("dico", "xe", "champion")}


def judged(choices, captions=CAPTIONS, pair=("xe", "dico")):
    return [
        Judgement("r", str(k), {name: captions[name][str(k)] for name in pair}, pair, choice)
        for k, choice in enumerate(choices)
    ]


@pytest.mark.parametrize(("wins", "preferred"), [(36, True), (22, False), (4, False)])
def test_the_lower_end_of_the_interval_must_reach_the_limit(wins, preferred):
    choices = ["dico"] * wins + ["xe"] * (40 - wins)
    fault = not_preferred(judged(choices), CAPTIONS, "dico", "xe", 0.5)
    assert (fault == "") is preferred
    assert preferred or f"in {wins / 40:.0%} [" in fault


def test_the_order_of_systems_does_not_matter():
    choices = ["dico"] * 30 + ["xe"] * 10
    one = not_preferred(judged(choices), CAPTIONS, "dico", "xe", 0.9)
    two = not_preferred(judged(choices, pair=("dico", "xe")), CAPTIONS, "dico", "xe", 0.9)
    assert one == two != ""


def test_judgements_of_other_captions_do_not_count():
    earlier = {
        name: {k: f"{text} before" for k, text in own.items()} for name, own in CAPTIONS.items()
    }
    fault = not_preferred(judged(["dico"] * 40, earlier), CAPTIONS, "dico", "xe", 0.5)
    assert fault == "no person has judged these captions against those of xe"
    assert not_preferred(judged(["dico"] * 40), CAPTIONS, "dico", "champion", 0.5).endswith(
        "champion"
    )


@pytest.mark.parametrize(("choice", "promote"), [("dico", "true"), ("equal", "false")])
def test_the_gate_asks_people_after_its_scores(tmp_path, choice, promote):
    world = ToyWorld(0)
    better, start = HONEST["names all that people do"]
    evaluation = world.evaluation({"dico": better, "xe": start})
    evaluation.save(tmp_path)
    captions = {"dico": world.captions(better), "xe": world.captions(start)}
    pair = ("dico", "xe")
    lines = [
        Judgement("r", k, {name: captions[name][k] for name in pair}, pair, choice).to_line()
        for k in list(world.scenes)[:50]
    ]
    (tmp_path / "judgements.jsonl").write_text("".join(lines))
    config = GateConfig(judgements=str(tmp_path / "judgements.jsonl"), min_win_rate=0.6)
    outputs = compare_models(str(tmp_path), to_json(config), str(tmp_path / "decision.json"))
    assert outputs.promote == promote
    assert promote == "true" or outputs.reasons.startswith("people prefer it to xe in 50%")
