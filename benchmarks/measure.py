"""Times of rivals in alternation, as medians with their spread, for every benchmark here."""

import datetime
import gc
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).parent / "results"


def alternate(rivals: dict[str, Callable[[], Any]], rounds: int) -> dict[str, dict[str, float]]:
    """Process CPU seconds and wall seconds of each rival, run in turn ``rounds`` times.

    One unmeasured turn of each comes first.
    """
    cpu: dict[str, list[float]] = {name: [] for name in rivals}
    wall: dict[str, list[float]] = {name: [] for name in rivals}
    for turn in range(rounds + 1):
        for name, run in rivals.items():
            gc.collect()
            start_cpu, start_wall = time.process_time(), time.perf_counter()
            run()
            if turn:
                cpu[name].append(time.process_time() - start_cpu)
                wall[name].append(time.perf_counter() - start_wall)
    return {name: summary(cpu[name], wall[name]) for name in rivals}


def summary(cpu: list[float], wall: list[float]) -> dict[str, float]:
    """Medians and the range of the CPU times."""
    return {
        "cpu_seconds": statistics.median(cpu),
        "cpu_seconds_low": min(cpu),
        "cpu_seconds_high": max(cpu),
        "wall_seconds": statistics.median(wall),
        "rounds": len(cpu),
    }


def gemm_peak_flops(size: int = 1536, dtype: torch.dtype = torch.float32) -> float:
    """Floating-point operations per CPU second of the best of seven square products."""
    left, right = (torch.randn(size, size).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(7):
        start = time.process_time()
        torch.mm(left, right)
        best = min(best, time.process_time() - start)
    return 2 * size**3 / best


def machine() -> dict[str, Any]:
    """Where and with what these numbers were measured."""
    names = [line for line in _cpuinfo() if line.startswith("model name")]
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cpu": names[0].split(":")[1].strip() if names else platform.processor(),
        "num_cpus": len(names),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "gemm_gflops": round(gemm_peak_flops() / 1e9, 1),
    }


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.is_file() else []


def has_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 by instructions of its own."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def reset_memory_peak() -> None:
    """Forgets this process's largest resident memory (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def memory_peak_gigabytes() -> float:
    """Largest resident memory of this process since `reset_memory_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1e6


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def write(name: str, result: dict[str, Any], lines: str = "") -> None:
    """Writes the result to results/``name``.json, and prints it or its table, which is kept too."""
    about = machine()
    text = json.dumps({"machine": about, **result}, indent=1)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(text + "\n")
    if lines:
        where = ", ".join(f"{key} {value}" for key, value in about.items())
        (RESULTS / f"{name}.md").write_text(f"{where}\n\n{lines}")
    print(lines or text)
