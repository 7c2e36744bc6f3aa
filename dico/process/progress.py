"""Progress of long work: a bar on a terminal, plain lines with the time left in a log.

When the environment variable ``DICO_PROGRESS_FILE`` names a file, the latest state is kept there
as one JSON object, so that whoever started this process can draw the bar.
"""

import json
import math
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

PROGRESS_FILE_VARIABLE = "DICO_PROGRESS_FILE"
SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_STATES = 0.2


class _Sink(Protocol):
    def show(self, state: dict[str, Any], last: bool) -> None:
        """Shows ``state``; ``last`` when no unit is left."""


class Progress:
    """Counts units of work and says how it goes; made by `progress`."""

    def __init__(
        self, what: str, total: int | None, unit: str, sinks: list[_Sink], done: int = 0
    ) -> None:
        self.what, self.total, self.unit = what, total, unit
        self.done = self._before = done
        self._sinks = sinks
        self._values: dict[str, float] = {}
        self._start = time.monotonic()
        self._show(last=False)

    def advance(self, num_units: int = 1, **values: float) -> None:
        """Adds ``num_units`` done; ``values`` (such as loss=2.1) are shown beside the count."""
        self.done += num_units
        self._values.update({name: float(value) for name, value in values.items()})
        self._show(last=self.done == self.total)

    def _show(self, last: bool) -> None:
        state = {
            "what": self.what,
            "done": self.done,
            "before": self._before,
            "total": self.total,
            "unit": self.unit,
            "seconds": time.monotonic() - self._start,
            "values": {k: v for k, v in self._values.items() if math.isfinite(v)},
        }
        for sink in self._sinks:
            sink.show(state, last)


@contextmanager
def progress(
    what: str, total: int | None = None, unit: str = "step", done: int = 0
) -> Iterator[Progress]:
    """Shows progress of ``what`` over ``total`` units while the block runs.

    Args:
        what: name of the work.
        total: units of it; None where nobody knows.
        unit: name of one.
        done: units done before, such as by the process that left a checkpoint.
    """
    with ExitStack() as stack:
        sinks: list[_Sink] = []
        path = os.environ.get(PROGRESS_FILE_VARIABLE, "")
        if path:
            sinks.append(_File(Path(path)))
        if sys.stderr.isatty():
            sinks.append(_bar(stack))
        else:
            sinks.append(_Lines())
        yield Progress(what, total, unit, sinks, done)


def describe(state: dict[str, Any]) -> str:
    """One line that says how it goes: count, rate, values and time left."""
    done, total, unit, seconds = state["done"], state["total"], state["unit"], state["seconds"]
    count = f"{done}/{total}" if total else f"{done}"
    line = f"{state['what']}: {count} {unit}s"
    fresh = done - state["before"]
    if fresh and seconds > 0:
        line += f", {fresh / seconds:.3g} {unit}s/s"
        if total and done < total:
            line += f", {format_seconds((total - done) * seconds / fresh)} left"
    return line + format_values(state["values"])


def format_values(values: dict[str, float]) -> str:
    """Named values as text, such as ``  loss 2.1``."""
    return "".join(f"  {name} {value:.4g}" for name, value in values.items())


def format_seconds(seconds: float) -> str:
    """A duration as people say it: ``4.2 s``, ``1 min 05 s``, ``2 h 03 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


class _File:
    """Keeps the latest state in a file, replaced as a whole so that readers never see half."""

    def __init__(self, path: Path) -> None:
        self._path, self._last = path, -math.inf

    def show(self, state: dict[str, Any], last: bool) -> None:
        now = time.monotonic()
        if not last and now - self._last < SECONDS_BETWEEN_STATES:
            return
        self._last = now
        temporary = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        temporary.write_text(json.dumps(state))
        temporary.replace(self._path)


class _Lines:
    """Prints a line now and then, for logs."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def show(self, state: dict[str, Any], last: bool) -> None:
        now = time.monotonic()
        if last or now - self._last >= SECONDS_BETWEEN_LINES:
            self._last = now
            print(describe(state), file=sys.stderr, flush=True)


class _Bar:
    """Draws a bar on a terminal."""

    def __init__(self, bar: Any) -> None:
        self._bar, self._task = bar, bar.add_task("", values="")

    def show(self, state: dict[str, Any], last: bool) -> None:
        del last
        self._bar.update(
            self._task,
            description=state["what"],
            total=state["total"],
            completed=state["done"],
            values=format_values(state["values"]),
        )


def _bar(stack: ExitStack) -> _Bar:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    bar = RichProgress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[values]}"),
        console=Console(stderr=True),
    )
    return _Bar(stack.enter_context(bar))
