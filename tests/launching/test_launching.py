"""One process and two ranks of one node end with the same captioner, or say why not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from dico.errors import ConfigError, UsageError
from dico.launching import launch
from dico.launching.nodes import hand_over
from tests.launching.work import are_close, arguments
from tests.training import tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.make_world(tmp_path_factory.mktemp("launching"))


def test_two_ranks_of_one_node_train_the_same_captioner(folder):
    launch("pretrain_captioner", arguments(folder, "one"))
    launch("pretrain_captioner", arguments(folder, "two"), num_processes=2)
    one, two = (load_file(folder / name / "model.safetensors") for name in ("one", "two"))
    assert are_close(two, one)


def test_a_node_that_fails_says_why_through_the_store(folder):
    call = hand_over("pretrain_captioner", {**arguments(folder, "bad"), "config": '{"steps": 1}'})
    environment = {**os.environ, "PET_NNODES": "1", "PET_NPROC_PER_NODE": "1"}
    node = subprocess.run(
        [sys.executable, "-m", "dico.launching", "node", call.store_uri, call.key],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert node.returncode == 2
    assert "xe.steps" in node.stderr.splitlines()[-1]
    assert call.failure().exit_code == 2
    assert str(call.failure()).startswith("node 0, rank 0: ")
    call.forget_failure()
    assert call.failure() is None


def test_the_call_is_checked_before_anything_starts(tmp_path):
    with pytest.raises(ConfigError, match="num_processes -1"):
        launch("pretrain_captioner", {}, num_processes=-1)
    with pytest.raises(UsageError, match="store: training on several nodes needs a store"):
        hand_over("pretrain_captioner", {"store": "", "output_captioner": "/out"})
    with pytest.raises(UsageError, match="expected one output"):
        hand_over("pretrain_captioner", {"store": str(tmp_path)})


def test_a_shared_place_is_not_copied(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "input").write_text("x")
    names = {"store": str(tmp_path / "store"), "registry": str(tmp_path), "output_captioner": "/o"}
    call = hand_over("step", {**names, "manifest": str(tmp_path / "input")})
    said = json.loads((tmp_path / "store" / call.key / "call.json").read_text())
    assert list(said["inputs"]) == ["manifest"]
    assert said["arguments"] == {"store": str(tmp_path / "store"), "registry": str(tmp_path)}
    assert Path(tmp_path / "store" / call.key / said["inputs"]["manifest"]).read_text() == "x"
