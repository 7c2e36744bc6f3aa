"""Step: which version of a model reigns now."""

from typing import NamedTuple

from dico.errors import UsageError
from dico.registry import open_registry


class Outputs(NamedTuple):
    """The model's name, and the number of its champion as text; empty where there is none."""

    model_name: str
    version: str


def find_champion(registry: str, model_name: str) -> Outputs:
    """Asks ``registry`` for the champion of ``model_name``.

    Raises:
        UsageError: no registry is given.
    """
    if not registry:
        raise UsageError("registry: empty; give a folder or s3://bucket/prefix")
    champion = open_registry(registry).champion(model_name)
    return Outputs(model_name, str(champion.number) if champion else "")
