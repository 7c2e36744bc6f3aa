"""Six-field cron expressions as Kubeflow Pipelines reads them: seconds first, times in UTC.

The client sends any text, and a schedule that the server cannot read never fires. The rules are
those of the parser that the server uses (robfig/cron, version 1): names of months and days, ``*``,
``?``, lists, ranges, steps; where both day fields are restricted, either suffices.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dico.errors import ConfigError

_MONTHS = {
    name: i
    for i, name in enumerate(
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1
    )
}
_DAYS = {name: i for i, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])}
_FIELDS = (
    ("seconds", 0, 59, {}),
    ("minutes", 0, 59, {}),
    ("hours", 0, 23, {}),
    ("day of the month", 1, 31, {}),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 6, _DAYS),
)  # fmt: skip
_DAYS_AHEAD = 366 * 8 + 2
"""How far `next_time` looks: far enough for a 29 February across a century's turn."""


@dataclass(frozen=True, slots=True)
class Cron:
    """Which seconds, minutes, hours, days and months match."""

    fields: tuple[frozenset[int], ...]
    """One set of values for each of the six fields."""
    either_day: bool
    """Whether the day of the month or that of the week suffices: both are restricted."""

    def next_time(self, after: datetime) -> datetime | None:
        """The first match later than ``after``, in UTC; none within eight years."""
        seconds, minutes, hours = (sorted(values) for values in self.fields[:3])
        day = after.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        for _ in range(_DAYS_AHEAD):
            if self._is_day(day):
                times = (
                    day.replace(hour=hour, minute=minute, second=second)
                    for hour in hours
                    for minute in minutes
                    for second in seconds
                )
                found = next((time for time in times if time > after), None)
                if found:
                    return found
            day += timedelta(days=1)
        return None

    def _is_day(self, day: datetime) -> bool:
        in_month = day.day in self.fields[3]
        in_week = day.isoweekday() % 7 in self.fields[5]
        matches = in_month or in_week if self.either_day else in_month and in_week
        return day.month in self.fields[4] and matches


def parse_cron(expression: str) -> Cron:
    """Reads a six-field expression, such as ``0 0 3 * * 0`` for Sundays at three.

    Raises:
        ConfigError: it has not six fields, a field is not understood, or it never matches.
    """
    parts = expression.split()
    if len(parts) == 5:
        raise ConfigError(
            f"cron: {expression!r} has five fields; Kubeflow wants six, seconds first: "
            f"{'0 ' + ' '.join(parts)!r}"
        )
    if len(parts) != 6:
        raise ConfigError(
            f"cron: {expression!r} has {len(parts)} fields, expected six: second, minute, hour, "
            "day of the month, month, day of the week; such as '0 0 3 * * 0', Sundays at 03:00 UTC"
        )
    fields = tuple(_field(part, *field) for part, field in zip(parts, _FIELDS, strict=True))
    either = not any(part.split("/")[0] in ("*", "?") for part in (parts[3], parts[5]))
    cron = Cron(fields, either)
    if cron.next_time(datetime(2024, 1, 1, tzinfo=UTC)) is None:
        raise ConfigError(f"cron: {expression!r} never happens, such as a 31st of February")
    return cron


def _field(text: str, name: str, low: int, high: int, names: dict[str, int]) -> frozenset[int]:
    values: set[int] = set()
    for part in text.split(","):
        try:
            span, slash, step = part.partition("/")
            first, dash, last = span.partition("-")
            start = low if first in ("*", "?") else _number(first, names)
            end = high if first in ("*", "?") or (slash and not dash) else start
            end = _number(last, names) if dash else end
            stride = int(step) if slash else 1
            if (first in ("*", "?") and dash) or not low <= start <= end <= high or stride < 1:
                raise ValueError
        except ValueError:
            raise ConfigError(
                f"cron: {part!r} is no {name}; expected {low} to {high}, *, or such as "
                f"{low}-{high}/2"
            ) from None
        values.update(range(start, end + 1, stride))
    return frozenset(values)


def _number(text: str, names: dict[str, int]) -> int:
    lowered = text.lower()
    if lowered in names:
        return names[lowered]
    if not text.isascii() or not text.isdigit():
        raise ValueError
    return int(text)
