"""The record of a training run: one JSON line per logged step, safe against repeated starts.

A line holds ``step``, ``seconds``, values by name, and where something happened that a reader must
know ``events``, a list of sentences.
"""

import json
import time
from pathlib import Path
from typing import Any

HISTORY_FILE = "history.jsonl"
Rows = list[dict[str, Any]]


class History:
    """Collects logged values and events."""

    def __init__(self, rows: Rows | None = None, seconds: float | None = None) -> None:
        self.rows = rows or []
        if seconds is None:
            seconds = self.rows[-1]["seconds"] if self.rows else 0.0
        self._start = time.monotonic() - seconds

    def seconds(self) -> float:
        """Time spent training so far, earlier starts of the same run included."""
        return round(time.monotonic() - self._start, 3)

    def log(self, step: int, **values: float) -> None:
        """Adds ``values`` at ``step``; values of one step share one row."""
        self._row(step).update(values)

    def note(self, step: int, event: str) -> None:
        """Adds a sentence on what happened at ``step``."""
        self._row(step).setdefault("events", []).append(event)

    def write(self, folder: Path) -> None:
        """Writes history.jsonl into ``folder``."""
        lines = [json.dumps(row) for row in self.rows]
        (folder / HISTORY_FILE).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def _row(self, step: int) -> dict[str, Any]:
        if not self.rows or self.rows[-1]["step"] != step:
            self.rows.append({"step": step, "seconds": self.seconds()})
        return self.rows[-1]
