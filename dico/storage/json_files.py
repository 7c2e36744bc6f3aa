"""JSON objects in files."""

import json
from pathlib import Path
from typing import Any

from dico.errors import DataError


def read_object(path: Path, what: str, optional: bool = False) -> dict[str, Any]:
    """The object in a file.

    Args:
        path: the file.
        what: what it should be, with an article, for errors.
        optional: whether it may be missing; then the object is empty.

    Raises:
        DataError: missing, unreadable, or no JSON object.
    """
    if optional and not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise TypeError(f"a {type(found).__name__}, not an object")
        return found
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise DataError(f"{path}: not {what}: {error}") from None
