"""Contents of a version, and the identity by which two versions are the same model.

```
captioner/    weights, config, tokenizer, history
evaluator/    the tower that the captioner sees through, and the PAC weights that judged it
judge/        the independent evaluator that the gate listened to, where there was one
evaluation/   metrics with intervals, captions and scores per image
decision.json report.html lineage.json model_card.md
```
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dico.errors import DataError
from dico.storage import sha256_file

CAPTIONER, EVALUATOR, EVALUATION, JUDGE = "captioner", "evaluator", "evaluation", "judge"
DECISION, REPORT, LINEAGE = "decision.json", "report.html", "lineage.json"
MODEL_CARD = "model_card.md"
OTHER_FILES = ("policy.json", "preprocessor_config.json", "tokenizer.json", "architecture.json")
"""Further files that are part of the identity of a transformers or plug-in captioner."""


def stage_version(
    folder: Path,
    captioner: Path,
    evaluator: Path,
    evaluation: Path,
    decision: Path,
    report: Path,
    lineage: Mapping[str, Any],
    judge: Path | None = None,
) -> str:
    """Collects a version's parts in the empty ``folder``; returns the model's `identity`."""
    if judge is not None:
        shutil.copytree(judge, folder / JUDGE)
    for source, name in (
        (captioner, CAPTIONER),
        (evaluator, EVALUATOR),
        (evaluation, EVALUATION),
    ):
        shutil.copytree(source, folder / name)
    shutil.copyfile(decision, folder / DECISION)
    shutil.copyfile(report, folder / REPORT)
    (folder / LINEAGE).write_text(json.dumps(lineage, indent=1, sort_keys=True) + "\n")
    return identity(folder / CAPTIONER)


def identity(captioner: Path) -> str:
    """SHA-256 over the captioner's weights, config and tokenizer.

    Histories and timings do not count: the same training run twice gives the same model.
    """
    names = ["config.json", "model.safetensors"]
    names += [name for name in OTHER_FILES if (captioner / name).is_file()]
    names += sorted(
        path.relative_to(captioner).as_posix()
        for path in (captioner / "tokenizer").rglob("*")
        if path.is_file()
    )
    digest = hashlib.sha256()
    for name in names:
        if not (captioner / name).is_file():
            raise DataError(f"{captioner / name}: missing, so this is not a captioner's folder")
        digest.update(f"{name}\0{sha256_file(captioner / name)}\n".encode())
    return digest.hexdigest()
