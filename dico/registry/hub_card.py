"""The README of a version on the Hugging Face Hub: what its search and its tables read, then the card.

The head is written by huggingface_hub's own `ModelCardData` and `EvalResult`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dico.evaluation.evaluate import read_per_image
from dico.metrics.catalogue import summary_of
from dico.registry.version import DECISION, EVALUATION, LINEAGE, MODEL_CARD

SYSTEM = "dico"
NUM_PREVIEWED = 8
_TASK = "image-to-text"


def hub_card(folder: Path, repository: str, licence: str) -> str:
    """The text of README.md.

    Args:
        folder: a version's folder.
        repository: where it will be, such as acme/harbour.
        licence: identifier of the weights' licence, such as cc-by-4.0; empty for ``other``.
    """
    from huggingface_hub import EvalResult, ModelCardData

    metrics = json.loads((folder / EVALUATION / "metrics.json").read_text(encoding="utf-8"))
    lineage = json.loads((folder / LINEAGE).read_text(encoding="utf-8"))
    dataset = _dataset(lineage)
    results = [
        EvalResult(
            task_type=_TASK,
            dataset_type=dataset,
            dataset_name=dataset,
            dataset_split="test",
            metric_type=metric.key,
            metric_name=metric.label,
            metric_value=metrics["systems"][SYSTEM][metric.key],
        )
        for metric in summary_of(set(metrics["systems"][SYSTEM]))
    ]
    head = ModelCardData(
        license=licence or "other",
        library_name="dico-captioner",
        pipeline_tag=_TASK,
        tags=["image-captioning", "dico"],
        base_model=_base(lineage) or None,
        model_name=repository.rpartition("/")[2],
        eval_results=results,
    )
    card = (folder / MODEL_CARD).read_text(encoding="utf-8")
    parts = [f"---\n{head.to_yaml()}\n---\n", card, _preview(folder), _use(repository)]
    return "\n".join(parts)


def is_promoted(folder: Path) -> bool:
    """Whether the version passed the gate."""
    return bool(json.loads((folder / DECISION).read_text(encoding="utf-8"))["promote"])


def _dataset(lineage: Mapping[str, Any]) -> str:
    return Path(str(lineage.get("dataset", ""))).stem or "unnamed"


def _base(lineage: Mapping[str, Any]) -> str:
    """The Hub's name of the model that training started from, where it has one."""
    name = str(lineage.get("base_model", ""))
    return name if name.count("/") == 1 and "://" not in name else ""


def _preview(folder: Path) -> str:
    """Captions of the first test images, chosen without regard to their scores."""
    rows = [row for row in read_per_image(folder / EVALUATION) if row["system"] == SYSTEM]
    lines = ["## Captions", "", "| image | caption | a human caption |", "|---|---|---|"]
    for row in rows[:NUM_PREVIEWED]:
        references = row.get("references") or [""]
        cells = (row["image_id"], row["caption"], references[0])
        lines.append("| " + " | ".join(map(_plain, cells)) + " |")
    return "\n".join(lines) + "\n"


def _use(repository: str) -> str:
    place = repository.rpartition("/")[2]
    return (
        f"## Use\n\n```\nhf download {repository} --local-dir {place}\n"
        f"dico serve {place}/version\n```\n"
    )


def _plain(value: Any) -> str:
    """Text that stays in its cell and opens no tag."""
    text = " ".join(str(value).split())
    return text.replace("|", "\\|").replace("<", "&lt;").replace("`", "'")
