"""The README of a version on the Hugging Face Hub: its card under the repository's own head.

Captions of test images and the lines that fetch and serve it come last.
"""

import json
from pathlib import Path

from dico.evaluation.evaluate import read_per_image
from dico.evaluation.systems import CANDIDATE
from dico.registry.card import plain
from dico.registry.card_head import card_head
from dico.registry.version import DECISION, EVALUATION, LINEAGE, MODEL_CARD

NUM_PREVIEWED = 8


def hub_card(folder: Path, repository: str, licence: str) -> str:
    """The text of README.md.

    Args:
        folder: a version's folder.
        repository: where it will be, such as acme/harbour.
        licence: identifier of the weights' licence, such as cc-by-4.0; empty for ``other``.
    """
    from huggingface_hub import ModelCard

    metrics = json.loads((folder / EVALUATION / "metrics.json").read_text(encoding="utf-8"))
    lineage = json.loads((folder / LINEAGE).read_text(encoding="utf-8"))
    head = card_head(repository.rpartition("/")[2], lineage, metrics, licence)
    own = ModelCard((folder / MODEL_CARD).read_text(encoding="utf-8"), ignore_metadata_errors=True)
    return "\n".join([head, own.text, _preview(folder), _use(repository)])


def is_promoted(folder: Path) -> bool:
    """Whether the version passed the gate."""
    return bool(json.loads((folder / DECISION).read_text(encoding="utf-8"))["promote"])


def _preview(folder: Path) -> str:
    """Captions of the first test images, chosen without regard to their scores."""
    rows = [row for row in read_per_image(folder / EVALUATION) if row["system"] == CANDIDATE]
    lines = ["## Captions", "", "| image | caption | a human caption |", "|---|---|---|"]
    for row in rows[:NUM_PREVIEWED]:
        references = row.get("references") or [""]
        cells = (row["image_id"], row["caption"], references[0])
        lines.append("| " + " | ".join(map(plain, cells)) + " |")
    return "\n".join(lines) + "\n"


def _use(repository: str) -> str:
    place = repository.rpartition("/")[2]
    return (
        f"## Use\n\n```\nhf download {repository} --local-dir {place}\n"
        f"dico serve {place}/version\n```\n"
    )
