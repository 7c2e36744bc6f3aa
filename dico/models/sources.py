"""Which published weights an evaluator was made of: a list in its folder, for lineage and card."""

import json
from collections.abc import Sequence
from pathlib import Path

from dico.errors import DataError
from dico.storage import write_digests

SOURCES_FILE = "sources.json"
Source = dict[str, str]
"""``package`` with its version, ``file``, ``sha256``, ``licence``, ``trained_on``."""


def write_sources(folder: str | Path, sources: Sequence[Source]) -> None:
    """Adds sources.json to an evaluator's folder, and its digests anew."""
    text = json.dumps(list(sources), indent=1, sort_keys=True)
    (Path(folder) / SOURCES_FILE).write_text(f"{text}\n", encoding="utf-8")
    write_digests(folder)


def read_sources(folder: str | Path) -> list[Source]:
    """The sources of an evaluator's folder; none where it was trained from random weights.

    Raises:
        DataError: not such a list.
    """
    path = Path(folder) / SOURCES_FILE
    if not path.is_file():
        return []
    try:
        return [dict(source) for source in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, TypeError) as error:
        raise DataError(f"{path}: not a list of sources: {error}") from None
