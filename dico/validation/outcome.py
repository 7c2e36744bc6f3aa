"""The last pass: which images stay, the manifest, what was set aside, and the numbers."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dico.data.manifest import SPLITS, Record, combine_digests, manifest_writer, record_digest
from dico.data.splits import split_of
from dico.storage import atomic_write
from dico.validation.comparisons import Comparisons
from dico.validation.config import ValidationConfig
from dico.validation.facts import NO_FACTS, Facts
from dico.validation.fidelity import Fidelity
from dico.validation.findings import KINDS
from dico.validation.scan import Scan


@dataclass(slots=True)
class Outcome:
    """What is known at the end of the passes."""

    num_rows: int
    """Images and broken rows."""
    counts: dict[str, npt.NDArray[np.int16]]
    """Finding's code to its count by row, for codes that were found."""
    num_words: npt.NDArray[np.int32]
    """Words of all captions by row."""
    num_captions: npt.NDArray[np.int32]
    """Usable captions by row."""
    sizes: npt.NDArray[np.int32]
    """Width and height by row, (N, 2)."""
    set_aside: npt.NDArray[np.bool_]
    """Which rows are not in the manifest."""
    splits: npt.NDArray[np.int8]
    """Index of each row's final split."""
    num_own_splits: int = 0
    """Rows whose split was made here, because the dataset has none."""
    fingerprint: str = ""
    """Fingerprint of the manifest."""
    examples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Finding's code to the first rows that have it."""
    words: Counter[str] = field(default_factory=Counter)
    """Most frequent words of captions."""
    num_with_facts: int = 0
    """Images of the manifest that have facts."""
    num_excluded: int = 0
    """Rows that are set aside because the dataset itself says so."""
    fidelity: Fidelity = field(default_factory=Fidelity)
    """What was read against what is kept."""


def write_manifest(
    scan: Scan,
    comparisons: Comparisons,
    config: ValidationConfig,
    manifest: Path,
    quarantine: Path,
    facts: Facts = NO_FACTS,
) -> Outcome:
    """Writes the manifest of what stays, with its facts, and the list of what was set aside."""
    outcome = _empty(scan.num_rows)
    identities = _group_identities(scan, comparisons)
    digests, row, num_read = bytearray(), 0, 0
    with (
        manifest_writer(manifest, facts.vocabulary) as writer,
        atomic_write(quarantine) as temporary,
        open(temporary, "w", encoding="utf-8") as aside,
    ):
        for batch in scan.batches():
            for content in batch:
                findings = [(f["code"], f["detail"], f["caption"]) for f in content["findings"]]
                findings += [(c, d, None) for c, d in comparisons.findings.get(row, [])]
                _count(outcome, row, content, findings, config)
                num_read += content["num_read"]
                for code, detail, caption in findings:
                    if KINDS[code].severity != "warning":
                        aside.write(_aside_line(content, code, detail, caption))
                record = _record(outcome, scan, row, content, findings, identities, config, facts)
                if not outcome.set_aside[row]:
                    writer.add(record)
                    outcome.num_with_facts += bool(record.facts)
                    digests += record_digest(record)
                row += 1
    outcome.fidelity.check(num_read)
    outcome.fingerprint = combine_digests([bytes(digests)])
    return outcome


def _empty(num_rows: int) -> Outcome:
    return Outcome(
        num_rows=num_rows,
        counts={},
        num_words=np.zeros(num_rows, np.int32),
        num_captions=np.zeros(num_rows, np.int32),
        sizes=np.zeros((num_rows, 2), np.int32),
        set_aside=np.zeros(num_rows, bool),
        splits=np.full(num_rows, -1, np.int8),
    )


def _count(
    outcome: Outcome,
    row: int,
    content: dict[str, Any],
    findings: list[tuple[str, str, str | None]],
    config: ValidationConfig,
) -> None:
    captions = content["captions"]
    words = [word for caption in captions for word in caption.lower().split()]
    outcome.num_words[row], outcome.num_captions[row] = len(words), len(captions)
    outcome.sizes[row] = content["width_px"], content["height_px"]
    if row % max(1, outcome.num_rows // 20_000) == 0:
        outcome.words.update(word for word in words if word.isalnum())
    reason = _reason_aside(findings)
    outcome.set_aside[row] = bool(reason)
    outcome.num_excluded += bool(reason) and KINDS[reason].severity == "excluded"
    outcome.fidelity.add(content, reason)
    for code, detail, caption in findings:
        counts = outcome.counts.setdefault(code, np.zeros(outcome.num_rows, np.int16))
        counts[row] = min(counts[row] + 1, np.iinfo(np.int16).max)
        examples = outcome.examples.setdefault(code, [])
        seen = any(e["row"] == row and e["caption"] == caption for e in examples)
        if len(examples) < config.max_examples and not seen:
            examples.append({**_short(content), "row": row, "detail": detail, "caption": caption})


def _reason_aside(findings: list[tuple[str, str, str | None]]) -> str:
    """The first finding that keeps an image out of the manifest; errors before exclusions."""
    codes = [code for code, _, _ in findings if KINDS[code].subject == "image"]
    for severities in (("fatal", "error"), ("excluded",)):
        for code in codes:
            if KINDS[code].severity in severities:
                return code
    return ""


def _record(
    outcome: Outcome,
    scan: Scan,
    row: int,
    content: dict[str, Any],
    findings: list[tuple[str, str, str | None]],
    identities: dict[int, str],
    config: ValidationConfig,
    facts: Facts,
) -> Record:
    told = scan.splits[row]
    split = SPLITS[told] if told >= 0 else ""
    if not split:
        identity = identities.get(row) or content["sha256"] or content["uri"]
        split = split_of(identity, config.validation_share, config.test_share)
        outcome.num_own_splits += not outcome.set_aside[row]
    outcome.splits[row] = SPLITS.index(split)
    flags = sorted({code for code, _, _ in findings if KINDS[code].severity == "warning"})
    return Record(
        image_id=content["image_id"],
        uri=content["uri"],
        sha256=content["sha256"],
        num_bytes=content["num_bytes"],
        width_px=content["width_px"],
        height_px=content["height_px"],
        captions=tuple(content["captions"]),
        split=split,
        flags=tuple(flags),
        positive_uris=tuple(content["positive_uris"]),
        positive_captions=tuple(content["positive_captions"]),
        facts=facts.lines.get(content["image_id"], ""),
    )


def _group_identities(scan: Scan, comparisons: Comparisons) -> dict[int, str]:
    """For rows of a group of like images: the smallest SHA-256 in the group."""
    smallest: dict[int, str] = {}
    groups, row = comparisons.groups, 0
    if not groups:
        return {}
    for batch in scan.batches(["sha256", "uri"]):
        for content in batch:
            if row in groups:
                identity = content["sha256"] or content["uri"]
                root = groups[row]
                smallest[root] = min(smallest.get(root, identity), identity)
            row += 1
    return {row: smallest[root] for row, root in groups.items()}


def _aside_line(content: dict[str, Any], code: str, detail: str, caption: str | None) -> str:
    kind = KINDS[code]
    line = {
        "subject": kind.subject,
        "code": code,
        "image_id": content["image_id"],
        "uri": content["uri"],
        "where": content["where"],
        "detail": detail,
        "advice": kind.advice,
    }
    if caption is not None:
        line["caption"] = caption
    return json.dumps(line, ensure_ascii=False) + "\n"


def _short(content: dict[str, Any]) -> dict[str, Any]:
    return {
        "image_id": content["image_id"],
        "uri": content["uri"],
        "where": content["where"],
        "split": content["split"],
        "captions": content["captions"][:2],
    }
