"""A3: two ranks end where one does, within rounding, and agree with each other to the bit."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.policy.families import blip, write_checkpoint
from tests.training import tiny

ROOT = Path(__file__).parents[2]


def start(arguments, num_ranks, **environment):
    """Starts ``python -m`` with ``arguments`` as torchrun would, once a rank."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    return [
        subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                **environment,
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(num_ranks),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
            },
        )
        for rank in range(num_ranks)
    ]


def launch(stage, world, folder, num_ranks):
    """Trains on several ranks and returns what each ended with."""
    (folder / "out").mkdir(parents=True)
    paths = [str(world), str(folder / "store"), str(folder / "out")]
    processes = start(["tests.training.rank", stage, *paths], num_ranks)
    said = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * num_ranks, said
    return [load_file(folder / "out" / f"{rank}.safetensors") for rank in range(num_ranks)]


@pytest.mark.parametrize("stage", ["xe", "dico", "adapters"])
def test_two_ranks_end_where_one_does(world, tmp_path, stage):
    if stage == "adapters":
        captions = [text for record in tiny.records(world, "train") for text in record.captions]
        stage = str(write_checkpoint(blip, tmp_path / "blip", captions))
    (one,) = launch(stage, world, tmp_path / "one", 1)
    first, second = launch(stage, world, tmp_path / "two", 2)
    assert first.keys() == second.keys() == one.keys()
    for name in one:
        assert torch.equal(first[name], second[name]), name
        assert torch.allclose(first[name], one[name], rtol=1e-3, atol=2e-5), name
    assert any(name.startswith("weights/") for name in one)
    assert one["gradient_norm"] > 1e-3  # Adam forgives a wrong scale, so the weights do not tell
    assert (tmp_path / "two" / "store" / "checkpoints").is_dir()
