"""Six-field cron expressions as Kubeflow Pipelines reads them: seconds first, times in UTC.

The client sends any text, and a schedule that the server cannot read never fires. croniter knows
the times; what it takes beyond the server's parser (robfig/cron, version 1) is refused here: a day 7
of the week, ranges that run backwards, letters other than names of months and days.
"""

import re
from datetime import datetime

from croniter import CroniterBadDateError, CroniterError, croniter

from dico.errors import ConfigError

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_NAMES = {name: i for i, name in enumerate(_MONTHS, 1)} | {d: i for i, d in enumerate(_DAYS)}
_PLAIN = re.compile(r"[0-9*?,/-]+")
_RANGE = re.compile(r"(\d+)-(\d+)")
_DAY_7 = re.compile(r"(?<![0-9/])7")


def next_time(expression: str, after: datetime) -> datetime:
    """The first time later than ``after`` at which a schedule fires, such as ``0 0 3 * * 0``.

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
    for part in parts:
        numbers = re.sub(r"[a-zA-Z]+", lambda name: str(_NAMES.get(name[0].lower(), "x")), part)
        backwards = any(int(first) > int(last) for first, last in _RANGE.findall(numbers))
        if not _PLAIN.fullmatch(numbers) or backwards:
            raise ConfigError(f"cron: {part!r} in {expression!r} is not understood by Kubeflow")
    if _DAY_7.search(parts[5]):
        raise ConfigError(f"cron: {expression!r}: days of the week are 0 (Sunday) to 6")
    try:
        found = croniter(expression, after, second_at_beginning=True, max_years_between_matches=8)
        return found.get_next(datetime)
    except CroniterBadDateError:
        raise ConfigError(
            f"cron: {expression!r} never happens, such as a 31st of February"
        ) from None
    except CroniterError as error:
        raise ConfigError(f"cron: {expression!r}: {error}") from None
