"""A package of another's, installed by pip: its rewards and its callback work by name."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parent / "example"
REWARDS = """
import torch
from PIL import Image
from dico.rewards import RewardBatch, RewardContext, build_reward
batch = RewardBatch(
    torch.zeros(2, 2, 3, dtype=torch.long),
    lambda ids: ["a bright dog", "a dog", "a dark cat", "a bright cat here"],
    lambda weights: None,
    images=lambda: [Image.new("RGB", (8, 8), "white"), Image.new("RGB", (8, 8), "black")],
)
reward = build_reward("2*brightness + 0.5*brevity", RewardContext(None, None))
print(reward(batch).tolist())
"""
CALLBACK = """
from dico.tracking import rows_made
from dico.tracking.trackers import tracked
with tracked("xe", {}):
    rows_made([{"step": 1, "loss": 0.5}])
    rows_made([{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25}])
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder that pip installed the package into."""
    sources, target = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("site")
    for path in EXAMPLE.iterdir():
        if path.is_file():
            (sources / path.name).write_bytes(path.read_bytes())
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation"]
    subprocess.run(
        [*command, "--target", target, "."], cwd=sources, check=True, capture_output=True
    )
    return target


def run(installed, *arguments, **variables):
    environment = os.environ | {"PYTHONPATH": str(installed)} | variables
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True
    )


def test_rewards_look_at_texts_and_images(installed):
    done = run(installed, "-c", REWARDS)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[0.5, -1.0], [-1.5, -2.0]]


def test_a_callback_is_a_tracker_by_its_name(installed, tmp_path):
    done = run(installed, "-c", CALLBACK, DICO_TRACK=f"lines:{tmp_path}/lines.jsonl")
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "lines.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"step": 1, "loss": 0.5},
        {"step": 2, "loss": 0.25},
    ]


def test_without_the_package_the_names_are_unknown():
    done = subprocess.run([sys.executable, "-c", REWARDS], capture_output=True, text=True)
    assert "unknown reward 'brightness'" in done.stderr
