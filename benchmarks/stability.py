"""DiCO beside SCST: which training stays whole when it is pushed?

From one pre-trained captioner, with one evaluator as the reward, on the same images in the same
order: DiCO, DiCO anchored on the winner's own log-probability, and SCST (mean baseline over beam
candidates, mean and greedy baseline over samples) at several learning rates. Reports PAC-S, CIDEr,
how true captions are where the dataset brings facts, repeated bigrams, bad endings and length on the
test split over the steps, as they are, also where SCST does not fail.

    python benchmarks/stability.py runs/SEED1 runs/SEED2 runs/SEED3

reads finished runs of ``dico run`` that differ by their seed alone (with ``toy.seed=1``, so that the
dataset is one) and writes benchmarks/results/stability.{json,md,png}: the mean over the trainings,
and from the lowest to the highest of them. Where only fine-tuning is to differ, one run does:

    python benchmarks/stability.py runs/SEED1 --seeds 1 2 3 --steps 60 --images 200 --rates 2e-4

trains each method from its captioner, on its dataset, with its evaluator, by three seeds.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from dico.data.manifest import Record, read_manifest, read_scenes
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
    "DiCO, anchored": {"method": "dico", "anchor": 1.0},
    "SCST, beams, mean": {"method": "scst", "candidates": "beam", "baseline": "mean"},
    "SCST, samples, mean": {"method": "scst", "candidates": "sample", "baseline": "mean"},
    "SCST, samples, greedy": {"method": "scst", "candidates": "sample", "baseline": "greedy"},
}
SHOWN = {
    "pac_score": "PAC-S",
    "cider": "CIDEr",
    "facts_precision": "true statements",
    "facts_recall": "facts named",
    "wholly_true": "wholly true",
    "rep_2": "repeated bigrams a caption",
    "bad_endings": "share of bad endings",
    "num_words": "words a caption",
}
Row = dict[str, float]


def train(
    run: Path,
    stored: FeatureStore,
    options: dict[str, object],
    decoding: DecodingConfig,
    seed: int,
    num_images: int | None = None,
) -> tuple[list[Row], str]:
    """Validation scores on the test split over the steps of one training, and a last caption."""
    captioner = Captioner.load(run / "models" / "xe")
    judge = Evaluator.load(run / "models" / "evaluator", "pac")
    test = read_manifest(run / "manifest.parquet", "test")[:num_images]
    config = FinetuneConfig(**options)  # type: ignore[arg-type]
    data = CaptioningData(
        read_manifest(run / "manifest.parquet", "train"), stored, torch.device("cpu")
    )
    scenes = read_scenes(run / "manifest.parquet", "test")
    validator = Validator(test, stored, decoding, judge, *scenes)
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(open_store(folder), "stability")
        state = finetune(
            captioner,
            data,
            ClipReward(judge),
            validator,
            config,
            decoding,
            seed,
            checkpoints,
            World(),
            keep_best=False,
        )
    rows = [
        {"step": row["step"]}
        | {key: row[f"validation_{key}"] for key in SHOWN if f"validation_{key}" in row}
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
    runs: list[list[Row]] = [rows for result in results for rows in result["runs"]]  # type: ignore[attr-defined]
    shown = {key: name for key, name in SHOWN.items() if key in runs[0][0]}
    lines = [
        f"| training | learning rate | {' | '.join(shown.values())} | the first test image |",
        "|---|---|" + "---:|" * len(shown) + "---|",
    ]
    starts = [rows[0] for rows in results[0]["runs"]]  # type: ignore[attr-defined]
    lines.append(f"| the start (XE) | | {_cells(starts, shown)} | |")
    for result in results:
        last = [rows[-1] for rows in result["runs"]]  # type: ignore[attr-defined]
        rate = f"{result['learning_rate']:g}"
        cells = _cells(last, shown)
        lines.append(f"| {result['name']} | {rate} | {cells} | {result['example']} |")
    return "\n".join(lines)


def _cells(rows: list[Row], shown: Iterable[str]) -> str:
    """The mean over runs, and their range where there are several."""
    return " | ".join(_cell([row[key] for row in rows]) for key in shown)


def _cell(values: list[float]) -> str:
    middle = f"{statistics.mean(values):.3f}"
    return middle if len(values) == 1 else f"{middle} [{min(values):.3f}, {max(values):.3f}]"


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
        squeeze=False,
    )
    for column, rate in enumerate(rates):
        axes[0][column].set_title(f"learning rate {rate:g}")
        for row, (key, name) in enumerate(SHOWN.items()):
            for result in results:
                if result["learning_rate"] == rate:
                    runs: list[list[Row]] = result["runs"]  # type: ignore[assignment]
                    steps = [point["step"] for point in runs[0]]
                    values = np.array([[p.get(key, np.nan) for p in points] for points in runs])
                    (line,) = axes[row][column].plot(
                        steps, values.mean(axis=0), label=result["name"]
                    )
                    low, high = values.min(axis=0), values.max(axis=0)
                    axes[row][column].fill_between(
                        steps, low, high, alpha=0.2, color=line.get_color(), linewidth=0
                    )
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
    parser.add_argument("runs", type=Path, nargs="+", help="folders of finished runs")
    parser.add_argument(
        "--steps", type=int, default=300, help="optimiser steps of each (default 300)"
    )
    parser.add_argument(
        "--rates", type=float, nargs="+", default=[5e-5, 2e-4, 5e-4], help="learning rates"
    )
    parser.add_argument("--seeds", type=int, nargs="+", help="of fine-tuning, for each run")
    parser.add_argument("--images", type=int, help="test images that are scored (all of them)")
    parser.add_argument("--validations", type=int, default=10, help="scored points (default 10)")
    parser.add_argument("--length-penalty", type=float, default=1.0, help="of the beam search")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    stores = [open_features(str(run / "features")) for run in arguments.runs]
    trainings = [
        (run, stored, seed)
        for number, (run, stored) in enumerate(zip(arguments.runs, stores, strict=True), 1)
        for seed in arguments.seeds or [number]
    ]
    decoding = DecodingConfig(length_penalty=arguments.length_penalty)
    results: list[dict[str, object]] = []
    for rate in arguments.rates:
        for name in arguments.methods:
            started = time.monotonic()
            options = {
                **METHODS[name],
                "num_steps": arguments.steps,
                "learning_rate": rate,
                "validate_every_steps": max(1, arguments.steps // arguments.validations),
                "checkpoint_every_steps": arguments.steps,
            }
            made = [
                train(run, stored, options, decoding, seed, arguments.images)
                for run, stored, seed in trainings
            ]
            seconds = round(time.monotonic() - started, 1)
            runs, example = [rows for rows, _ in made], made[0][1]
            results.append(
                {"name": name, "learning_rate": rate, "runs": runs, "example": example}
                | {"seconds": seconds}
            )
            shown = [key for key in SHOWN if key in runs[0][0]]
            cells = _cells([rows[-1] for rows in runs], shown)
            print(f"{name}, {rate:g}: {cells}  ({seconds} s)  {example}", flush=True)
            write(results, arguments.steps, arguments.output)
    print(table(results))


def write(results: list[dict[str, object]], steps: int, folder: Path) -> None:
    """stability.json, .md and .png of what is trained so far."""
    folder.mkdir(parents=True, exist_ok=True)
    date = f"{datetime.now(UTC):%Y-%m-%d}"
    facts = {"made": date, "torch": torch.__version__, "steps": steps, "results": results}
    (folder / "stability.json").write_text(json.dumps(facts, indent=1) + "\n")
    num_trainings = len(results[0]["runs"])  # type: ignore[arg-type]
    text = (
        f"{steps} steps of 16 images, 5 candidates each; {num_trainings} seeds, the mean "
        f"[lowest, highest]; {date}.\n\n{table(results)}\n"
    )
    (folder / "stability.md").write_text(text)
    plot(results, folder / "stability.png")


if __name__ == "__main__":
    main()
