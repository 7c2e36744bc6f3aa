"""A1 and A5: a trainer that died goes on to the same bits, and only for the reasons it should."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dico.training.distributed import World
from dico.training.resilience.checkpoint import Checkpoints
from tests.reliability import trainer
from tests.reliability.kill_resume import forget_optimizer
from tests.training import tiny

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return tiny.make_world(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def alone(world, tmp_path_factory):
    """Results of trainers that were left alone."""
    store = tmp_path_factory.mktemp("alone")
    return {stage: trainer.train(stage, world, store / stage, World()) for stage in trainer.STAGES}


class Died(Exception):
    """Stands for whatever ends a trainer."""


def die_at(monkeypatch, step):
    """Ends training instead of saving the first checkpoint at or after ``step``."""
    save = Checkpoints.save

    def save_or_die(self, state):
        if state.step >= step:
            raise Died
        save(self, state)

    monkeypatch.setattr(Checkpoints, "save", save_or_die)


def dead_at(stage, world, store, step):
    """The checkpoints of a trainer that died at ``step``."""
    with pytest.MonkeyPatch.context() as patch:
        die_at(patch, step)
        with pytest.raises(Died):
            trainer.train(stage, world, store, World())
    return sorted((store / "checkpoints" / "run").glob("step-*"))


def test_the_trainers_are_deterministic(world, alone, tmp_path):
    """A5, in one process; the next test has others."""
    for stage in trainer.STAGES:
        assert trainer.train(stage, world, tmp_path / stage, World()) == alone[stage]
    assert len({alone[stage]["weights"] for stage in trainer.STAGES}) == len(trainer.STAGES)


def test_other_processes_end_with_the_same_bits(world, alone, tmp_path):
    for stage in trainer.STAGES:
        store, output = tmp_path / stage, tmp_path / f"{stage}.json"
        command = [sys.executable, "-m", "tests.reliability.trainer", stage]
        paths = [str(world), str(store), str(output)]
        subprocess.run([*command, *paths], cwd=ROOT, check=True, capture_output=True)
        assert json.loads(output.read_text()) == alone[stage]


@pytest.mark.parametrize("stage", trainer.STAGES)
@pytest.mark.parametrize("step", [4, 10])
def test_a_dead_trainer_goes_on_to_the_same_bits(world, alone, tmp_path, stage, step):
    assert dead_at(stage, world, tmp_path, step)
    assert trainer.train(stage, world, tmp_path, World()) == alone[stage]


@pytest.mark.parametrize("stage", trainer.STAGES)
def test_a_flipped_bit_costs_time_and_nothing_else(world, alone, tmp_path, stage):
    saved = dead_at(stage, world, tmp_path, 10)
    assert len(saved) == 2
    path = saved[-1] / "tensors.safetensors"
    data = bytearray(path.read_bytes())
    data[-7] ^= 16
    path.write_bytes(data)
    assert trainer.train(stage, world, tmp_path, World()) == alone[stage]


@pytest.mark.parametrize("stage", trainer.STAGES)
def test_a_finished_trainer_repeats_its_result(world, alone, tmp_path, stage):
    trainer.train(stage, world, tmp_path, World())
    assert trainer.train(stage, world, tmp_path, World()) == alone[stage]


@pytest.mark.parametrize("stage", trainer.STAGES)
def test_without_the_optimizers_state_the_bits_differ(world, alone, tmp_path, stage):
    """Negative control: what is compared depends on what checkpoints hold."""
    for checkpoint in dead_at(stage, world, tmp_path, 10):
        forget_optimizer(checkpoint)
    result = trainer.train(stage, world, tmp_path, World())
    assert result["steps"] == alone[stage]["steps"]
    # The best weights may be from before the death; the losses after it never are.
    assert result["history"] != alone[stage]["history"]


def test_killed_trainers_go_on_to_the_same_bits(world):
    """The quick subset of A1; the full count is in tests/reliability/kill_resume.py."""
    command = [sys.executable, "-m", "tests.reliability.kill_resume", "--world", str(world)]
    done = subprocess.run([*command, "--kills", "1"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = re.findall(r"A1 (\w+): 1 of 1", done.stdout)
    assert counts == list(trainer.STAGES)
