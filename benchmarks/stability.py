"""DiCO beside SCST: which training stays whole when it is pushed?

From one pre-trained captioner, with one evaluator as the reward, on the same pictures in the same
order: DiCO and SCST (mean baseline over beam candidates, mean and greedy baseline over samples) at
several learning rates. Reports PAC-S, CIDEr, repeated bigrams, bad endings and length on the test
split over the steps, as they are, also where SCST does not fail.

    python benchmarks/stability.py runs/NAME

reads a finished run of ``dico run`` and writes benchmarks/results/stability.{json,md,png}.
"""

import argparse
import json
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import torch

from dico.data.manifest import Record, read_manifest
from dico.decoding import DecodingConfig
from dico.features.pointer import open_features
from dico.features.store import FeatureStore
from dico.models.captioner import Captioner
from dico.models.evaluator import Evaluator
from dico.policy.captioning import caption_stored
from dico.rewards import ClipReward
from dico.storage import open_store
from dico.training.configs import FinetuneConfig
from dico.training.data import CaptioningData
from dico.training.distributed import World
from dico.training.finetune import finetune
from dico.training.resilience.checkpoint import Checkpoints
from dico.training.validation import Validator

METHODS = {
    "DiCO": {"method": "dico"},
    "SCST, beams, mean": {"method": "scst", "candidates": "beam", "baseline": "mean"},
    "SCST, samples, mean": {"method": "scst", "candidates": "sample", "baseline": "mean"},
    "SCST, samples, greedy": {"method": "scst", "candidates": "sample", "baseline": "greedy"},
}
SHOWN = {
    "pac_score": "PAC-S",
    "cider": "CIDEr",
    "rep_2": "repeated bigrams a caption",
    "bad_endings": "share of bad endings",
    "num_words": "words a caption",
}
Row = dict[str, float]


def train(run: Path, stored: FeatureStore, options: dict[str, object]) -> tuple[list[Row], str]:
    """Validation scores on the test split over the steps of one training, and a last caption."""
    captioner = Captioner.load(run / "models" / "xe")
    judge = Evaluator.load(run / "models" / "evaluator", "pac")
    test = read_manifest(run / "manifest.parquet", "test")
    decoding = DecodingConfig()
    config = FinetuneConfig(**options)  # type: ignore[arg-type]
    data = CaptioningData(
        read_manifest(run / "manifest.parquet", "train"), stored, torch.device("cpu")
    )
    validator = Validator(test, stored, decoding, judge)
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(open_store(folder), "stability")
        state = finetune(
            captioner,
            data,
            ClipReward(judge),
            validator,
            config,
            decoding,
            1,
            checkpoints,
            World(),
            keep_best=False,
        )
    rows = [
        {"step": row["step"], **{key: row[f"validation_{key}"] for key in SHOWN}}
        for row in state.history.rows
        if "validation_cider" in row
    ]
    return rows, _example(captioner, stored, test, decoding)


def _example(
    captioner: Captioner, stored: FeatureStore, test: list[Record], decoding: DecodingConfig
) -> str:
    return next(iter(caption_stored(captioner, stored, [test[0].sha256], decoding))).text


def table(results: list[dict[str, object]]) -> str:
    """The last scores of each training as a Markdown table, the start first."""
    names = list(SHOWN.values())
    lines = [
        f"| training | learning rate | {' | '.join(names)} | the first test picture |",
        "|---|---|" + "---:|" * len(names) + "---|",
    ]
    start = results[0]["rows"][0]  # type: ignore[index]
    lines.append(f"| the start (XE) | | {_cells(start)} | |")
    for result in results:
        last = result["rows"][-1]  # type: ignore[index]
        rate = f"{result['learning_rate']:g}"
        lines.append(f"| {result['name']} | {rate} | {_cells(last)} | {result['example']} |")
    return "\n".join(lines)


def _cells(row: Row) -> str:
    return " | ".join(f"{row[key]:.3f}" for key in SHOWN)


def plot(results: list[dict[str, object]], path: Path) -> None:
    """One column per learning rate, one row per score, one line per method."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    rates = sorted({float(result["learning_rate"]) for result in results})  # type: ignore[arg-type]
    figure, axes = pyplot.subplots(
        len(SHOWN),
        len(rates),
        figsize=(4 * len(rates), 2.2 * len(SHOWN)),
        sharex=True,
        sharey="row",
    )
    for column, rate in enumerate(rates):
        axes[0][column].set_title(f"learning rate {rate:g}")
        for row, (key, name) in enumerate(SHOWN.items()):
            for result in results:
                if result["learning_rate"] == rate:
                    points = result["rows"]
                    steps = [point["step"] for point in points]  # type: ignore[attr-defined]
                    values = [point[key] for point in points]  # type: ignore[attr-defined]
                    axes[row][column].plot(steps, values, label=result["name"])
            axes[row][column].grid(alpha=0.3)
            if column == 0:
                axes[row][column].set_ylabel(name, fontsize=8)
    axes[0][0].legend(fontsize=7)
    axes[-1][0].set_xlabel("step")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Runs all trainings and writes the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument(
        "--steps", type=int, default=300, help="optimiser steps of each (default 300)"
    )
    parser.add_argument(
        "--rates", type=float, nargs="+", default=[5e-5, 2e-4, 5e-4], help="learning rates"
    )
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    stored = open_features(str(arguments.run / "features"))
    results: list[dict[str, object]] = []
    for rate in arguments.rates:
        for name in arguments.methods:
            started = time.monotonic()
            options = {
                **METHODS[name],
                "num_steps": arguments.steps,
                "learning_rate": rate,
                "validate_every_steps": max(1, arguments.steps // 10),
                "checkpoint_every_steps": arguments.steps,
            }
            rows, example = train(arguments.run, stored, options)
            seconds = round(time.monotonic() - started, 1)
            results.append(
                {"name": name, "learning_rate": rate, "rows": rows, "example": example}
                | {"seconds": seconds}
            )
            print(f"{name}, {rate:g}: {_cells(rows[-1])}  ({seconds} s)  {example}", flush=True)
    arguments.output.mkdir(parents=True, exist_ok=True)
    made = f"{datetime.now(UTC):%Y-%m-%d}"
    facts = {"made": made, "torch": torch.__version__, "steps": arguments.steps, "results": results}
    (arguments.output / "stability.json").write_text(json.dumps(facts, indent=1) + "\n")
    text = (
        f"{arguments.steps} steps of 16 pictures, 5 candidates each; {made}.\n\n{table(results)}\n"
    )
    (arguments.output / "stability.md").write_text(text)
    plot(results, arguments.output / "stability.png")
    print(table(results))


if __name__ == "__main__":
    main()
