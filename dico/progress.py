"""Progress of long work: a bar on a terminal, plain lines with time left in a pod's log."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Counts units of work and says how it goes; made by `progress`."""

    def __init__(self, what: str, total: int | None, unit: str) -> None:
        self.what, self.total, self.unit = what, total, unit
        self.done = 0
        self._start = self._last = time.monotonic()

    def advance(self, num_units: int = 1, **values: float) -> None:
        """Adds ``num_units`` done; ``values`` (such as loss=2.1) are shown beside the count."""
        self.done += num_units
        now = time.monotonic()
        if now - self._last >= SECONDS_BETWEEN_LINES or self.done == self.total:
            self._last = now
            shown = "".join(f"  {name} {value:.4g}" for name, value in values.items())
            total = f"/{self.total}" if self.total else ""
            rate = self.done / max(now - self._start, 1e-9)
            line = f"{self.what}: {self.done}{total} {self.unit}s, {rate:.1f} {self.unit}s/s{shown}"
            print(line, file=sys.stderr, flush=True)


@contextmanager
def progress(what: str, total: int | None = None, unit: str = "step") -> Iterator[Progress]:
    """Shows progress of ``what`` over ``total`` units while the block runs."""
    yield Progress(what, total, unit)
