"""Data-parallel training: images per second of two ranks on two cores over one rank on one core.

    python benchmarks/ranks.py [--images 4] [--rounds 3]

Each rank has one thread and is bound to a core of its own; gradients are summed by gloo, as in
training. The step is the paper's whole DiCO step from stored features and embeddings, ``--images``
images a rank: candidates, reference model, reward, policy, the sum of gradients and Adam. The
ratio is of wall time, so the machine must be quiet; CPU seconds a step show what ranks cost alone.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable

import torch
import torch.distributed as dist
import torch.multiprocessing as processes
from dico_step import BETA, DECODING, TAU, W, captioners, reward_model
from measure import RESULTS, table, write
from sizes import NUM_IMAGE_TOKENS, SIZES
from torch.nn import functional as F

from dico.losses import dico_loss
from dico.policy import PaperPolicy
from dico.training.distributed import World
from dico.training.malloc import keep_freed_memory
from dico.training.optimizer import adam


def step_of(world: World, images: int) -> Callable[[], None]:
    """One step of this rank, the sum of gradients and Adam included."""
    keep_freed_memory()
    captioner, start = captioners()
    policy, start_model = PaperPolicy(captioner), PaperPolicy(start).reference_model()
    judge = reward_model()
    del judge.visual
    parameters = list(policy.module.parameters())
    optimiser = adam(parameters, 0.0)
    torch.manual_seed(10)
    features = torch.randn(images, NUM_IMAGE_TOKENS, SIZES.feature_width)
    embeddings = F.normalize(torch.randn(images, judge.config.embed_dim), dim=-1)

    def step() -> None:
        policy.module.zero_grad()
        memory = policy.encode(features)
        tokens = policy.search(memory.detach(), DECODING).tokens
        reference_logps = start_model.score(start_model.encode(features), tokens)
        with torch.no_grad():
            texts = judge.encode_candidates(tokens)
        rewards = W * torch.einsum("bke,be->bk", texts, embeddings)
        logps = policy.score(memory, tokens)
        loss, _ = dico_loss(logps, reference_logps, rewards, BETA, TAU)
        torch.autograd.backward(loss / world.size)
        world.sum_gradients(parameters)
        optimiser.step()

    return step


def work(rank: int, size: int, images: int, rounds: int, port: int) -> None:
    """A rank: writes the wall seconds of its steps beside the results."""
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[rank]})
    torch.set_num_threads(1)
    if size > 1:
        address = f"tcp://127.0.0.1:{port}"
        dist.init_process_group("gloo", init_method=address, rank=rank, world_size=size)
    step = step_of(World(rank, size), images)
    took = []
    for _ in range(rounds + 1):
        start, start_cpu = time.perf_counter(), time.process_time()
        step()
        took.append((time.perf_counter() - start, time.process_time() - start_cpu))
    if rank == 0:
        (RESULTS / f".ranks{size}").write_text(json.dumps(took[1:]))
    if size > 1:
        dist.destroy_process_group()


def seconds(size: int, images: int, rounds: int) -> list[tuple[float, float]]:
    """Wall and CPU seconds of each step of the first of ``size`` ranks."""
    RESULTS.mkdir(exist_ok=True)
    processes.spawn(work, (size, images, rounds, 29500 + os.getpid() % 1000), nprocs=size)
    path = RESULTS / f".ranks{size}"
    took = json.loads(path.read_text())
    path.unlink()
    return [(wall, cpu) for wall, cpu in took]


def main() -> None:
    """Runs the comparison and writes results/ranks.json and .md."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--images", type=int, default=4, help="images a rank (default 4)")
    parser.add_argument("--rounds", type=int, default=3, help="measured steps a turn (default 3)")
    options = parser.parse_args()
    if len(os.sched_getaffinity(0)) < 2:
        raise SystemExit("two ranks need two cores: this process may use one")
    steps: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    for _ in range(2):
        for size, times in steps.items():
            times.extend(seconds(size, options.images, options.rounds))
    took = {size: [wall for wall, _ in times] for size, times in steps.items()}
    cpu = {size: statistics.median(c for _, c in times) for size, times in steps.items()}
    rates = {size: size * options.images / statistics.median(done) for size, done in took.items()}
    result = {
        "images_a_rank": options.images,
        "wall_seconds": took,
        "cpu_seconds_a_step": cpu,
        "images_per_second": rates,
        "speed_up": rates[2] / rates[1],
        "speed_up_of_fastest": 2 * min(took[1]) / min(took[2]),
    }
    rows = [
        [
            str(size),
            f"{rates[size]:.2f}",
            f"{min(done):.2f} to {max(done):.2f}",
            f"{cpu[size]:.2f}",
        ]
        for size, done in took.items()
    ]
    lines = table(["ranks", "images per s", "s a step", "CPU s a step"], rows)
    write("ranks", result, f"{lines}\n{result['speed_up']:.2f} times with two ranks\n")


if __name__ == "__main__":
    main()
