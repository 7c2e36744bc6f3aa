"""One DiCO step at the paper's size: ours against the reference algorithm's operations in order.

    python benchmarks/dico_step.py [--batch 8] [--rounds 2] [--precision bfloat16]

Each rival works in a process of its own, so that each has its own peak of memory; they take turns,
on the same weights and images, and must find the same candidates, rewards and loss. Dropout is
off in both. Ours is measured with the frozen reference model's view of each image kept from an
earlier epoch, and computed anew. The reference runs in float32, whatever ours runs in.
"""

import argparse
import atexit
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from beam_search import paper_captioner
from measure import has_bfloat16, memory_peak_gigabytes, reset_memory_peak, table, write
from reference_step import padded_texts, reference_logps, reference_search
from safetensors.torch import load_file, save_file
from sizes import SIZES
from torch import Tensor

from dico.decoding import DecodingConfig
from dico.losses import dico_loss
from dico.models.captioner import Captioner
from dico.models.clip import ClipModel
from dico.models.clip_config import ClipConfig
from dico.policy import PaperPolicy
from dico.training.malloc import keep_freed_memory

BETA, TAU, W = 0.2, 300.0, 2.0
DECODING = DecodingConfig(rule="transformers4")
TOWER = {
    "embed_dim": 768,
    "vision_cfg": {"image_size": 224, "layers": 24, "width": 1024, "patch_size": 14},
    "text_cfg": {"width": 768, "heads": 12, "layers": 1},
    "quick_gelu": True,
}
REWARD = {
    "embed_dim": 512,
    "vision_cfg": {"image_size": 224, "layers": 12, "width": 768, "patch_size": 32},
    "text_cfg": {"width": 512, "heads": 8, "layers": 12},
    "quick_gelu": True,
}
KEPT, ANEW, REFERENCE = "dico", "dico, reference model's memory anew", "reference"


class Clock:
    """CPU and wall seconds of the named parts of a step."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}
        self.wall = 0.0

    def __call__(self, name: str, run: Callable[[], Any]) -> Any:
        """Runs and adds its time to ``name``."""
        start, wall = time.process_time(), time.perf_counter()
        result = run()
        self.parts[name] = self.parts.get(name, 0.0) + time.process_time() - start
        self.wall += time.perf_counter() - wall
        return result


class Ours:
    """The step of dico's training, from stored features and embeddings."""

    def __init__(self, folder: Path, precision: str) -> None:
        keep_freed_memory()
        captioner, start = captioners()
        self.policy, self.start = PaperPolicy(captioner), PaperPolicy(start).reference_model()
        self.reward = reward_model()
        del self.reward.visual
        self.data = load_file(folder / "images.safetensors")
        self.kept = self.start.encode(self.data["features"])
        self.optimiser = torch.optim.Adam(captioner.parameters(), lr=0.0, fused=True)
        self.bfloat16 = precision == "bfloat16"

    def step(self, clock: Clock, keep: bool) -> dict[str, Any]:
        """``keep``: whether the reference model's memory of each image was kept."""
        policy, start, features = self.policy, self.start, self.data["features"]
        self.optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            memory = clock("policy encoder", lambda: policy.encode(features))
            found = clock("candidates", lambda: policy.search(memory.detach(), DECODING))
            tokens = found.tokens
            seen = self.kept if keep else clock("reference model", lambda: start.encode(features))
            scored = clock("reference model", lambda: start.score(seen, tokens))
            logps = clock("policy", lambda: policy.score(memory, tokens))
        with torch.no_grad():
            texts = clock("reward text", lambda: self.reward.encode_candidates(tokens))
        rewards = W * torch.einsum("bke,be->bk", texts, self.data["embeddings"])
        return finish(self.optimiser, logps, scored, rewards, tokens, clock)


