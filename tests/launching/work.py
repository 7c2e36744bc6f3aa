"""A small training for tests of launching, and what starts it in several ways."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from dico.configuration.schema import to_json
from dico.decoding import DecodingConfig
from dico.launching.nodes import Handover
from dico.training.configs import XEConfig
from tests.builders import tiny_config

CAPTIONER = tiny_config(dropout=0.0)
SHORT = XEConfig(num_steps=2, batch_size=6, micro_batch_size=6, num_validation_images=4)
LONG = XEConfig(num_steps=5000, batch_size=6, micro_batch_size=6)


def arguments(folder: Path, name: str, config: XEConfig = SHORT) -> dict[str, Any]:
    """Arguments of pretrain_captioner on the toy dataset in ``folder``."""
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


def are_close(weights: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool:
    """Whether two captioners are one but for rounding."""
    return weights.keys() == expected.keys() and all(
        torch.allclose(weights[name], value, rtol=1e-3, atol=2e-5)
        for name, value in expected.items()
    )


def run_nodes(call: Handover, num_nodes: int) -> list[int]:
    """Starts the nodes as Kubeflow Trainer would; returns their exit codes."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    nodes = [
        subprocess.Popen(
            [sys.executable, "-m", "dico.launching", "node", call.store_uri, call.key],
            env={
                **os.environ,
                "PET_NNODES": str(num_nodes),
                "PET_NPROC_PER_NODE": "1",
                "PET_NODE_RANK": str(rank),
                "PET_MASTER_ADDR": "127.0.0.1",
                "PET_MASTER_PORT": str(port),
                "GLOO_SOCKET_IFNAME": "lo",
            },
        )
        for rank in range(num_nodes)
    ]
    return [node.wait(timeout=400) for node in nodes]


def stop_two_ranks(given: dict[str, Any]) -> tuple[int, str, float]:
    """SIGTERM to what launched two ranks, once they train: exit code, last line, seconds."""
    code = (
        "import json, sys\nfrom dico.process.exits import exit_codes\nfrom dico.launching import launch\n"
        "with exit_codes():\n"
        "    launch('pretrain_captioner', json.loads(sys.argv[1]), num_processes=2)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, json.dumps(given)], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr
    assert any("steps/s" in line for line in process.stderr), "it ended before its first step"
    process.send_signal(signal.SIGTERM)
    begun = time.monotonic()
    said = process.communicate(timeout=120)[1]
    return process.returncode, said.splitlines()[-1], time.monotonic() - begun
