"""SIGTERM while training: the step at work is finished, a checkpoint is written, exit code 75.

For a trainer that is the process which receives the signal. Where something else is told first and
kills the trainer, the frequent checkpoints are what counts.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dico.errors import TryAgainError
from dico.process.signals import on_sigterm
from dico.training.distributed import World

Stopper = Callable[[Callable[[], None]], None]
"""Called after each step; the argument saves a checkpoint."""


@contextmanager
def stopping_on_sigterm(world: World) -> Iterator[Stopper]:
    """Yields a function to call after each step; after a SIGTERM it saves the state and raises.

    With several ranks all stop after the same step, whichever of them the signal reached. Outside
    the main thread, where no handler can be set, the signal keeps its meaning.

    Raises:
        TryAgainError: from the yielded function, once the state is saved.
    """
    received: list[bool] = []

    def stop_if_asked(save: Callable[[], None]) -> None:
        if not world.any(bool(received)):
            return
        if world.is_main:
            save()
        raise TryAgainError("stopped by SIGTERM, progress is saved; the same command continues")

    with on_sigterm(lambda: received.append(True)):
        yield stop_if_asked
