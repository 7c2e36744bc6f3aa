"""A pin: what a name meant when it was resolved. It is what caches and lineage go by."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from dico.configuration.schema import from_dict
from dico.errors import ConfigError, DataError


@dataclasses.dataclass(frozen=True)
class Pin:
    """Weights that cannot change any more."""

    name: str
    """As the user wrote it."""
    uri: str
    """Folder, file or s3:// prefix of the files."""
    sha256: str
    """Digest of the file, or of the folder's list of digests."""
    commit: str = ""
    """Commit of the repository on the Hub; empty for what is no repository."""
    licence: str = ""
    """As the model's card on the Hub has it; empty where nothing says."""
    trained_on: str = ""
    """Data sets that the card names; empty where it names none."""
    architecture: str = ""
    """open_clip's MODEL:TAG, which tells what the files do not."""


Pins = Mapping[str, Pin]
"""By role: ``clip``, ``pac`` and ``tower`` of an evaluator, ``checkpoint`` of a captioner."""


def pins_to_json(pins: Pins) -> str:
    """The pins as one canonical JSON text, equal for equal weights."""
    data = {role: dataclasses.asdict(pin) for role, pin in pins.items()}
    return json.dumps(data, sort_keys=True, separators=(",", ":"))


def pins_from_json(text: str) -> dict[str, Pin]:
    """Reads what `pins_to_json` wrote; empty text holds none.

    Raises:
        DataError: something else.
    """
    try:
        data: dict[str, Any] = json.loads(text) if text.strip() else {}
        return {role: from_dict(Pin, pin, role) for role, pin in data.items()}
    except (ValueError, AttributeError, ConfigError) as error:
        raise DataError(f"weights: not what prepare_weights gives: {error}") from None
