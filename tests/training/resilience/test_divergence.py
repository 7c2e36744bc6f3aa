"""A4 and the other guards: what stops a run, what sends it back, and what they leave alone."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dico.errors import NonFiniteError
from dico.training.data import CaptioningData
from dico.training.distributed import World
from dico.training.finetune import finetune
from dico.training.resilience.divergence import (
    captions_beyond_limits,
    fault_of_update,
    reward_hacking,
    spike_limit,
)
from dico.training.resilience.limits import GuardConfig, RewardHackingConfig
from dico.training.xe import pretrain
from tests.reliability.trainer import DICO, XE
from tests.training import tiny

ROOT = Path(__file__).parents[3]
CONFIG = GuardConfig(spike_steps=3)
FALLING = [4.0 - 0.01 * i for i in range(60)]


@pytest.mark.parametrize(
    ("loss", "norm"), [(float("nan"), 1.0), (float("inf"), 1.0), (1.0, float("nan"))]
)
def test_what_is_not_finite_is_no_update(loss, norm):
    assert fault_of_update(loss, norm, [], CONFIG) == f"loss {loss}, gradient norm {norm}"


def test_the_limit_of_the_losses_by_hand():
    """Median 2, all deviations .5 in absolute value: sigma .7413, 20 of it 14.826."""
    losses = [1.5, 2.5] * 12
    assert spike_limit([*losses, 9.0, 9.0], CONFIG) == pytest.approx(2.0 + 14.826)
    assert spike_limit([2.0] * 30, CONFIG) == 3.0
    assert spike_limit([2.0] * 21, CONFIG) == float("inf")


def test_three_losses_in_a_row_are_a_divergence_and_two_are_not():
    assert fault_of_update(90.0, 1.0, [*FALLING, 90.0], CONFIG) == ""
    assert fault_of_update(90.0, 1.0, [*FALLING, 90.0, 3.0], CONFIG) == ""
    fault = fault_of_update(90.0, 1.0, [*FALLING, 90.0, 90.0], CONFIG)
    assert fault.startswith("3 losses in a row above")


def test_without_the_guard_a_divergence_goes_on():
    off = GuardConfig(spike_steps=0)
    assert fault_of_update(90.0, 1.0, [*FALLING, 90.0, 90.0], off) == ""


@pytest.mark.parametrize("losses", [FALLING, [0.69] * 60, [0.01, -0.02, 0.03] * 20])
def test_ordinary_losses_pass(losses):
    for end in range(len(losses)):
        assert fault_of_update(losses[end], 1.0, losses[:end], GuardConfig()) == ""


def validation(cider, words, rep_2, **more):
    return {
        "validation_cider": cider,
        "validation_num_words": words,
        "validation_rep_2": rep_2,
        **more,
    }


START = validation(1.49, 5.5, 0.33)
LIMITS = RewardHackingConfig()


def test_the_toy_run_is_sound():
    """What the shipped settings gave: longer captions, more repeated bigrams, the same share."""
    assert captions_beyond_limits(START, validation(1.87, 10.9, 0.73), LIMITS) == ""


@pytest.mark.parametrize(
    ("row", "named"),
    [
        (validation(1.0, 6.0, 0.3), "CIDEr 1.49 -> 1"),
        (validation(1.5, 9.0, 2.2), "repeated bigrams 7.3% -> 27.5%"),
        (validation(1.5, 18.0, 0.5), "words 5.5 -> 18.0"),
    ],
)
def test_each_limit_has_its_words(row, named):
    assert captions_beyond_limits(START, row, LIMITS) == named


def test_two_validations_in_a_row_stop_the_run_and_one_does_not():
    bad, good = validation(0.7, 6.0, 0.3, reward=1.5), validation(1.5, 6.0, 0.3, reward=1.5)
    rows = [START, *[{"reward": 1.2}] * 20]
    assert reward_hacking([*rows, bad], LIMITS) == ""
    assert reward_hacking([*rows, bad, good, bad], LIMITS) == ""
    said = reward_hacking([*rows, *[{"reward": 1.5}] * 20, bad, bad], LIMITS)
    assert said.startswith("reward hacking: reward 1.2 -> 1.5, but CIDEr 1.49 -> 0.7 since")
    falling = reward_hacking(
        [*rows, *[{"reward": 0.9}] * 20, *[{**bad, "reward": 0.9}] * 2], LIMITS
    )
    assert falling.startswith("collapse: ")
    assert reward_hacking([*rows, bad, bad], RewardHackingConfig(patience=0)) == ""


class Spoiled(CaptioningData):
    """Image tokens that are NaN at the given readings."""

    def spoil(self, *readings):
        self.readings, self.number = set(readings), 0
        return self

    def tokens(self, indices):
        self.number += 1
        tokens = super().tokens(indices)
        return tokens * torch.nan if self.number in self.readings else tokens


def spoiled(world, *readings):
    return Spoiled(tiny.records(world, "train"), tiny.features(world), tiny.CPU).spoil(*readings)


def train(world, folder, data):
    captioner = tiny.captioner(world, dropout=0.1)
    checkpoints = tiny.checkpoints(folder)
    state = pretrain(captioner, data, tiny.validator(world), XE, 1, checkpoints, World())
    return state, captioner


def test_a_run_goes_back_leaves_a_batch_out_and_ends_well(world, tmp_path):
    """Two readings a step: the eleventh is of the step after five, the checkpoint has three."""
    state, captioner = train(world, tmp_path, spoiled(world, 11))
    (event,) = [text for row in state.history.rows for text in row.get("events", [])]
    assert event == (
        "step 5: loss nan, gradient norm nan; went back to step 3 and left batches out"
    )
    assert (state.step, state.num_rewinds, state.num_skipped) == (XE.num_steps, 1, 3)
    assert all(torch.isfinite(value).all() for value in captioner.state_dict().values())


def test_going_back_twice_is_all(world, tmp_path):
    data = spoiled(world, *range(11, 1000))
    with pytest.raises(NonFiniteError, match=r"step 3: loss nan.*went back 2 times already") as end:
        train(world, tmp_path, data)
    assert end.value.exit_code == 70


def test_a_stuck_reading_ends_with_75(tmp_path):
    """A FIFO without a writer hangs in open(), where no exception can be raised."""
    code = """
