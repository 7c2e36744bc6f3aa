"""Step: audits the evaluator before a captioner is trained on its judgement."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

from dico.audit.audit import Audit, audit
from dico.audit.config import AuditConfig
from dico.audit.load import audit_items, judges_of, training_captions
from dico.audit.tracking import tell_audit
from dico.configuration.schema import from_json, to_dict
from dico.data.manifest import read_manifest
from dico.errors import DataError
from dico.features.pointer import open_features
from dico.models.judge import has_judge
from dico.report.audit_page import write_audit_page
from dico.storage.digests import folder_digest
from dico.tracking.trackers import tracked
from dico.training.malloc import keep_freed_memory

AUDIT_PAGE = "index.html"


class Outputs(NamedTuple):
    """The verdict: fit, weak or unfit."""

    verdict: str


def audit_evaluator(
    manifest: str,
    features: str,
    evaluator: str,
    second_evaluator: str,
    config: str,
    output_audit: str,
) -> Outputs:
    """Writes the audit and its page; ends the run where the evaluator is unfit.

    Raises:
        DataError: it is unfit, and the settings do not allow that.
    """
    settings = from_json(AuditConfig, config, "audit")
    keep_freed_memory()
    vocabulary, items = audit_items(manifest, settings.split)
    records = read_manifest(manifest, settings.split)
    uris = {record.sha256: record.uri for record in records}
    stored = open_features(features) if features else None
    second = second_evaluator if has_judge(second_evaluator) else ""
    judge, *others = judges_of(evaluator, settings.part, second, uris, stored)
    result = audit(judge, items, training_captions(manifest), settings, vocabulary, others)
    result = dataclasses.replace(result, evaluator=folder_digest(evaluator))
    folder = Path(output_audit)
    folder.mkdir(parents=True, exist_ok=True)
    result.save(folder)
    places = {record.image_id: record.uri for record in records}
    write_audit_page(result, folder / AUDIT_PAGE, places)
    with tracked("audit_evaluator", to_dict(settings)):
        tell_audit(result, places)
    print(summary(result))
    if result.verdict.word == "unfit" and not settings.allow_unfit:
        raise DataError(
            f"evaluator: unfit to train on: {result.verdict.reasons[0]}; train it longer or on more "
            "images, bring another one (evaluator.weights), or go on with audit.allow_unfit=true"
        )
    return Outputs(result.verdict.word)


def summary(result: Audit) -> str:
    """The verdict and its numbers, for a terminal."""
    lines = [f"{result.name}: {result.verdict.word}"]
    lines += [f"  {reason}" for reason in result.verdict.reasons]
    found = result.ranking
    lines.append(
        f"  finds the image first among {round(1 / found.chance)}: {found.recall_at_1}, "
        f"outranks {found.outranked}"
    )
    lines += [f"  {name}: {kind.accuracy}" for name, kind in result.kinds.items()]
    return "\n".join(lines)
