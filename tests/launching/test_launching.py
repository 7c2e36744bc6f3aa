"""One process, two ranks of one node and two nodes end with the same captioner, or say why not."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dico.config_schema import to_json
from dico.decoding import DecodingConfig
from dico.errors import ConfigError, UsageError
from dico.launching import launch
from dico.launching.nodes import hand_over
from dico.models.captioner_config import CaptionerConfig
from dico.training.configs import XEConfig
from tests.training import tiny

CAPTIONER = CaptionerConfig(
    width=16, num_encoder_layers=1, num_decoder_layers=1, num_heads=2, ffn_width=32,
    num_text_positions=16, dropout=0.0,
)  # fmt: skip
XE = XEConfig(num_steps=2, batch_size=6, micro_batch_size=6, num_validation_images=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.make_world(tmp_path_factory.mktemp("launching"))


@pytest.fixture(scope="module")
def one_process(folder):
    launch("pretrain_captioner", arguments(folder, "one"))
    return load_file(folder / "one" / "model.safetensors")


def arguments(folder, name, config=XE):
    return {
        "manifest": str(folder / "manifest.parquet"),
        "features": str(folder / "features"),
        "captioner_config": to_json(CAPTIONER),
        "config": to_json(config),
        "decoding": to_json(DecodingConfig(num_beams=3, max_tokens=10)),
        "seed": 1,
        "run_key": name,
        "store": str(folder / "store"),
        "output_captioner": str(folder / name),
    }


def assert_close(weights, expected):
    assert weights.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.allclose(weights[name], value, rtol=1e-3, atol=2e-5), name


def test_two_ranks_of_one_node_train_the_same_captioner(folder, one_process):
    launch("pretrain_captioner", arguments(folder, "two"), num_processes=2)
    assert_close(load_file(folder / "two" / "model.safetensors"), one_process)


def test_two_nodes_train_the_same_captioner_from_what_the_store_holds(folder, one_process):
    call = hand_over("pretrain_captioner", arguments(folder, "nodes"))
    assert not call.is_done()
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    nodes = [
        subprocess.Popen(
            [sys.executable, "-m", "dico.launching", "node", call.store_uri, call.key],
            env={
                **os.environ,
                "PET_NNODES": "2",
                "PET_NPROC_PER_NODE": "1",
                "PET_NODE_RANK": str(rank),
                "PET_MASTER_ADDR": "127.0.0.1",
                "PET_MASTER_PORT": str(port),
                "GLOO_SOCKET_IFNAME": "lo",
            },
        )
        for rank in range(2)
    ]
    assert [node.wait(timeout=400) for node in nodes] == [0, 0]
    assert call.is_done()
    call.take_output()
    assert_close(load_file(folder / "nodes" / "model.safetensors"), one_process)
    again = hand_over("pretrain_captioner", arguments(folder, "nodes"))
    assert again == call


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


@pytest.mark.slow
def test_sigterm_to_the_launcher_saves_the_state_and_says_try_again(folder):
    long = arguments(folder, "long", XEConfig(num_steps=5000, batch_size=6, micro_batch_size=6))
    code = (
        "import json, sys\nfrom dico.exits import exit_codes\nfrom dico.launching import launch\n"
        "with exit_codes():\n"
        "    launch('pretrain_captioner', json.loads(sys.argv[1]), num_processes=2)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, json.dumps(long)], stderr=subprocess.PIPE, text=True
    )
    while "steps/s" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    start = time.monotonic()
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 75, said
    assert "stopped by SIGTERM, progress is saved" in said.splitlines()[-1]
    assert time.monotonic() - start < 20
    assert any((folder / "store" / "checkpoints" / "long").iterdir())


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
