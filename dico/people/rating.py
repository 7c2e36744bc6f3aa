"""A session of rating: which captions are shown next to whom, and what they chose.

Blind: what is shown carries no name of a system, and the order of images and of captions is drawn
anew for each rater, the same after a restart.
"""

import os
import random
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from dico.errors import DataError, UsageError
from dico.people.judgements import (
    EQUAL,
    WRONG,
    Judgement,
    check_same_captions,
    read_judgements,
)

MAX_RATER_CHARS = 40
MAX_SECONDS = 86_400.0


class Task(NamedTuple):
    """One image to judge, as a rater sees it.

    Attributes:
        number: place of the image in the session.
        captions: in the order of the page.
        num_done: how many images the rater has judged.
        num_tasks: how many there are.
    """

    number: int
    captions: tuple[str, ...]
    num_done: int
    num_tasks: int


class Session:
    """The images of a rating, and the file that judgements are added to."""

    def __init__(
        self, captions: Mapping[str, Mapping[str, str]], output: str | Path, seed: int = 0
    ) -> None:
        """Starts, or goes on with what ``output`` holds.

        Args:
            captions: {system: {image id: caption}}; images that all systems caption are judged,
                except those where all captions are equal.
            output: JSON lines; made where it is not there.
            seed: of the orders.

        Raises:
            UsageError: fewer than two systems, or one called equal or wrong.
            DataError: no image to judge, or the file judges other captions.
        """
        if len(captions) < 2 or {EQUAL, WRONG} & captions.keys():
            raise UsageError(
                "rating compares two or more caption files, none of them called equal or wrong"
            )
        shared = set.intersection(*(set(own) for own in captions.values()))
        whole = {
            image_id: {name: own[image_id] for name, own in captions.items()}
            for image_id in next(iter(captions.values()))
            if image_id in shared
        }
        self.tasks = {i: own for i, own in whole.items() if len(set(own.values())) > 1}
        self.num_alike = len(whole) - len(self.tasks)
        if not self.tasks:
            raise DataError(
                f"nothing to judge: the systems share {len(whole)} images, "
                f"and on {self.num_alike} of them they say the same"
            )
        self.image_ids = list(self.tasks)
        self._output, self._seed = Path(output), seed
        self._done: dict[str, dict[str, Judgement]] = {}
        known = read_judgements(output) if self._output.exists() else []
        check_same_captions(known, self.tasks, str(output))
        for own in known:
            if own.image_id in self.tasks:
                self._done.setdefault(own.rater, {})[own.image_id] = own

    def next(self, rater: str) -> Task | None:
        """What the rater has not judged yet, or None at the end."""
        rater = checked_rater(rater)
        order = list(range(len(self.image_ids)))
        random.Random(f"{self._seed}/{rater}").shuffle(order)
        done = self._done.get(rater, {})
        left = (number for number in order if self.image_ids[number] not in done)
        number = next(left, None)
        return None if number is None else self._task(rater, number)

    def last(self, rater: str) -> Task | None:
        """What the rater judged last, to judge it again; None where that is nothing."""
        rater = checked_rater(rater)
        done = list(self._done.get(rater, {}))
        return self._task(rater, self.image_ids.index(done[-1])) if done else None

    def num_done(self, rater: str) -> int:
        """How many images the rater has judged."""
        return len(self._done.get(rater, {}))

    def judge(self, rater: str, number: int, choice: int | str, seconds: float) -> Judgement:
        """Adds a judgement to the file.

        Args:
            rater: who judges.
            number: the task's number.
            choice: place of the caption on the page, "equal" or "wrong".
            seconds: how long it took.

        Raises:
            UsageError: no such task or choice.
        """
        rater = checked_rater(rater)
        if not 0 <= number < len(self.image_ids):
            raise UsageError(f"task: there is no task {number}")
        image_id = self.image_ids[number]
        shown = self._shown(rater, image_id)
        if isinstance(choice, int) and 0 <= choice < len(shown):
            chosen = shown[choice]
        elif choice in (EQUAL, WRONG):
            chosen = str(choice)
        else:
            raise UsageError(f"choice: {choice!r} is none of the {len(shown)} captions")
        judgement = Judgement(
            rater,
            image_id,
            self.tasks[image_id],
            shown,
            chosen,
            round(float(min(max(0.0, seconds), MAX_SECONDS)), 2),  # 0 where it is not a number
            datetime.now(UTC).isoformat(timespec="seconds"),
        )
        self._add(judgement)
        done = self._done.setdefault(rater, {})
        done.pop(image_id, None)
        done[image_id] = judgement
        return judgement

    def _add(self, judgement: Judgement) -> None:
        """Writes one line and sees it to the disk: a rater's minute is not to be lost."""
        self._output.parent.mkdir(parents=True, exist_ok=True)
        with open(self._output, "a", encoding="utf-8") as file:
            file.write(judgement.to_line())
            file.flush()
            os.fsync(file.fileno())

    def _task(self, rater: str, number: int) -> Task:
        image_id = self.image_ids[number]
        captions = tuple(self.tasks[image_id][name] for name in self._shown(rater, image_id))
        return Task(number, captions, self.num_done(rater), len(self.image_ids))

    def _shown(self, rater: str, image_id: str) -> tuple[str, ...]:
        names = sorted(self.tasks[image_id])
        random.Random(f"{self._seed}/{rater}/{image_id}").shuffle(names)
        return tuple(names)


def checked_rater(rater: str) -> str:
    """A rater's name, without blanks around it.

    Raises:
        UsageError: empty, too long or not printable.
    """
    name = rater.strip()
    if not name or len(name) > MAX_RATER_CHARS or not name.isprintable():
        raise UsageError(f"rater: expected a name of 1 to {MAX_RATER_CHARS} characters")
    return name
