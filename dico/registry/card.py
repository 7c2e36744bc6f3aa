"""The model card of a version: a head that machines read, and what it is, how good, and its limits.

Mitchell et al., Model Cards for Model Reporting, FAT* 2019. Every number comes from the evaluation
that the gate judged; nothing is written by hand.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from dico.evaluation.systems import label_of_system, labels_of
from dico.metrics.catalogue import summary_of
from dico.registry.card_head import card_head

_LIMITS = """## Use and limits

Made to caption images like those it was trained on. It was tuned to score well by the evaluator
named above, so that score is no independent judge of it: read CIDEr, repetition and bad endings
beside it. It may name things that are not in the image, and it repeats what its captions take for
granted about people. Not for decisions about persons, nor as the only description for someone who
cannot see the image."""
_LICENCES = """## Licences

The code is Apache-2.0. The weights derive from the images and captions of the dataset named
above, and from the base weights of the captioner, the evaluator and its vision tower, whose
licences stand there where their authors state them: whoever passes them on must be allowed to by
the licences of all. None of them is part of this folder's licence."""


def model_card(
    name: str,
    lineage: Mapping[str, Any],
    metrics: Mapping[str, Any],
    decision: Mapping[str, Any],
) -> str:
    """The card as text.

    Args:
        name: name of the model.
        lineage: names and values of what it was made from.
        metrics: the content of metrics.json, the candidate first.
        decision: the gate's decision: promote and reasons.
    """
    verdict = "passed the quality gate" if decision["promote"] else "refused by the quality gate"
    parts = [
        card_head(name, lineage, metrics),
        f"# {plain(name)}",
        "An image captioner: cross-entropy training, then Direct CLIP-based Optimization "
        "(Moratelli et al., BMVC 2024, arXiv 2408.14547).",
        f"**{verdict.capitalize()}**: {plain('; '.join(decision['reasons']))}.",
        f"## Scores\n\n{metrics['num_images']} test images; in brackets "
        f"{metrics['settings']['confidence']:.0%} intervals by bootstrap over them.\n\n"
        + _scores(metrics),
        "## Made from\n\n" + _table(["what", "value"], sorted(lineage.items())),
        _LIMITS,
        _LICENCES,
        "## Files\n\n`captioner/` weights, config, tokenizer, search; `evaluator/` vision tower with "
        "its preprocessing, and the weights that judged; `evaluation/` scores with intervals, and "
        "for each image; `report.html`; `lineage.json`; `decision.json`; `digests.json` the SHA-256 "
        "of each; `signature.json` where the version is signed.",
    ]
    return "\n\n".join(parts) + "\n"


def _scores(metrics: Mapping[str, Any]) -> str:
    systems = metrics["systems"]
    shown = summary_of({key for own in systems.values() for key in own})
    rows = [[m.label, *(_score(metrics, system, m.key) for system in systems)] for m in shown]
    labels = labels_of(metrics)
    return _table(["metric", *(label_of_system(name, labels) for name in systems)], rows)


def _score(metrics: Mapping[str, Any], system: str, key: str) -> str:
    value = metrics["systems"][system].get(key)
    if value is None:
        return ""
    bounds = metrics["intervals"].get(system, {}).get(key)
    return f"{value:.4f}" + (f" [{bounds[0]:.4f}, {bounds[1]:.4f}]" if bounds else "")


def _table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [list(heads), ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(plain(cell) for cell in line) + " |" for line in lines)


def plain(value: Any) -> str:
    """Text that stays in its cell and opens no tag."""
    text = " ".join(str(value).split())
    return text.replace("|", "\\|").replace("<", "&lt;").replace("`", "'")