class Reference:
    """The step in the reference's order."""

    def __init__(self, folder: Path, precision: str) -> None:  # noqa: ARG002
        self.policy, self.start = captioners()
        self.tower, self.reward = tower_model(), reward_model()
        self.pixels = load_file(folder / "images.safetensors")["pixels"]
        self.optimiser = torch.optim.Adam(self.policy.parameters(), lr=0.0)

    def step(self, clock: Clock) -> dict[str, Any]:
        """Nothing is shared, trimmed or kept."""
        policy, start, limit = self.policy, self.start, DECODING.max_tokens
        with torch.no_grad():
            features = clock("vision tower", lambda: self.tower.encode_image_tokens(self.pixels))
        tokens = clock(
            "candidates", lambda: reference_search(policy, policy.encode(features), DECODING)
        )
        with torch.no_grad():
            scored = clock(
                "reference model",
                lambda: reference_logps(start, start.encode(features), tokens, limit),
            )
            images = clock("reward image", lambda: self.reward.encode_image(self.pixels))
            texts = clock("reward text", lambda: padded_texts(self.reward, tokens))
        rewards = W * torch.einsum("bke,be->bk", texts, images)
        logps = clock(
            "policy", lambda: reference_logps(policy, policy.encode(features), tokens, limit)
        )
        return finish(self.optimiser, logps, scored, rewards, tokens, clock)


def finish(
    optimiser: torch.optim.Optimizer,
    logps: Tensor,
    scored: Tensor,
    rewards: Tensor,
    tokens: Tensor,
    clock: Clock,
) -> dict[str, Any]:
    """Loss, backward and Adam; the learning rate is 0 so that both rivals keep one model."""
    loss, _ = dico_loss(logps, scored, rewards, BETA, TAU)
    optimiser.zero_grad()
    clock("backward", lambda: loss.backward())
    clock("optimiser", optimiser.step)
    return {
        "tokens": tokens.numpy(),
        "rewards": rewards.numpy(),
        "logps": logps.detach().numpy(),
        "loss": loss.item(),
        "parts": clock.parts,
        "wall_seconds": clock.wall,
    }


def captioners() -> tuple[Captioner, Captioner]:
    """The policy with random weights, and the frozen start model a little beside it."""
    policy, start = paper_captioner(), paper_captioner().requires_grad_(False)
    torch.manual_seed(4)
    with torch.no_grad():
        for value in start.parameters():
            value.mul_(1 + 0.01 * torch.randn_like(value))
    return policy, start


def tower_model() -> ClipModel:
    """The captioner's vision tower, random."""
    torch.manual_seed(5)
    return ClipModel(ClipConfig.from_dict(TOWER)).eval().requires_grad_(False)


def reward_model() -> ClipModel:
    """The evaluator, random."""
    torch.manual_seed(6)
    return ClipModel(ClipConfig.from_dict(REWARD)).eval().requires_grad_(False)


def prepare(folder: Path, batch: int) -> None:
    """Images of noise, with their stored features and embeddings."""
    torch.manual_seed(2)
    pixels = torch.randn(batch, 3, 224, 224)
    with torch.no_grad():
        data = {
            "pixels": pixels,
            "features": tower_model().encode_image_tokens(pixels),
            "embeddings": reward_model().encode_image(pixels),
        }
    save_file(data, folder / "images.safetensors")


def work(
    rival: type[Ours] | type[Reference], folder: Path, precision: str, pipe: Connection
) -> None:
    """A rival's process: a step for each message, until one is empty."""
    torch.set_num_threads(1)
    made = rival(folder, precision)
    for options in iter(pipe.recv, None):
        reset_memory_peak()
        result = made.step(Clock(), **options)
        pipe.send({**result, "memory_gigabytes": memory_peak_gigabytes()})


