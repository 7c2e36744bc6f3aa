"""Step: registers the candidate as an immutable version; the champion moves only by decision."""

import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dico.errors import UsageError
from dico.evaluation.evaluate import Evaluation
from dico.models.judge import has_judge
from dico.models.sources import read_sources
from dico.process.provenance import code_digest, code_version
from dico.registry import (
    CHAMPION,
    MODEL_CARD,
    Registry,
    Version,
    open_registry,
    stage_version,
)
from dico.registry.card import model_card
from dico.storage import atomic_write, sha256_file
from dico.weights.origin import origins

IMAGE_VARIABLE = "DICO_IMAGE"
"""Environment variable with the container image, by digest, that the step runs in."""


class Outputs(NamedTuple):
    """The version's number, and "true" where it became the champion."""

    version: str
    promoted: str


def register_model(
    captioner: str,
    evaluator: str,
    evaluation: str,
    decision: str,
    report: str,
    registry: str,
    model_name: str,
    lineage: str,
    output_version: str,
    judge: str = "",
) -> Outputs:
    """Publishes everything that belongs to the model; the same model again keeps its number.

    Args:
        captioner: folder of the captioner.
        evaluator: folder of the evaluator, whose tower the captioner sees through.
        evaluation: folder written by evaluate_captions.
        decision: JSON file written by compare_models.
        report: the run's report, HTML.
        registry: folder or s3:// prefix of the registry.
        model_name: name to register under.
        lineage: names and values of what the model was made from, JSON; ``champion``, where it is
            there, is the number of the version that the gate compared with, or empty for none.
        output_version: JSON file to write: name, number, promoted.
        judge: folder of the independent evaluator; empty, or one that says so, where there is none.
    """
    if not registry:
        raise UsageError("registry: empty; give a folder or s3://bucket/prefix")
    opened = open_registry(registry)
    models = {"captioner": captioner, "evaluator": evaluator}
    if has_judge(judge):
        models["judge"] = judge
    verdict = json.loads(Path(decision).read_text(encoding="utf-8"))
    facts = {
        **json.loads(lineage),
        "code_version": code_version(),
        "code_sha256": code_digest(),
        "image": os.environ.get(IMAGE_VARIABLE, ""),
        **origins(Path(captioner), Path(evaluator)),
        **_weights({name: Path(place) for name, place in models.items()}),
        **_sources({name: Path(place) for name, place in models.items()}),
    }
    with tempfile.TemporaryDirectory(prefix="version-") as working:
        folder = Path(working) / "version"
        folder.mkdir()
        identity = stage_version(
            folder,
            Path(captioner),
            Path(evaluator),
            Path(evaluation),
            Path(decision),
            Path(report),
            lineage=facts,
            judge=Path(judge) if has_judge(judge) else None,
        )
        scores = Evaluation.load(evaluation)
        card = model_card(model_name, facts, scores.to_dict(), verdict)
        (folder / MODEL_CARD).write_text(card, encoding="utf-8")
        metadata = {
            **facts,
            "metrics": scores.systems["dico"],
            "intervals": scores.intervals.get("dico", {}),
            "decision": verdict,
        }
        version = opened.register(model_name, folder, metadata, identity)
    promoted = bool(verdict["promote"]) and _still_judged(opened, version, facts)
    current = opened.champion(model_name)
    if promoted and (current is None or current.number != version.number):
        opened.set_alias(model_name, CHAMPION, version.number, "; ".join(verdict["reasons"]))
    summary = {"model": model_name, "version": version.number, "promoted": promoted}
    Path(output_version).parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(output_version) as temporary:
        temporary.write_text(json.dumps(summary) + "\n", encoding="utf-8")
    return Outputs(str(version.number), str(promoted).lower())


def _still_judged(registry: Registry, version: Version, facts: Mapping[str, Any]) -> bool:
    """Whether the champion is the one that the gate compared with, where the lineage names it.

    Another run may have put a better one there meanwhile: then the version is registered, and
    judged again by the next run.
    """
    current = registry.champion(version.name)
    if "champion" not in facts or (current and current.number == version.number):
        return True
    number = str(current.number) if current else ""
    if number == str(facts["champion"]):
        return True
    print(
        f"not promoted: the champion is version {number or 'none'} now, and the gate compared with "
        f"version {facts['champion'] or 'none'}",
        file=sys.stderr,
    )
    return False


def _weights(folders: Mapping[str, Path]) -> dict[str, str]:
    """SHA-256 of every file of weights."""
    return {
        f"{name}_{path.stem}_sha256": sha256_file(path)
        for name, folder in folders.items()
        for path in sorted(folder.glob("*.safetensors"))
    }


def _sources(folders: Mapping[str, Path]) -> dict[str, str]:
    """Published weights that evaluators were made of: licence, and what they are known to have seen."""
    return {
        f"{name}_tower_{number}": f"{source['package']}, {source['licence']}, trained on "
        f"{source['trained_on']}; SHA-256 {source['sha256']}"
        for name, folder in folders.items()
        for number, source in enumerate(read_sources(folder), start=1)
    }
