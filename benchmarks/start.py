"""CPU seconds until the first useful output: help, a table of scores, the first step of training.

    python benchmarks/start.py [--rounds 7]

Each is a process of its own with one thread; user and system time of the process and its children,
rivals by turns. What torch costs by itself is measured beside them, because it is most of the rest:
a training step is given as its imports and its first update, less a bare ``import torch``.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from measure import table, write

FIRST_STEP = """
import torch
from dico.steps import finetune_captioner, pretrain_captioner
from dico.training.optimizer import adam
weight = torch.nn.Parameter(torch.zeros(8, 8))
optimizer = adam([weight], 1e-3)
weight.sum().backward()
optimizer.step()
"""


def main() -> None:
    """Measures and writes results/start.md."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=7, help="measured turns (default 7)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="start-") as working:
        rivals = commands(Path(working))
        seconds: dict[str, list[float]] = {name: [] for name in rivals}
        for turn in range(options.rounds + 1):
            for name, words in rivals.items():
                used = cpu_seconds(words)
                if turn:  # the first one warms the caches of files
                    seconds[name].append(used)
    medians = {name: statistics.median(own) for name, own in seconds.items()}
    rows = [
        [name, f"{medians[name]:.2f}", f"{min(own):.2f} to {max(own):.2f}"]
        for name, own in seconds.items()
    ]
    beyond = medians["training: first update"] - medians["import torch"]
    rows.append(["training: first update, beyond torch", f"{beyond:.2f}", ""])
    result: dict[str, Any] = {"cpu_seconds": medians, "first_update_beyond_torch": beyond}
    write("start", result, table(["process", "CPU s, median", "range"], rows))


def commands(folder: Path) -> dict[str, list[str]]:
    """The processes, and the five captions that are scored."""
    captions = {f"{i}.jpg": f"a dog runs on beach {i}" for i in range(5)}
    references = {name: [text, f"{text} by the sea"] for name, text in captions.items()}
    for name, content in (("captions", captions), ("references", references)):
        (folder / f"{name}.json").write_text(json.dumps(content))
    dico = str(Path(sys.executable).with_name("dico"))
    files = [str(folder / "captions.json"), "--references", str(folder / "references.json")]
    return {
        "python -c pass": [sys.executable, "-c", "pass"],
        "dico --help": [dico, "--help"],
        "dico evaluate, 5 captions": [dico, "evaluate", *files, "--no-meteor"],
        "import torch": [sys.executable, "-c", "import torch"],
        "training: first update": [sys.executable, "-c", FIRST_STEP],
    }


def cpu_seconds(words: list[str]) -> float:
    """User and system time of a process and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    alone = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(words, check=True, capture_output=True, env=alone)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)


if __name__ == "__main__":
    main()
