"""A preset of the user's own on its way to a run's steps, and names that no plug-in has."""

import subprocess
import sys
from pathlib import Path

import pytest

from dico.errors import ConfigError
from dico_pipelines.cluster.parameters import read_values
from dico_pipelines.local.runner import prepare
from dico_pipelines.presets import settle

PIPELINE = Path("pipelines/dico.yaml")


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "harbour.toml"
    path.write_text('extends = "photos"\nxe.num_steps = 7\n')
    return str(path)


def test_a_file_becomes_what_the_pipeline_takes(own):
    values = {"preset": own, "overrides": "xe.batch_size=320", "model_name": "", "seed": 1}
    assert settle(values) == {
        "preset": "photos",
        "overrides": "xe.num_steps=7 xe.batch_size=320",
        "model_name": "harbour",
        "seed": 1,
    }
    assert settle({**values, "model_name": "mine"})["model_name"] == "mine"
    shipped = {**values, "preset": "photos"}
    assert settle(shipped) == shipped
    assert settle({"seed": 1}) == {"seed": 1}


def test_a_submitted_run_is_sent_what_the_file_says(own):
    _, values = read_values(PIPELINE, [f"preset={own}", "store=s3://b/s", "registry=s3://b/r"])
    assert values == {
        "preset": "photos",
        "overrides": "xe.num_steps=7",
        "model_name": "harbour",
        "store": "s3://b/s",
        "registry": "s3://b/r",
    }


def test_a_local_run_is_given_what_the_file_says(own, tmp_path):
    values = prepare({"preset": own, "overrides": "", "model_name": ""}, tmp_path)
    assert values["overrides"] == "xe.num_steps=7"


def test_plug_ins_are_looked_for_where_the_steps_run(tmp_path):
    values = {"preset": "toy", "overrides": "finetune.reward=pacs"}
    with pytest.raises(
        ConfigError,
        match=r"finetune\.reward: unknown reward 'pacs' .did you mean pac..; known are pac",
    ):
        prepare(values, tmp_path)
    assert prepare(values, tmp_path, containers=True) == values
    assert settle(values) == values


def test_a_misspelt_reward_is_said_before_anything_is_written(tmp_path):
    command = [sys.executable, "-m", "dico", "run", str(PIPELINE), "--runs", str(tmp_path / "runs")]
    done = subprocess.run(
        [*command, "overrides=finetune.reward=0.5*pac+spice"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: finetune.reward: unknown reward 'spice'; known are pac,")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()
