"""One step of cross-entropy at the paper's size under each option of the trainers.

    python benchmarks/training_options.py [--batch 16] [--rounds 3] [--device cuda]
                                          [--options plain,compile_blocks]

Each option works in a process of its own, so that each has its own peak of memory, on the same
weights and images. Its gradients are compared with those of the plain step. Compiling takes
minutes on a CPU, before anything is measured.
"""

import argparse
import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from beam_search import paper_captioner
from measure import memory_peak_gigabytes, reset_memory_peak, table, write
from safetensors.torch import load_file, save_file
from sizes import SIZES

from dico.losses import xe_loss
from dico.policy import policy_of
from dico.training.blocks import compile_blocks, recomputing
from dico.training.distributed import World

OPTIONS = ("plain", "bfloat16", "activation_checkpointing", "compile_blocks")
PLACES, CAPTION_TOKENS = 257, 13
"""Image tokens of ViT-L/14; tokens of a COCO caption with BOS and EOS."""


def measure(option: str, batch: int, rounds: int, device: str, folder: str) -> dict[str, Any]:
    """Seconds of a step and the peak of memory; writes its gradients into ``folder``."""
    torch.manual_seed(0)
    policy = policy_of(paper_captioner().to(device))
    features = torch.randn(batch, PLACES, SIZES.feature_width, device=device)
    tokens = torch.randint(0, 40_000, (batch, CAPTION_TOKENS), device=device)
    if option == "compile_blocks":
        compile_blocks(policy.module)
    precision = "bfloat16" if option == "bfloat16" else "float32"

    def step() -> None:
        policy.module.zero_grad()
        with World(device=torch.device(device)).autocast(precision):
            logits, targets = policy.caption_logits(policy.encode(features), tokens)
        torch.autograd.backward(xe_loss(logits, targets, policy.pad_id))
        if device == "cuda":
            torch.cuda.synchronize()

    cpu, wall = [], []
    with recomputing(policy.module, option == "activation_checkpointing"):
        start = time.perf_counter()
        step()
        first = time.perf_counter() - start
        reset_memory_peak()
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        for _ in range(rounds):
            start_cpu, start = time.process_time(), time.perf_counter()
            step()
            cpu.append(time.process_time() - start_cpu)
            wall.append(time.perf_counter() - start)
    gradient = torch.cat([p.grad.flatten() for p in policy.module.parameters()])
    save_file({"gradient": gradient.cpu()}, Path(folder) / f"{option}.safetensors")
    peak = memory_peak_gigabytes()
    if device == "cuda":
        peak = torch.cuda.max_memory_allocated() / 1e9
    return {
        "cpu_seconds": statistics.median(cpu),
        "wall_seconds": statistics.median(wall),
        "first_step_seconds": first,
        "peak_gigabytes": peak,
    }


def main() -> None:
    """Measures, compares and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--options", default=",".join(OPTIONS))
    arguments = parser.parse_args()
    options, results, rows = arguments.options.split(","), {}, []
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        for option in options:
            with spawn.Pool(1) as pool:
                inputs = (option, arguments.batch, arguments.rounds, arguments.device, folder)
                results[option] = pool.apply(measure, inputs)
            gradients = [load_file(f"{folder}/{o}.safetensors") for o in (options[0], option)]
            plain, ours = (loaded["gradient"] for loaded in gradients)
            results[option]["gradient_difference"] = float((ours - plain).norm() / plain.norm())
            numbers = [f"{value:.3g}" for value in results[option].values()]
            rows.append([option, *numbers])
    header = ["option", *(name.replace("_", " ") for name in results[options[0]])]
    write("training_options", {"batch": arguments.batch, "options": results}, table(header, rows))


if __name__ == "__main__":
    main()
