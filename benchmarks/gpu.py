"""One GPU: the DiCO step, cross-entropy training and beam search at the paper's size, and a roofline.

    python benchmarks/gpu.py [--batches 8 32 64 128]

Stored features, bfloat16 products, deterministic kernels as in training. Beside each time stand the
floating-point operations that the step really does, the share of the GPU's measured GEMM peak, and
the bound by arithmetic; beam search is compared with transformers' ``generate`` on the same weights,
captions counted. Absolute times hold for the GPU that is named with them.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from beam_search import as_transformers, compare, generate, paper_captioner, random_memory
from dico_step import BETA, TAU, W, reward_model
from measure import table, write
from sizes import SIZES
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from xe import CAPTIONS_PER_IMAGE, captions

from dico.decoding import DecodingConfig, beam_search
from dico.losses import dico_loss, xe_loss
from dico.models.captioner import Captioner
from dico.models.clip import ClipModel
from dico.models.scoring import caption_logits, score_candidates
from dico.training.determinism import use_deterministic_kernels
from dico.training.optimizer import adam

NUM_IMAGE_TOKENS = 257
DECODING = DecodingConfig(rule="transformers4")
COCO_TRAIN_IMAGES = 113_287


def dico_step(device: str, batch: int) -> Callable[[], Any]:
    """One step from stored features, the reference model's memory kept, Adam included."""
    policy = paper_captioner().to(device)
    start = paper_captioner().to(device).requires_grad_(False)
    judge: ClipModel = reward_model().to(device)
    features = torch.randn(batch, NUM_IMAGE_TOKENS, SIZES.feature_width, device=device)
    embeddings = torch.nn.functional.normalize(torch.randn(batch, 512, device=device), dim=-1)
    with torch.no_grad():
        kept = start.encode(features)
    optimiser = adam(list(policy.parameters()), 0.0)

    def step() -> None:
        optimiser.zero_grad()
        with torch.autocast(device, torch.bfloat16):
            memory = policy.encode_kv(features)
            tokens = beam_search(policy, memory.detach(), DECODING).tokens
            with torch.no_grad():
                scored = score_candidates(start, kept, tokens)
            logps = score_candidates(policy, memory, tokens)
        with torch.no_grad():
            texts = judge.encode_candidates(tokens)
        rewards = W * torch.einsum("bke,be->bk", texts, embeddings)
        dico_loss(logps, scored, rewards, BETA, TAU)[0].backward()
        optimiser.step()

    return step


def xe_step(device: str, batch: int) -> Callable[[], Any]:
    """One step on five captions of each image, from stored features, Adam included."""
    captioner = paper_captioner().train().to(device)
    features = torch.randn(batch, NUM_IMAGE_TOKENS, SIZES.feature_width, device=device)
    tokens = captions(captioner, batch * CAPTIONS_PER_IMAGE).to(device)
    optimiser = adam(list(captioner.parameters()), 0.0)

    def step() -> None:
        optimiser.zero_grad()
        with torch.autocast(device, torch.bfloat16):
            logits, targets = caption_logits(captioner, captioner.encode(features), tokens)
        xe_loss(logits, targets, captioner.pad_id).backward()
        optimiser.step()

    return step


def timed(device: str, run: Callable[[], Any], rounds: int) -> tuple[float, float, Any]:
    """Median seconds, floating-point operations of one run, and what it returned."""
    run()
    with FlopCounterMode(display=False) as counter:
        result = run()
    took = []
    for _ in range(rounds):
        wait(device)
        start = time.perf_counter()
        run()
        wait(device)
        took.append(time.perf_counter() - start)
    return statistics.median(took), counter.get_total_flops(), result


def wait(device: str) -> None:
    """Until the device has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def gemm_peak(device: str, size: int) -> float:
    """Operations per second of a large bfloat16 product."""
    left, right = (torch.randn(size, size, device=device).bfloat16() for _ in range(2))
    seconds, _, _ = timed(device, lambda: left @ right, 5)
    return 2 * size**3 / seconds


def bandwidth(device: str, values: int) -> float:
    """Bytes per second read and written by a copy."""
    source = torch.empty(values, device=device)
    into = torch.empty_like(source)
    seconds, _, _ = timed(device, lambda: into.copy_(source), 5)
    return 8 * values / seconds


def search(device: str, batch: int, dtype: torch.dtype, rounds: int) -> dict[str, Any]:
    """Beam search against ``generate``."""
    captioner: Captioner = paper_captioner()
    memory: Tensor = random_memory(captioner, batch).to(device, dtype)
    model = as_transformers(captioner).to(device, dtype)
    captioner = captioner.to(device, dtype)
    config = DecodingConfig(eos_at_limit="open")
    ours, _, found = timed(device, lambda: beam_search(captioner, memory, config), rounds)
    theirs, _, other = timed(device, lambda: generate(model, captioner, memory, config), rounds)
    agreement = compare(found, other, captioner.pad_id)
    return {"seconds": ours, "generate_seconds": theirs, "speed_up": theirs / ours, **agreement}


def row(name: str, batch: int, count: int, seconds: float, flops: float, peak: float) -> list[str]:
    """A row of the table."""
    share = flops / seconds / peak
    return [name, str(batch), f"{seconds * 1e3:.2f}", f"{count / seconds:.0f}", f"{share:.0%}"]


def main() -> None:
    """Runs what fits in the GPU's memory and writes results/gpu.json and .md."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 32, 64, 128])
    parser.add_argument("--rounds", type=int, default=10, help="measured turns (default 10)")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("gpu.py measures a CUDA device, and torch sees none")
    use_deterministic_kernels()  # as every training step does
    measure("cuda", torch.cuda.get_device_name(), options.batches, options.rounds)


def measure(device: str, name: str, batches: list[int], rounds: int) -> None:
    """All measurements on one device."""
    size = 8192 if device == "cuda" else 256
    peak, bytes_a_second = gemm_peak(device, size), bandwidth(device, size * size)
    rows, steps = [], []
    for batch in batches:
        for kind, make, each in (("DiCO", dico_step, 1), ("XE", xe_step, CAPTIONS_PER_IMAGE)):
            seconds, flops, _ = timed(device, make(device, batch), rounds)
            rows.append(row(kind, batch, batch * each, seconds, flops, peak))
            steps.append(
                {
                    "step": kind,
                    "batch": batch,
                    "seconds": seconds,
                    "per_second": batch * each / seconds,
                    "flops": flops,
                    "seconds_at_gemm_peak": flops / peak,
                    "share_of_gemm_peak": flops / seconds / peak,
                }
            )
    best = max(step["per_second"] for step in steps if step["step"] == "DiCO")
    searches = {
        str(dtype): search(device, batch, dtype, max(rounds // 3, 1))
        for dtype in (torch.float32, torch.bfloat16)
        for batch in batches[:1]
    }
    result = {
        "device": name,
        "gemm_teraflops": peak / 1e12,
        "gigabytes_a_second": bytes_a_second / 1e9,
        "epoch_of_coco_minutes": COCO_TRAIN_IMAGES / best / 60,
        "steps": steps,
        "beam_search": searches,
    }
    header = ["step", "batch", "ms", "images or captions per s", "of GEMM peak"]
    write("gpu", result, table(header, rows))


if __name__ == "__main__":
    main()
