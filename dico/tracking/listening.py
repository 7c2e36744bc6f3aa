"""Callbacks of the training loops inside a block, and what the loops tell them.

The loops call `rows_made` and `captions_made` where they are; outside of `listening` both do nothing.
"""

import itertools
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from dico.process.redaction import redact
from dico.tracking.callback import Callback, Sample, Stage

NUM_SAMPLES = 8
_NOT_VALUES = {"step", "seconds", "events"}


class _Listener:
    """One callback, the last step that it was told of, and whether it still works."""

    def __init__(self, callback: Callback, stage: Stage) -> None:
        self._callback, self._works = callback, True
        self._pending: list[Sample] = []
        last = self._call(callback.started, stage)
        self._last = -1 if last is None else int(last)

    def rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        before = self._last
        for row in _after(rows, before):
            step = self._last = row["step"]
            self._call(self._callback.values, step, _values(row))
            for sentence in row.get("events", ()):
                self._call(self._callback.event, step, sentence)
        if self._pending:
            validated = (row["step"] for row in reversed(rows) if _is_validation(row))
            step = next(validated, self._last)
            if step > before:
                self._call(self._callback.captions, step, self._pending)
            self._pending = []

    def captions(self, samples: list[Sample]) -> None:
        """Keeps them until the row of their validation comes, which knows the step."""
        self._pending = samples

    def ended(self) -> None:
        self._call(self._callback.ended)

    def _call(self, method: Callable[..., Any], *arguments: Any) -> Any:
        """Whatever a callback raises is said once, and it is not called again."""
        if not self._works:
            return None
        try:
            return method(*arguments)
        except Exception as error:
            self._works = False
            name = type(self._callback).__name__
            reason = " ".join(redact(f"{type(error).__name__}: {error}").split())[:300]
            print(f"{name} failed and is told nothing more: {reason}", file=sys.stderr)
            return None


_listeners: ContextVar[tuple[_Listener, ...]] = ContextVar("listeners", default=())


@contextmanager
def listening(stage: Stage, callbacks: Sequence[Callback]) -> Iterator[None]:
    """Tells ``callbacks`` of what the training inside the block does."""
    listeners = tuple(_Listener(callback, stage) for callback in callbacks)
    token = _listeners.set(listeners)
    try:
        yield
    finally:
        _listeners.reset(token)
        for listener in listeners:
            listener.ended()


def rows_made(rows: Sequence[Mapping[str, Any]]) -> None:
    """Tells of a history's rows; of each row once, when it is complete.

    Args:
        rows: the whole history, or its end, each with ``step``.
    """
    for listener in _listeners.get():
        listener.rows(rows)


def captions_made(
    images: Sequence[str], texts: Sequence[str], references: Sequence[Sequence[str]]
) -> None:
    """Tells of the first `NUM_SAMPLES` captions of a validation, whose row comes next."""
    listeners = _listeners.get()
    if not listeners:
        return
    chosen = zip(images, texts, references, strict=True)
    samples = [Sample(*parts) for parts, _ in zip(chosen, range(NUM_SAMPLES), strict=False)]
    for listener in listeners:
        listener.captions(samples)


def scores_made(values: Mapping[str, float], sentences: Sequence[str] = ()) -> None:
    """Tells of scores that belong to no step, such as those of an evaluation, and what they mean."""
    rows_made([{"step": 0, **values, "events": list(sentences)}])


def _after(rows: Sequence[Mapping[str, Any]], step: int) -> list[Mapping[str, Any]]:
    """The rows at the end whose step is above ``step``."""
    new = list(itertools.takewhile(lambda row: row["step"] > step, reversed(rows)))
    return new[::-1]


def _values(row: Mapping[str, Any]) -> dict[str, float]:
    """The finite numbers of a row."""
    named = ((name, value) for name, value in row.items() if name not in _NOT_VALUES)
    return {name: value for name, value in named if math.isfinite(value)}


def _is_validation(row: Mapping[str, Any]) -> bool:
    return any(name.startswith("validation_") for name in row)
