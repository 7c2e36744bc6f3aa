"""The record of a training run: one JSON line per logged step, safe against repeated starts."""

import json
import time
from pathlib import Path

HISTORY_FILE = "history.jsonl"


class History:
    """Collects logged values."""

    def __init__(self, rows: list[dict[str, float]] | None = None) -> None:
        self.rows = rows or []
        self._start = time.monotonic() - (self.rows[-1]["seconds"] if self.rows else 0.0)

    def log(self, step: int, **values: float) -> None:
        """Adds ``values`` at ``step``; values of one step share one row."""
        if not self.rows or self.rows[-1]["step"] != step:
            seconds = round(time.monotonic() - self._start, 3)
            self.rows.append({"step": step, "seconds": seconds})
        self.rows[-1].update(values)

    def write(self, folder: Path) -> None:
        """Writes history.jsonl into ``folder``."""
        lines = [json.dumps(row) for row in self.rows]
        (folder / HISTORY_FILE).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def read_history(folder: Path) -> list[dict[str, float]]:
    """The rows of a model folder's history.jsonl; empty where there is none."""
    path = Path(folder) / HISTORY_FILE
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
