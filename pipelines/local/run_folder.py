"""A run's folder: everything that the run made, where a person would look for it.

Files are hard links to the outputs that the cache keeps, so a run folder takes no space of its own
and survives the removal of the cache.
"""

import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dico.errors import UsageError
from dico.storage import atomic_write
from dico_pipelines.local.subprocesses import Step

# Step and output, and the place of that output in the run's folder.
PLACES = {
    ("validate_dataset", "manifest"): "manifest.parquet",
    ("validate_dataset", "report"): "validation.html",
    ("validate_dataset", "summary"): "validation.json",
    ("train_evaluator", "evaluator"): "models/evaluator",
    ("train_judge", "judge"): "models/judge",
    ("audit_evaluator", "audit"): "audit",
    ("pretrain_captioner", "captioner"): "models/xe",
    ("finetune_captioner", "finetuned_captioner"): "models/dico",
    ("generate_captions_xe", "captions"): "captions/xe.jsonl",
    ("caption_with_champion", "captions"): "captions/champion.jsonl",
    ("extract_features", "features"): "features",
    ("evaluate_captions", "evaluation"): "evaluation",
    ("evaluate_captions", "metrics"): "metrics.json",
    ("evaluate_captions", "captions"): "captions/dico.jsonl",
    ("register_model", "decision"): "decision.json",
    ("register_model", "report"): "report.html",
    ("register_model", "registered"): "registered.json",
    ("fetch_version", "captioner"): "start/captioner",
    ("fetch_version", "evaluator"): "start/evaluator",
    ("fetch_version", "judge"): "start/judge",
    ("caption_batch", "captions"): "captions.jsonl",
    ("summarise_run", "summary"): "summary.json",
    ("summarise_run", "page"): "summary.html",
    ("summarise_run", "validation"): "validation.html",
}


class RunFolder:
    """The folder of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.logs = path / "logs"

    @classmethod
    def create(cls, runs: Path, name: str) -> "RunFolder":
        """Makes ``runs/name``, which must not be there yet.

        Raises:
            UsageError: it is there.
        """
        folder = cls(runs / name)
        if folder.path.exists():
            raise UsageError(f"{folder.path}: exists already; choose another --name")
        folder.logs.mkdir(parents=True)
        return folder

    def keep(self, step: Step) -> None:
        """Puts the outputs of ``step`` in their places."""
        for output, artifact in step.outputs.items():
            source = Path(str(getattr(artifact, "uri", "")))
            if not getattr(artifact, "uri", "") or not source.exists():
                continue
            target = self.path / PLACES.get((step.name, output), f"outputs/{step.name}/{output}")
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, copy_function=_link)
            else:
                _link(source, target)

    def write_summary(self, summary: dict[str, Any], steps: list[Step]) -> None:
        """Writes run.json: parameters, steps with times and memory, how it ended."""
        rows = [
            {
                "step": step.name,
                "status": step.status,
                "seconds": round(step.seconds, 3),
                "peak_memory_mb": round(step.peak_memory_mb, 1),
                "outputs": {
                    name: str(getattr(value, "uri", value)) for name, value in step.outputs.items()
                },
            }
            for step in steps
        ]
        with atomic_write(self.path / "run.json") as path:
            path.write_text(json.dumps({**summary, "steps": rows}, indent=1) + "\n")


def new_name(pipeline: str) -> str:
    """A name for a run that starts now, such as ``dico-20261123-0930-05``."""
    return f"{pipeline}-{datetime.now(UTC):%Y%m%d-%H%M-%S}"


def _link(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
