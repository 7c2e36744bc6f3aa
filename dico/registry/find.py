"""Finds a registered version by its name: ``name``, ``name@3`` or ``name@champion``."""

import sys

from dico.errors import DataError, UsageError
from dico.registry.port import CHAMPION, Registry, Version


def find_version(registry: Registry, wanted: str = "") -> Version:
    """The version that ``wanted`` names.

    Args:
        registry: where to look.
        wanted: ``name``, ``name@alias`` or ``name@3``. Without an alias or a number the champion;
            without a name the only model, or the one whose champion was chosen last.

    Raises:
        UsageError: nothing is registered, no such model, or no champion.
        DataError: there is no such version or alias.
    """
    name, _, which = wanted.partition("@")
    names = registry.names()
    if not names:
        raise UsageError(f"{registry.uri}: no registered model; train one by `dico run`")
    if name and name not in names:
        raise UsageError(f"no model {name!r}; registered are {', '.join(names)}")
    name = name or (names[0] if len(names) == 1 else _newest_champion(registry, names))
    if which.isdigit():
        return registry.get(name, int(which))
    found = registry.resolve(name, which or CHAMPION)
    if found is None:
        newest = f"{name}@{registry.versions(name)[-1].number}"
        if which and which != CHAMPION:
            raise DataError(f"{name}: no alias {which!r}; the newest version is {newest}")
        raise UsageError(
            f"{name}: no version was good enough to be champion; the newest is {newest}"
        )
    return found


def _newest_champion(registry: Registry, names: list[str]) -> str:
    """The model whose champion was chosen last; it is named on standard error.

    Raises:
        UsageError: none has a champion.
    """
    chosen = {name: registry.last_change(name, CHAMPION).get("changed", "") for name in names}
    newest = max(names, key=lambda name: str(chosen[name]))
    if not chosen[newest]:
        raise UsageError(
            f"{registry.uri}: no model has a champion; name a version of {', '.join(names)}, as "
            "name@3"
        )
    print(
        f"using {newest}, whose champion is the newest; name a model to choose another",
        file=sys.stderr,
    )
    return newest