import os
from dico.storage import sha256_file
from dico.training.resilience.limits import GuardConfig
from dico.training.resilience.watchdog import watching
os.mkfifo("pipe.bin")
with watching(GuardConfig(max_data_seconds=1.0)):
    sha256_file("pipe.bin")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 75, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith(
        "error: the data loader is stuck: more than 1 s in sha256_file (files.py"
    )
    assert last.endswith("the same command goes on from the last checkpoint")


class Falling:
    """A validator whose scores are written down: CIDEr falls while RefPAC-S rises."""

    def __init__(self):
        self.rows = iter([(1.5, 0.50), (1.4, 0.55), (0.9, 0.6), (0.8, 0.7), (0.7, 0.8)])

    def __call__(self, policy):
        cider, ref_pac = next(self.rows)
        return {"cider": cider, "num_words": 5.0, "rep_2": 0.1, "ref_pac_score": ref_pac}


def test_reward_hacking_stops_fine_tuning_with_the_weights_from_before(world, tmp_path):
    """Validations at 0, 2, 4, 6: the last two are beyond the limit, so 2 is the best that is sound."""
    config = dataclasses.replace(DICO, num_steps=20, batch_size=2, validate_every_steps=2)

    def run():
        captioner = tiny.captioner(world, sharp=4.0)
        checkpoints = tiny.checkpoints(tmp_path)
        return finetune(
            captioner,
            tiny.data(world),
            tiny.reward(world),
            Falling(),
            config,
            tiny.SEARCH,
            1,
            checkpoints,
            World(),
        )

    state = run()
    assert (state.step, state.best_step, state.best_score) == (6, 2, 0.55)
    (event,) = state.history.rows[-1]["events"]
    assert "but CIDEr 1.5 -> 0.8 since the start; stopped" in event
    assert run().history.rows == state.history.rows


def test_of_the_measured_runs_those_that_collapsed_would_have_been_stopped():
    """The runs of benchmarks/stability.py; collapsed: ended with less than .7 of the CIDEr."""
    path = ROOT / "benchmarks" / "results" / "stability.json"
    stopped, collapsed = [], []
    results = json.loads(path.read_text())["results"]
    for run in (run for result in results for run in result["runs"]):
        rows = [{f"validation_{k}": v for k, v in row.items()} for row in run]
        ends = range(1, len(rows) + 1)
        stopped.append(any(reward_hacking(rows[:end], LIMITS) for end in ends))
        collapsed.append(rows[-1]["validation_cider"] < 0.7 * rows[0]["validation_cider"])
    assert stopped == collapsed
    assert 0 < sum(stopped) < len(stopped)
