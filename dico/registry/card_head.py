"""The head of a model card: what the Hugging Face Hub and other readers of cards search by.

Written by huggingface_hub's own `ModelCardData` and `EvalResult`, for the registry's card and for the
Hub's alike.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dico.evaluation.systems import CANDIDATE
from dico.metrics.catalogue import summary_of

_TASK = "image-to-text"


def card_head(
    name: str, lineage: Mapping[str, Any], metrics: Mapping[str, Any], licence: str = ""
) -> str:
    """The head, YAML between its two lines of dashes.

    Args:
        name: name of the model.
        lineage: names and values of what it was made from.
        metrics: the content of metrics.json; the candidate's scores become evaluation results.
        licence: identifier of the weights' licence, such as cc-by-4.0; empty for ``other``.
    """
    from huggingface_hub import EvalResult, ModelCardData

    dataset = Path(str(lineage.get("dataset", ""))).stem or "unnamed"
    scores = metrics["systems"][CANDIDATE]
    results = [
        EvalResult(
            task_type=_TASK,
            dataset_type=dataset,
            dataset_name=dataset,
            dataset_split="test",
            metric_type=metric.key,
            metric_name=metric.label,
            metric_value=scores[metric.key],
        )
        for metric in summary_of(set(scores))
    ]
    head = ModelCardData(
        license=licence or "other",
        library_name="dico-captioner",
        pipeline_tag=_TASK,
        tags=["image-captioning", "dico"],
        base_model=_base(lineage) or None,
        model_name=name,
        eval_results=results,
    )
    return f"---\n{head.to_yaml()}\n---\n"


def _base(lineage: Mapping[str, Any]) -> str:
    """The Hub's name of the model that training started from, where it has one."""
    name = str(lineage.get("base_model", ""))
    return name if name.count("/") == 1 and "://" not in name else ""
