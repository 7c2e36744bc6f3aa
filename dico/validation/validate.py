"""Validation: our checks compute columns, Great Expectations judges them, a page shows all.

Exact and near duplicates, leaks between splits, decoding and captions are computed here, because
Great Expectations is tabular only.
"""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dico.configuration.schema import to_dict
from dico.data.formats import Columns, Dataset, detect, read_entries
from dico.data.formats.reading import Reading
from dico.data.manifest import SPLITS
from dico.errors import DataError
from dico.storage import atomic_write
from dico.validation.comparisons import Comparisons, compare
from dico.validation.config import ValidationConfig
from dico.validation.drift import BOUNDS, measure_drift
from dico.validation.expectations import (
    Thresholds,
    dataset_expectations,
    image_expectations,
    judge,
    met_by_all,
    read_thresholds,
)
from dico.validation.facts import Facts, find_facts
from dico.validation.findings import KINDS
from dico.validation.known import match_known_dataset
from dico.validation.outcome import Outcome, write_manifest
from dico.validation.scan import Scan, scan
from dico.validation.tables import dataset_numbers, frame_of_numbers, image_frame


@dataclass(frozen=True, slots=True)
class ValidationResult:
    """What validation says about a dataset."""

    ok: bool
    """Whether the dataset may be trained on."""
    fingerprint: str
    """Fingerprint of the manifest; see `dico.data.manifest.fingerprint`."""
    num_images: int
    """Images in the manifest."""
    reasons: list[str]
    """Why the dataset is refused, one line each; empty when it is ok."""
    fidelity: dict[str, Any]
    """What was read against what is kept; see `dico.validation.fidelity`."""
    warnings: dict[str, int]
    """Findings that stay as flags, by their code."""
    num_split_by_folder: int = 0
    """Images whose split is the folder in which they lie, where the dataset's rows say none."""


def validate(
    dataset: str,
    images: str,
    config: ValidationConfig,
    manifest_path: str | Path,
    report_dir: str | Path,
) -> ValidationResult:
    """Reads a dataset, checks it, writes its manifest and its report.

    The manifest holds the images that may be used, also when the dataset is refused. The report
    folder gets ``report.html``, ``summary.json`` and ``quarantine.jsonl``.

    Args:
        dataset: file, folder, s3:// prefix, or several with commas.
        images: folder or prefix of the images; empty means beside the dataset's file.
        config: settings.
        manifest_path: Parquet file to write.
        report_dir: folder for the report.

    Raises:
        DataError: the dataset is missing, empty, or of no known format.
        UsageError: its format is ambiguous.
        ConfigError: the thresholds file or an own expectation is wrong.
    """
    thresholds = read_thresholds(config.thresholds)
    columns = Columns.named(config.image_column, config.caption_column, config.where)
    source = detect(dataset, images, config.format, columns)
    facts = find_facts(source, config.facts)
    report_dir = Path(report_dir)
    report_dir.mkdir(parents=True, exist_ok=True)
    cache = Path(config.cache or report_dir) / "images.sqlite"
    decode = config.image_check == "decode"
    readings: list[Reading] = []
    with tempfile.TemporaryDirectory(prefix="dico-validate-") as work:
        entries = read_entries(source, decode, pixels=decode, readings=readings)
        scanned = scan(entries, Path(work), cache, config)
        if not scanned.num_rows:
            raise DataError(f"{dataset}: the dataset has no images; check the file and its format")
        num_by_folder = scanned.num_split_by_folder()
        compared = compare(scanned, config)
        scanned.release()
        quarantine = report_dir / "quarantine.jsonl"
        outcome = write_manifest(scanned, compared, config, Path(manifest_path), quarantine, facts)
        for reading in readings:
            outcome.fidelity.unread.update(reading.not_read())
        summary = _summarise(
            source, facts, scanned, outcome, config, thresholds, Path(manifest_path)
        ) | {"splits_by_folder": num_by_folder}
        _write_report(summary, scanned, compared, outcome, config, report_dir)
    return ValidationResult(
        ok=summary["ok"],
        fingerprint=outcome.fingerprint,
        num_images=int(summary["numbers"]["num_usable"]),
        reasons=summary["reasons"],
        fidelity=summary["fidelity"],
        num_split_by_folder=num_by_folder,
        warnings={
            code: found["num_findings"]
            for code, found in summary["findings"].items()
            if found["severity"] == "warning"
        },
    )


def _summarise(
    source: Dataset,
    facts: Facts,
    scanned: Scan,
    outcome: Outcome,
    config: ValidationConfig,
    thresholds: Thresholds,
    manifest: Path,
) -> dict[str, Any]:
    numbers = dataset_numbers(outcome)
    known, bounds = match_known_dataset(source, outcome.num_rows)
    if config.baseline:
        numbers |= measure_drift(config.baseline, manifest)
        bounds = {**bounds, **BOUNDS}
    default = image_expectations(config, thresholds)
    suites = {
        "images": [one for one in default if one["kwargs"]["column"] in outcome.counts],
        "dataset": dataset_expectations(config, thresholds, bounds),
    }
    for own in thresholds.expectations:
        suites[own["table"]].append(dict(own))
    tables = {
        "images": image_frame(outcome, scanned, suites["images"]),
        "dataset": frame_of_numbers(numbers),
    }
    judgements = judge(tables, suites)
    never = [one for one in default if one["kwargs"]["column"] not in outcome.counts]
    judgements += [met_by_all(one, outcome.num_rows) for one in never]
    reasons = [one.reason for one in judgements if not one.met]
    return {
        "format": 1,
        "ok": not reasons,
        "reasons": reasons,
        "fingerprint": outcome.fingerprint,
        "dataset": {
            "known": known,
            "format": source.format,
            "files": [part.uri for part in source.parts],
            "roots": list(source.roots),
            "facts": {
                "file": facts.uri,
                "num_described": len(facts.lines),
                "num_used": outcome.num_with_facts,
            },
        },
        "numbers": numbers,
        "fidelity": outcome.fidelity.to_dict(),
        "findings": {
            code: {
                "severity": KINDS[code].severity,
                "num_images": int(np.count_nonzero(counts)),
                "num_findings": int(counts.sum(dtype=np.int64)),
                "title": KINDS[code].title,
                "advice": KINDS[code].advice,
                "examples": outcome.examples.get(code, []),
            }
            for code, counts in sorted(outcome.counts.items())
        },
        "judgements": [
            {"table": j.table, "name": j.name, "type": j.expectation, "kwargs": j.kwargs,
             "met": j.met, "observed": j.observed}
            for j in judgements
        ],
        "config": to_dict(config),
        "splits_made_here": outcome.num_own_splits,
        "split_counts": {
            name: int(np.count_nonzero((outcome.splits == i) & ~outcome.set_aside))
            for i, name in enumerate(SPLITS)
        },
    }  # fmt: skip


def _write_report(
    summary: dict[str, Any],
    scanned: Scan,
    compared: Comparisons,
    outcome: Outcome,
    config: ValidationConfig,
    report_dir: Path,
) -> None:
    from dico.validation.report import render

    html = render(summary, scanned, compared, outcome, config)
    with atomic_write(report_dir / "summary.json") as temporary:
        temporary.write_text(json.dumps(summary, indent=1, ensure_ascii=False), encoding="utf-8")
    with atomic_write(report_dir / "report.html") as temporary:
        temporary.write_text(html, encoding="utf-8")
