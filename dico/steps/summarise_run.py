"""Step: the run's summary, written whatever happened, from the notes that its steps left."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dico.errors import DicoError
from dico.pages.rendering import render
from dico.process.progress import format_seconds
from dico.process.provenance import code_version
from dico.report.run_notes import VALIDATION_PAGE, current_run, read_notes
from dico.storage import atomic_write, open_store
from dico.storage.places import default_place


def summarise_run(
    pipeline: str,
    state: str,
    store: str,
    output_summary: str,
    output_page: str,
    output_validation: str,
) -> None:
    """Writes the summary as JSON and as a page, and keeps the JSON in the store.

    It ends well also where the store cannot be reached: what is known is written.

    Args:
        pipeline: name of the pipeline.
        state: how the run ended, as Kubeflow says it, such as SUCCEEDED or FAILED.
        store: folder or s3:// prefix that holds the notes; empty for the mounted work volume.
        output_summary: JSON file to write.
        output_page: HTML file to write.
        output_validation: HTML file to write where a dataset was refused: the report on it.
    """
    place, run = default_place(store, "store"), current_run()
    try:
        notes = read_notes(place, run) if place and run else []
        trouble = "" if run else "the environment names no run, so no step left a note"
    except DicoError as error:
        notes, trouble = [], f"the notes cannot be read: {error}"
    failed = next((note for note in notes if note["status"] == "failed"), None)
    summary = {
        "format": 1,
        "pipeline": pipeline,
        "run": run,
        "state": state,
        "failed_step": failed["step"] if failed else "",
        "reason": failed["reason"] if failed else trouble,
        "facts": {k: v for note in notes for k, v in note["facts"].items()},
        "steps": notes,
        "code_version": code_version(),
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    text = json.dumps(summary, indent=1) + "\n"
    _write(Path(output_summary), text)
    _write(Path(output_page), _page(summary))
    _keep(place, run, text)
    _fetch_validation(place, run, Path(output_validation))
    print(f"{pipeline} {run}: {state}", *_lines(notes), sep="\n  ")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _keep(place: str, run: str, text: str) -> None:
    if not (place and run):
        return
    try:
        open_store(place).write_bytes(f"runs/{run}/summary.json", text.encode())
    except (DicoError, OSError) as error:
        print(f"the summary could not be kept in the store: {error}")


def _fetch_validation(place: str, run: str, output: Path) -> None:
    """Kubeflow keeps no output of the step that refused the dataset; this one's are kept."""
    if not (place and run):
        return
    try:
        store, key = open_store(place), f"runs/{run}/{VALIDATION_PAGE}"
        if store.exists(key):
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_bytes(store.read_bytes(key))
    except (DicoError, OSError) as error:
        print(f"the report on the dataset cannot be read: {error}")


def _lines(notes: Sequence[dict[str, Any]]) -> list[str]:
    return [
        f"{note['step']:<24}{note['status']:<8}{format_seconds(note['seconds']):>10}  "
        f"{note['reason'] or _facts(note)}"
        for note in notes
    ]


def _facts(note: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in note["facts"].items())


def _page(summary: dict[str, Any]) -> str:
    steps = [
        note | {"took": format_seconds(note["seconds"]), "told": note["reason"] or _facts(note)}
        for note in summary["steps"]
    ]
    return render("dico.report", "summary.html", **(summary | {"steps": steps}))
