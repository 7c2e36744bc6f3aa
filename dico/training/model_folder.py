"""Training record in a model's folder: how it was trained, and its history."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dico.process.provenance import code_digest, code_version
from dico.storage import write_digests
from dico.storage.json_files import read_object
from dico.training.resilience.history import History

TRAINING_FILE = "training.json"


def describe_training(folder: Path, history: History, facts: Mapping[str, Any]) -> None:
    """Adds training.json and history.jsonl to a saved model, and its digests anew."""
    history.write(folder)
    full = {**facts, "code_version": code_version(), "code_sha256": code_digest()}
    (folder / TRAINING_FILE).write_text(
        json.dumps(full, indent=1, sort_keys=True) + "\n", encoding="utf-8"
    )
    write_digests(folder)


def method_of(captioner: str | Path) -> str:
    """How a captioner was fine-tuned, ``dico`` or ``scst``; ``dico`` where its folder does not say."""
    return str(_facts(captioner).get("config", {}).get("method", "dico"))


def is_as_published(captioner: str | Path) -> bool:
    """Whether a captioner is a published one that cross-entropy training left as it was."""
    facts = _facts(captioner)
    return bool(facts.get("published")) and facts["config"].get("num_steps") == 0


def starts_as_published(captioner: str | Path) -> bool:
    """Whether a captioner was fine-tuned from such a one."""
    return bool(_facts(captioner).get("starts_as_published", False))


def _facts(captioner: str | Path) -> dict[str, Any]:
    return read_object(Path(captioner) / TRAINING_FILE, "what training wrote", optional=True)
