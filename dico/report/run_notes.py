"""Notes that a run's steps leave in the store: what each did, or why it failed.

A pod that fails leaves nothing but its log. These notes outlive it, and the last step of a run
makes them into the run's summary. They are kept below ``<store>/runs/<run>/``; which run it is, the
environment says: a pod by its label, a local run by its folder's name.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dico.errors import DicoError
from dico.process.redaction import redact
from dico.process.run_name import RUN_VARIABLE, current_run
from dico.storage import open_store
from dico.storage.places import default_place

__all__ = ["RUN_VARIABLE", "current_run", "noted", "read_notes"]


@contextmanager
def noted(step: str, store: str) -> Iterator[dict[str, Any]]:
    """Notes how a step went; the block may add facts to the mapping that it is given.

    A note that cannot be written is said on stderr and changes nothing.

    Args:
        step: name of the step.
        store: folder or s3:// prefix; empty for the mounted work volume.
    """
    facts: dict[str, Any] = {}
    start = time.time()

    def note(status: str, reason: str = "") -> None:
        content = {"step": step, "status": status, "reason": reason, "facts": facts}
        _write(store, content | {"started": start, "seconds": round(time.time() - start, 1)})

    try:
        yield facts
    except BaseException as error:
        note("failed", redact(" ".join(f"{error or type(error).__name__}".split())))
        raise
    note("done")


def read_notes(store: str, run: str) -> list[dict[str, Any]]:
    """All notes of a run, in the order in which its steps began; empty for an unknown run."""
    opened = open_store(store)
    keys = [key for key in opened.list(f"runs/{run}") if key.endswith(".note.json")]
    notes = [json.loads(opened.read_bytes(key)) for key in keys]
    return sorted(notes, key=lambda note: (note["started"], note["step"]))


def _write(store: str, content: dict[str, Any]) -> None:
    place = default_place(store, "store")
    if not (current_run() and place):
        return
    key = f"runs/{current_run()}/{content['step']}.note.json"
    try:
        open_store(place).write_bytes(key, json.dumps(content, indent=1).encode())
    except (DicoError, OSError) as error:
        print(redact(f"note: {key} could not be written: {error}"), file=sys.stderr)
