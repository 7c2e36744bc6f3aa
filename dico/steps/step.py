"""The frame of every step: its exit code, its note in the store, another try at what passes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dico.errors import DicoError, TryAgainError
from dico.process import retry
from dico.process.exits import exit_codes
from dico.report.run_notes import read_note, record_note


@contextmanager
def step(name: str, store: str) -> Iterator[dict[str, Any]]:
    """Runs a component's body as the step ``name``; the block may add facts to the mapping.

    An error leaves the process with its exit code and one line. After 75 the step is tried again in
    this pod, three times in all however many pods the cluster starts for it; a pod that the cluster
    starts after another code ends with that code at once.

    Args:
        name: name of the step.
        store: folder or s3:// prefix of the notes; empty for the mounted work volume.
    """
    another = retry.AnotherTry()
    with exit_codes():
        number = retry.try_in_this_pod() or _first_try_of_pod(name, store)
        retry.begin_try(number)
        try:
            with record_note(name, store, number) as facts:
                yield facts
        except DicoError as error:
            if retry.is_worth_another_try(error):
                another.arm(number + 1)
            raise


class GivenUpError(DicoError):
    """An earlier pod of this step failed for good; ``exit_code`` is that one's."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def _first_try_of_pod(name: str, store: str) -> int:
    """1 in the first pod of a step; in a later one, the number that follows on those before.

    Raises:
        GivenUpError: the pods before failed for good, or used up all tries.
        TryAgainError: what they did cannot be read.
    """
    num_pods = retry.num_pods_before()
    if not num_pods:
        return 1
    note = read_note(name, store)
    if note is None or note["status"] != "failed":  # a pod that is deleted fails without a word
        return min(num_pods + 1, retry.MAX_TRIES)
    if note["exit_code"] != TryAgainError.exit_code or note["tries"] >= retry.MAX_TRIES:
        raise GivenUpError(f"{note['reason']} (not tried again)", note["exit_code"])
    return int(note["tries"]) + 1
