"""What every trained model's folder also holds: how it was trained, and its history."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dico.process.provenance import code_digest, code_version
from dico.storage import write_digests
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
    path = Path(captioner) / TRAINING_FILE
    facts = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return str(facts.get("config", {}).get("method", "dico"))
