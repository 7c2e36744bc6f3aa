"""A pass's way into the output head: listened to, or led over other states.

The head is the widest product of a model. Led over the states of real tokens alone, those that first
words follow among them, it is taken once a pass and nowhere in vain.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor


@contextmanager
def heard(model: Any) -> Iterator[list[Tensor]]:
    """Fills the list with the states (..., D) that go into the head of ``model``."""
    states: list[Tensor] = []

    def listen(given: Tensor) -> Tensor:
        states.append(given)
        return given

    with led(model, listen):
        yield states


@contextmanager
def led(model: Any, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Within it the head of ``model`` is given ``change`` of its states; of none if it has none."""
    head = model.get_output_embeddings()
    if head is None:
        yield
        return
    hook = head.register_forward_pre_hook(lambda _head, given: (change(given[0]), *given[1:]))
    try:
        yield
    finally:
        hook.remove()
