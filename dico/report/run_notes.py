"""Notes that a run's steps leave in the store: what each did, or why it failed.

A pod that fails leaves nothing but its log. These notes outlive it, and the last step of a run
makes them into the run's summary. Pages that a failed step would lose are kept beside them, below
``<store>/runs/<run>/``; which run it is, the environment says: a pod by its label, a local run by
its folder's name.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dico.errors import DicoError
from dico.process.redaction import redact
from dico.process.run_name import RUN_VARIABLE, current_run
from dico.storage import open_store
from dico.storage.places import default_place

__all__ = ["RUN_VARIABLE", "current_run", "keep_page", "read_note", "read_notes", "record_note"]

VALIDATION_PAGE = "validation.html"
"""Report on a dataset that was refused."""


@contextmanager
def record_note(step: str, store: str, number: int = 1) -> Iterator[dict[str, Any]]:
    """Notes how a step went; the block may add facts to the mapping that it is given.

    A note that cannot be written is said on stderr and changes nothing.

    Args:
        step: name of the step.
        store: folder or s3:// prefix; empty for the mounted work volume.
        number: number of this try.
    """
    facts: dict[str, Any] = {}
    start = time.time()

    def note(status: str, reason: str = "", exit_code: int = 0) -> None:
        content = {"step": step, "status": status, "reason": reason, "facts": facts}
        times = {"started": start, "seconds": round(time.time() - start, 1), "tries": number}
        _write(store, {**content, **times, "exit_code": exit_code})

    try:
        yield facts
    except BaseException as error:
        reason = redact(" ".join(f"{error or type(error).__name__}".split()))
        note("failed", reason, getattr(error, "exit_code", DicoError.exit_code))
        raise
    note("done")


def read_notes(store: str, run: str) -> list[dict[str, Any]]:
    """All notes of a run, in the order in which its steps began; empty for an unknown run."""
    opened = open_store(store)
    keys = [key for key in opened.list(f"runs/{run}") if key.endswith(".note.json")]
    notes = [json.loads(opened.read_bytes(key)) for key in keys]
    return sorted(notes, key=lambda note: (note["started"], note["step"]))


def read_note(step: str, store: str) -> dict[str, Any] | None:
    """The note that an earlier try of this step left; none where there is none.

    Raises:
        DicoError: the store cannot be read.
    """
    place, key = default_place(store, "store"), _key(step)
    if not (current_run() and place):
        return None
    opened = open_store(place)
    return json.loads(opened.read_bytes(key)) if opened.exists(key) else None


def keep_page(store: str, name: str, page: Path) -> str:
    """Keeps a page beside this run's notes; returns where, or nothing where it could not be kept."""
    place = default_place(store, "store")
    if not (current_run() and place):
        return ""
    try:
        opened = open_store(place)
        opened.upload(page, f"runs/{current_run()}/{name}")
    except (DicoError, OSError) as error:
        print(redact(f"note: {name} could not be kept: {error}"), file=sys.stderr)
        return ""
    return f"{opened.uri}/runs/{current_run()}/{name}"


def _write(store: str, content: dict[str, Any]) -> None:
    place = default_place(store, "store")
    if not (current_run() and place):
        return
    key = _key(content["step"])
    try:
        open_store(place).write_bytes(key, json.dumps(content, indent=1).encode())
    except (DicoError, OSError) as error:
        print(redact(f"note: {key} could not be written: {error}"), file=sys.stderr)


def _key(step: str) -> str:
    return f"runs/{current_run()}/{step}.note.json"
