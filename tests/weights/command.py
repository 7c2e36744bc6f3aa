"""``dico weights`` in this process."""

from collections.abc import Sequence

import pytest

from dico.cli import main as dico


def main(arguments: Sequence[object]) -> int:
    """Runs ``dico weights`` and returns its exit code."""
    with pytest.raises(SystemExit) as end:
        dico(["weights", *map(str, arguments)])
    return int(end.value.code or 0)
