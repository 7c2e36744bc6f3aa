"""Reward expressions such as ``0.7*pac + 0.3*cider-d``, read and checked without torch."""

import math
import re

from dico.errors import ConfigError
from dico.plugins import REWARDS

_NUMBER = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e-?[0-9]+)?"
_TERM = re.compile(rf"\s*(?:(?P<weight>{_NUMBER})\s*\*\s*)?(?P<name>[\w.-]+)\s*")


def parse_reward(expression: str) -> list[tuple[float, str]]:
    """Weight and name of each term.

    Raises:
        ConfigError: no such sum, or a name that neither dico nor an installed package has.
    """
    terms = []
    for part in expression.split("+"):
        found = _TERM.fullmatch(part)
        weight = float(found["weight"] or 1.0) if found else math.nan
        if found is None or not math.isfinite(weight):
            raise ConfigError(
                f"reward: expected such as '0.7*pac + 0.3*cider-d', got {expression!r}"
            )
        try:
            REWARDS.check(found["name"])
        except ConfigError as error:
            raise ConfigError(f"reward: {error}") from None
        terms.append((weight, found["name"]))
    return terms
