"""Reward expressions such as ``0.7*pac + 0.3*cider-d``, read and checked without torch."""

import math
import re
from importlib.metadata import EntryPoint, entry_points

from dico.errors import ConfigError

ENTRY_POINTS = "dico.rewards"
BUILT_IN = (
    "pac",
    "pac-published",
    "ref-pac",
    "ref-pac-published",
    "clip",
    "clip-published",
    "ref-clip",
    "ref-clip-published",
    "cider-d",
    "generative",
)
"""Names that need no other package; see `dico.rewards.build_reward`."""
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
        if found["name"] not in {*BUILT_IN, *offered()}:
            known = ", ".join([*BUILT_IN, *sorted(offered())])
            raise ConfigError(f"reward: unknown reward {found['name']!r}; known are {known}")
        terms.append((weight, found["name"]))
    return terms


def offered() -> dict[str, EntryPoint]:
    """Rewards of other installed packages by name."""
    return {point.name: point for point in entry_points(group=ENTRY_POINTS)}
