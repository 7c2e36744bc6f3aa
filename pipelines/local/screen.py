"""Display of a local run: one line per step with its time, and a progress bar."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from dico.process.progress import SECONDS_BETWEEN_LINES, describe, format_seconds, format_values

if TYPE_CHECKING:
    from dico.report import MetricTable

_MARKS = {
    "done": ("✓", "green"),
    "cached": ("·", "dim"),
    "failed": ("✗", "red"),
}


_STYLES = {"": "", "even": "dim", "better": "green", "worse": "red"}
WIDTH_OF_LOGS = 140


class Screen:
    """Draws on a terminal with bars; writes plain lines anywhere else."""

    def __init__(self, console: Console, num_steps: int) -> None:
        self._console, self._num_steps = console, num_steps
        self._num_shown = 0
        self._last_line = time.monotonic()
        self._last_state: dict[str, Any] = {}
        self._bar: Progress | None = None
        self._task: Any = None

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Shows ``name`` as the step at work while the block runs."""
        self._last_line = time.monotonic()
        if not self._console.is_terminal:
            yield
            return
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<28}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[values]}"),
            console=self._console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        with self._bar:
            self._task = self._bar.add_task(name, total=None, count="", values="")
            yield
        self._bar = None

    def progress(self, state: dict[str, Any]) -> None:
        """Shows how far the step at work is; ``state`` as `dico.process.progress` writes it."""
        if self._bar:
            total = state["total"]
            self._bar.update(
                self._task,
                total=total,
                completed=state["done"],
                count=f"{state['done']}/{total}" if total else f"{state['done']}",
                values=state["what"] + format_values(state["values"]),
            )
        elif time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            if state != self._last_state:
                self._print(f"       {describe(state)}")
            self._last_state = state

    def finished(self, name: str, status: str, seconds: float) -> None:
        """Prints the line of a finished step; ``status`` is done, cached or failed."""
        self._num_shown += 1
        mark, style = _MARKS[status]
        took = "cached" if status == "cached" else format_seconds(seconds)
        line = Text(f"{self._num_shown:>2}/{self._num_steps} ")
        line.append(mark, style)
        line.append(f" {name:<28}{took:>14}", "dim" if status == "cached" else "")
        self._print(line)

    def table(self, table: "MetricTable") -> None:
        """Prints the metrics of all systems; intervals of scores only where they fit."""
        grid = _grid(table, intervals=True)
        unbounded = self._console.options.update(width=1000)
        if Measurement.get(self._console, unbounded, grid).maximum > self._console.width:
            grid = _grid(table, intervals=False)
        self._print("")
        self._console.print(grid)
        self._print("")
        for note in table.notes:
            self._print(Text(f"  {note}", "dim"))

    def note(self, text: str) -> None:
        """Prints one line as it is."""
        self._print(text)

    def _print(self, line: str | Text) -> None:
        text = line if isinstance(line, Text) else Text(line)
        self._console.print(text, soft_wrap=True, highlight=False)


def _grid(table: "MetricTable", intervals: bool) -> Table:
    grid = Table(box=None, padding=(0, 2), header_style="bold")
    grid.add_column("", no_wrap=True)
    for column in table.columns:
        grid.add_column(column, justify="right", no_wrap=True)
    for row in table.rows:
        cells = [
            Text(str(cell) if intervals or cell.verdict else cell.value, _STYLES[cell.verdict])
            for cell in row.cells
        ]
        grid.add_row(row.metric.label, *cells)
    return grid
