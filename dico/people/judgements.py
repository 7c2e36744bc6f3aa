"""Judgements of several systems' captions of one image, as `dico rate` writes them: JSON lines.

    {"format": 1, "rater": "ann", "image_id": "a", "captions": {"xe": "...", "dico": "..."},
     "shown": ["dico", "xe"], "choice": "dico", "seconds": 2.4, "time": "2026-11-30T12:00:00Z"}

``choice`` is a system, "equal" or "wrong" (all of them). Who judges an image again means the last.
"""

import dataclasses
import json
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dico.errors import DataError
from dico.metrics.bootstrap import interval, resample_sums

FORMAT = 1
EQUAL, WRONG = "equal", "wrong"


@dataclasses.dataclass(frozen=True, slots=True)
class Judgement:
    """One rater's choice for one image."""

    rater: str
    """Who judged."""

    image_id: str
    """Which image."""

    captions: dict[str, str]
    """System to caption."""

    shown: tuple[str, ...]
    """The systems in the order of the page."""

    choice: str
    """A system, "equal" or "wrong"."""

    seconds: float = 0.0
    """How long it took."""

    time: str = ""
    """When, ISO 8601."""

    def to_line(self) -> str:
        """One line of JSON."""
        data = {"format": FORMAT, **dataclasses.asdict(self)}
        return json.dumps(data, ensure_ascii=False) + "\n"

    @property
    def chosen(self) -> str:
        """``choice``, of systems that say the same the first by name."""
        same = [name for name in self.captions if self.worth(name) == 1]
        return min(same, default=self.choice)

    def worth(self, system: str) -> float:
        """1 for the chosen caption, whichever system it is shown of, .5 for equal ones, else 0."""
        if self.choice == EQUAL:
            return 0.5
        return float(self.captions[system] == self.captions.get(self.choice))


class WinRate(NamedTuple):
    """One system against another, over images.

    Attributes:
        first: one system.
        second: the other.
        win_rate: how often the first is preferred; equal ones, and wrong ones, are half.
        low: lower end of its interval, by bootstrap over images.
        high: upper end.
        equal: share of judgements "equal".
        wrong: share of judgements "wrong".
        num_judgements: how many.
        num_images: of how many images.
    """

    first: str
    second: str
    win_rate: float
    low: float
    high: float
    equal: float
    wrong: float
    num_judgements: int
    num_images: int


def read_judgements(path: str | Path) -> list[Judgement]:
    """All judgements that count, in the file's order.

    Raises:
        DataError: not such a file; the line is named.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as judgements: {error}") from None
    found: dict[tuple[str, str], Judgement] = {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            own = _judgement(line, f"{path}: line {number}")
            found.pop((own.rater, own.image_id), None)
            found[own.rater, own.image_id] = own
    return list(found.values())


def win_rates(
    judgements: Iterable[Judgement],
    num_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> list[WinRate]:
    """Win rates of all pairs of systems that were judged together.

    Where more than two were shown, the chosen one wins against each of the others, and of those
    two that were not chosen nothing is known.
    """
    given = list(judgements)
    systems = list(dict.fromkeys(name for own in given for name in own.captions))
    rates = []
    for first, second in combinations(systems, 2):
        own = [j for j in given if _tells(j, first, second)]
        if not own:
            continue
        places = {image_id: k for k, image_id in enumerate(dict.fromkeys(j.image_id for j in own))}
        sums = np.zeros((len(places), 2))
        for judgement in own:
            value = 0.5 + (judgement.worth(first) - judgement.worth(second)) / 2
            sums[places[judgement.image_id]] += value, 1
        resampled = resample_sums(sums, num_resamples, seed)
        low, high = interval(resampled[:, 0] / resampled[:, 1], confidence)
        value, num = sums.sum(axis=0)
        choices = [judgement.choice for judgement in own]
        equal, wrong = (choices.count(word) / len(own) for word in (EQUAL, WRONG))
        rates.append(
            WinRate(first, second, value / num, low, high, equal, wrong, len(own), len(places))
        )
    return rates


def _tells(judgement: Judgement, first: str, second: str) -> bool:
    if not {first, second} <= judgement.captions.keys():
        return False
    own = judgement.worth(first) + judgement.worth(second)
    return own > 0 or judgement.choice == WRONG


def _judgement(line: str, where: str) -> Judgement:
    try:
        data: Any = json.loads(line)
        names = [field.name for field in dataclasses.fields(Judgement)]
        if data["format"] != FORMAT:
            raise DataError(f"{where}: this version reads judgements of format {FORMAT}")
        captions = {str(name): str(text) for name, text in data["captions"].items()}
        own = {name: data[name] for name in names if name in data}
        own |= {"captions": captions, "shown": tuple(data["shown"])}
        found = Judgement(**own)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{where}: not a judgement ({error!r}): {line[:60]!r}") from None
    if len(captions) < 2 or sorted(found.shown) != sorted(captions):
        raise DataError(f"{where}: a judgement compares at least two captions, all of them shown")
    if found.choice not in (*captions, EQUAL, WRONG):
        raise DataError(f"{where}: choice {found.choice!r} is no system, {EQUAL!r} or {WRONG!r}")
    return found


def check_same_captions(
    judgements: Sequence[Judgement], captions: dict[str, dict[str, str]], where: str
) -> None:
    """Refuses to go on with a file that judges other captions.

    Args:
        judgements: what the file holds.
        captions: {image id: {system: caption}} that are to be judged.
        where: the file.

    Raises:
        DataError: an image has other captions or systems in the file.
    """
    for own in judgements:
        if captions.get(own.image_id, own.captions) != own.captions:
            raise DataError(
                f"{where}: holds judgements of other captions of {own.image_id}; give a new file"
            )
