"""Tries again what a network spoiled: exponential pauses with full jitter, and a deadline."""

import math
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from dico.errors import DigestError, TryAgainError

T = TypeVar("T")

SILENT_SECONDS = 10.0
"""How long a request is tried again without a word."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, and how long."""

    max_attempts: int = 18
    """Tries of one request. Of 10,000 requests to a store that fails half of them, ten tries lose
    10 and eighteen none."""
    max_fetches: int = 4
    """Tries of one read whose bytes are wrong: the first and three more."""
    base_seconds: float = 0.1
    """Longest pause after the first try; it doubles with each."""
    max_pause_seconds: float = 5.0
    """Longest pause between tries, seconds."""
    deadline_seconds: float = 600.0
    """When to give up whatever happens, seconds."""
    unknown_host_seconds: float = 4.0
    """When to give up a host whose name nobody knows, seconds: mostly a mistyped address, where a
    busy name server answers in time."""


class TransientFault(Exception):
    """Raised by an operation that will perhaps do on another try."""


class UnknownHost(TransientFault):
    """No name server knows the host; after at least two tries in a few seconds it is final."""


class WrongBytes(TransientFault):
    """A read that arrived complete and is not what was written."""


def retry(operation: Callable[[int], T], what: str, policy: RetryPolicy) -> T:
    """Runs ``operation(attempt)`` until it returns.

    Args:
        operation: raises TransientFault to be tried again; any other error is final.
        what: names the request in errors.
        policy: how often.

    Raises:
        TryAgainError: the tries or the time are used up.
        DigestError: the bytes stayed wrong.
    """
    start, num_wrong, told = time.monotonic(), 0, False
    for attempt in range(policy.max_attempts):
        try:
            return operation(attempt)
        except TransientFault as fault:
            num_wrong += isinstance(fault, WrongBytes)
            if num_wrong >= policy.max_fetches:
                raise DigestError(
                    f"{what}: wrong bytes {num_wrong} times ({fault}); check the store or its proxy"
                ) from None
            reason = str(fault)
            limit = policy.unknown_host_seconds if isinstance(fault, UnknownHost) else math.inf
        if not told and time.monotonic() - start > SILENT_SECONDS:
            print(f"{what}: still trying ({reason})", file=sys.stderr, flush=True)
            told = True
        pause = random.uniform(0, min(policy.max_pause_seconds, policy.base_seconds * 2**attempt))
        seconds = time.monotonic() + pause - start
        if seconds > policy.deadline_seconds or (attempt and seconds > limit):
            break
        if attempt + 1 < policy.max_attempts:
            time.sleep(pause)
    raise TryAgainError(
        f"{what}: failed {attempt + 1} times in {time.monotonic() - start:.0f} s "
        f"({reason}); run the same command again later"
    )
