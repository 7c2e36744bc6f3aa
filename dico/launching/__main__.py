"""Entry of torchrun and of pods: ``python -m dico.launching rank FOLDER | node STORE KEY``."""

import sys
from pathlib import Path

from dico.errors import UsageError
from dico.launching.nodes import run_node
from dico.launching.ranks import run_rank
from dico.process.exits import exit_codes
from dico.process.limits import apply_to_threads


def main(arguments: list[str]) -> None:
    """Runs one rank of a node, or one node of several."""
    match arguments:
        case ["rank", folder]:
            run_rank(Path(folder))
        case ["node", store, key]:
            run_node(store, key)
        case _:
            raise UsageError("usage: python -m dico.launching rank FOLDER | node STORE KEY")


if __name__ == "__main__":
    apply_to_threads()
    with exit_codes():
        main(sys.argv[1:])
