"""A4: a loss or gradient that is not finite never reaches the weights."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from dico.errors import NonFiniteError
from dico.training.data import CaptioningData
from dico.training.distributed import World
from dico.training.resilience import supervision
from dico.training.resilience.state import TrainingState
from tests.reliability import trainer
from tests.reliability.result import CONTROL, Result, count
from tests.training import tiny

IDS = ("A4",)
STAGES = ("xe", "dico", "scst")
EVER = 10_000


class Spoiled(CaptioningData):
    """Image tokens that are ``value`` from reading ``first`` to reading ``last``, from 1."""

    def __init__(self, world: Path, value: float, first: int, last: int) -> None:
        super().__init__(tiny.records(world, "train"), tiny.features(world), tiny.CPU)
        self.value, self.first, self.last, self.number = value, first, last, 0

    def tokens(self, indices):
        self.number += 1
        tokens = super().tokens(indices)
        is_spoiled = self.first <= self.number <= self.last
        return torch.full_like(tokens, self.value) if is_spoiled else tokens


def check(full: bool) -> list[Result]:
    stages = STAGES if full else STAGES[:1]
    readings = (1, 4, 7, 12, 16) if full else (7,)
    with tempfile.TemporaryDirectory(prefix="tiny-") as temporary:
        world = tiny.make_world(Path(temporary))
        places = [
            (stage, value, first)
            for stage in stages
            for value in (torch.nan, torch.inf)
            for first in readings
        ]
        return [
            count(
                "A4",
                "NaN or infinity once: rewinds, skips the batch, finishes",
                _once(world, places),
            ),
            count(
                "A4",
                "NaN or infinity in every batch: rewinds twice, then exits with 70",
                _ever(world, places),
            ),
            count(
                "A4",
                f"{CONTROL}without the guard the weights are destroyed",
                _unguarded(world, places[:1]),
            ),
        ]


def train(stage: str, world: Path, data: CaptioningData, folder: Path) -> TrainingState:
    return tiny.train(world, folder, trainer.CONFIGS[stage], World(), data)[1]


def _once(world: Path, places: list[tuple[str, float, int]]) -> Iterator[bool]:
    for stage, value, first in places:
        with tempfile.TemporaryDirectory(prefix="guard-") as temporary:
            data = Spoiled(world, value, first, first)
            state = train(stage, world, data, Path(temporary))
            events = [text for row in state.history.rows for text in row.get("events", [])]
            yield _finite(state) and state.num_rewinds == len(events) == 1


def _ever(world: Path, places: list[tuple[str, float, int]]) -> Iterator[bool]:
    for stage, value, first in places:
        with tempfile.TemporaryDirectory(prefix="guard-") as temporary:
            try:
                train(stage, world, Spoiled(world, value, first, EVER), Path(temporary))
                yield False
            except NonFiniteError as error:
                resumed = _resumed(world, Path(temporary))
                yield error.exit_code == 70 and _finite(resumed) and resumed.num_rewinds == 2


def _unguarded(world: Path, places: list[tuple[str, float, int]]) -> Iterator[bool]:
    judge = supervision.fault_of_update
    for stage, value, first in places:
        with tempfile.TemporaryDirectory(prefix="guard-") as temporary:
            supervision.fault_of_update = lambda *_: ""
            try:
                state = train(stage, world, Spoiled(world, value, first, first), Path(temporary))
            finally:
                supervision.fault_of_update = judge
            yield not _finite(state)


def _resumed(world: Path, folder: Path) -> TrainingState:
    captioner = tiny.captioner(world, dropout=0.1)
    state = TrainingState(captioner, torch.optim.Adam(captioner.parameters()))
    assert tiny.checkpoints(folder).resume(state)
    return state


def _finite(state: TrainingState) -> bool:
    return all(bool(torch.isfinite(value).all()) for value in state.model.state_dict().values())
