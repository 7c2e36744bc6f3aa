"""Supervision of a training loop: checkpoints, interruption, guards.

A loop asks `Supervisor.should_rewind` before each update and calls `Supervisor.step_done` after it.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from dico.errors import NonFiniteError
from dico.tracking import rows_made
from dico.training.distributed import World
from dico.training.resilience.checkpoint import Checkpoints
from dico.training.resilience.divergence import fault_of_update
from dico.training.resilience.interruption import Stopper, stopping_on_sigterm
from dico.training.resilience.limits import GuardConfig
from dico.training.resilience.state import TrainingState
from dico.training.resilience.watchdog import Watchdog, watching

_LOSSES_LOOKED_AT = 60
_SECONDS_TO_COPY_AT_THE_END = 600.0
_SECONDS_TO_COPY_WHEN_STOPPED = 8.0

logger = logging.getLogger(__name__)


class Supervisor:
    """Keeps one run safe; made by `supervised`."""

    def __init__(
        self,
        state: TrainingState,
        checkpoints: Checkpoints,
        config: GuardConfig,
        world: World,
        stop_if_asked: Stopper,
        watchdog: Watchdog,
    ) -> None:
        self.state, self.checkpoints, self.config, self.world = state, checkpoints, config, world
        self._stop_if_asked, self._watchdog = stop_if_asked, watchdog

    def should_rewind(self, loss: float, gradient_norm: float, since_step: int = 0) -> bool:
        """Whether this step's update must not be made; then the state is that of the checkpoint.

        The run goes on from there with the batches after this one. A loss is compared with those of
        the steps after ``since_step``, where the loss was perhaps another one.

        Raises:
            NonFiniteError: it went back often enough.
        """
        state = self.state
        rows = state.history.rows[-_LOSSES_LOOKED_AT:]
        losses = [row["loss"] for row in rows if row["step"] > since_step and "loss" in row]
        fault = fault_of_update(loss, gradient_norm, losses, self.config)
        if not fault:
            return False
        step, draw, num_rewinds = state.step, state.draw, state.num_rewinds
        if num_rewinds >= self.config.max_rewinds:
            raise NonFiniteError(
                f"step {step}: {fault}; the weights were not updated, and the run went back "
                f"{num_rewinds} times already. Lower the learning rate or set max_gradient_norm"
            )
        # The checkpoint has older counts; those of this moment are put back, so that the number of
        # rewinds is bounded and the batches up to the faulty one are not met again.
        self.checkpoints.resume(state, self.world)
        state.num_rewinds = num_rewinds + 1
        state.num_skipped = draw + 1 - state.step
        event = f"step {step}: {fault}; went back to step {state.step} and left batches out"
        state.history.note(state.step, event)
        logger.warning(event)
        self.save()  # else a killed run would meet the same batch again
        self._watchdog.step_ended()
        return True

    def step_done(self, save: bool) -> None:
        """To be called after each step; writes a checkpoint where ``save`` says so.

        Raises:
            TryAgainError: stopped by SIGTERM, after a checkpoint.
        """
        if save:
            self.save()
        if self.world.is_main:
            rows_made(self.state.history.rows)
        self._watchdog.step_ended()
        # After SIGTERM the step is finished and saved, then the process leaves with 75.
        self._stop_if_asked(self._save_for_another_machine)

    def note(self, event: str) -> None:
        """Puts an event on record."""
        self.state.history.note(self.state.step, event)
        logger.warning(event)

    def save(self) -> None:
        if self.world.is_main:  # all ranks hold the same state
            self.checkpoints.save(self.state)

    def _save_for_another_machine(self) -> None:
        self.save()
        if not self.checkpoints.flush(_SECONDS_TO_COPY_WHEN_STOPPED):
            logger.warning("the newest checkpoint is on this machine alone; its copy was too slow")


@contextmanager
def supervised(
    state: TrainingState, checkpoints: Checkpoints, config: GuardConfig, world: World
) -> Iterator[Supervisor]:
    """Yields the supervisor of a loop over ``state``, which is new or was just resumed.

    There is a checkpoint from the first step on, so that a disk or a store that can't be written is
    noticed before work is spent.
    """
    with stopping_on_sigterm(world) as stop_if_asked, watching(config) as watchdog:
        supervisor = Supervisor(state, checkpoints, config, world, stop_if_asked, watchdog)
        if state.step == 0 and state.num_rewinds == 0:
            supervisor.save()
        yield supervisor
    if world.is_main:
        checkpoints.finish(_SECONDS_TO_COPY_AT_THE_END)