def start(rival: type[Ours] | type[Reference], folder: Path, precision: str) -> Callable[..., Any]:
    """A process for a rival; returns what runs one step of it."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    context.Process(target=work, args=(rival, folder, precision, there), daemon=True).start()

    def step(**options: Any) -> Any:
        here.send(options)
        return here.recv()

    atexit.register(lambda: here.send(None))

    return step


def compare(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """How well two steps agree."""
    shapes_agree = ours["tokens"].shape == theirs["tokens"].shape
    rows = (ours["tokens"] == theirs["tokens"]).all(axis=-1) if shapes_agree else None
    gaps = {
        f"largest_{name[:-1]}_gap": float(abs(ours[name] - theirs[name])[rows].max())
        for name in ("logps", "rewards")
        if rows is not None and rows.any()
    }
    return {
        "identical_candidates": float(rows.mean()) if rows is not None else None,
        "relative_loss_gap": abs(ours["loss"] - theirs["loss"]) / abs(theirs["loss"]),
        **gaps,
    }


def summary(steps: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians and spread of a rival's steps."""
    totals = [sum(step["parts"].values()) for step in steps]
    names = steps[0]["parts"]
    parts = {name: statistics.median(step["parts"][name] for step in steps) for name in names}
    return {
        "cpu_seconds": statistics.median(totals),
        "cpu_seconds_each": totals,
        "wall_seconds": statistics.median(step["wall_seconds"] for step in steps),
        "parts": parts,
        "memory_gigabytes": max(step["memory_gigabytes"] for step in steps),
    }


def main() -> None:
    """Runs the comparison and writes results/dico_step_batch*."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--batch", type=int, default=8, help="images (default 8)")
    parser.add_argument("--rounds", type=int, default=2, help="measured turns (default 2)")
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    options = parser.parse_args()
    if options.precision == "bfloat16" and not has_bfloat16():
        raise SystemExit("this CPU has no bfloat16 instructions: there is nothing to measure")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name), options.batch)
        ours = start(Ours, Path(name), options.precision)
        theirs = start(Reference, Path(name), options.precision)
        for keep in (True, False):
            ours(keep=keep)
        steps: dict[str, list[dict[str, Any]]] = {KEPT: [], ANEW: [], REFERENCE: []}
        for _ in range(options.rounds):
            steps[KEPT].append(ours(keep=True))
            steps[ANEW].append(ours(keep=False))
            steps[REFERENCE].append(theirs())
            steps[KEPT].append(ours(keep=True))
            steps[ANEW].append(ours(keep=False))
    report(options.batch, options.precision, steps)


def report(batch: int, precision: str, steps: dict[str, list[dict[str, Any]]]) -> None:
    """Writes the results and prints them."""
    rivals = {name: summary(done) for name, done in steps.items()}
    last, reference = steps[KEPT][-1], rivals[REFERENCE]
    speed_ups = {n: reference["cpu_seconds"] / r["cpu_seconds"] for n, r in rivals.items()}
    ranges = {
        name: [
            min(reference["cpu_seconds_each"]) / max(rival["cpu_seconds_each"]),
            max(reference["cpu_seconds_each"]) / min(rival["cpu_seconds_each"]),
        ]
        for name, rival in rivals.items()
    }
    result = {
        "batch": batch,
        "candidates": DECODING.num_beams,
        "precision": precision,
        "mean_tokens": float((last["tokens"] < SIZES.vocab_size - 1).sum(-1).mean()),
        "speed_up": speed_ups,
        "speed_up_range": ranges,
        "memory_share": rivals[KEPT]["memory_gigabytes"] / reference["memory_gigabytes"],
        "agreement": compare(last, steps[REFERENCE][-1]),
        "rivals": rivals,
    }
    suffix = "" if precision == "float32" else f"_{precision}"
    lines = table(
        ["", "CPU s", "times faster", "range", "peak GB"],
        [
            [
                name,
                f"{rival['cpu_seconds']:.2f}",
                f"{speed_ups[name]:.1f}",
                "{:.1f} to {:.1f}".format(*ranges[name]),
                f"{rival['memory_gigabytes']:.2f}",
            ]
            for name, rival in rivals.items()
        ],
    )
    names = list(dict.fromkeys([*reference["parts"], *rivals[ANEW]["parts"]]))
    lines += "\n" + table(
        ["part, CPU s", *rivals],
        [
            [name, *(f"{rival['parts'].get(name, 0.0):.2f}" for rival in rivals.values())]
            for name in names
        ],
    )
    write(f"dico_step_batch{batch}{suffix}", result, lines)


if __name__ == "__main__":
    main()
