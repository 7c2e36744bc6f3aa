"""Kept weights as one file, to be carried into a network that is closed."""

import json
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from dico.configuration.schema import to_dict
from dico.errors import DataError, UsageError
from dico.storage import Store, atomic_write, verify_digests
from dico.weights.keeping import FILES, known_pins, remember_pin
from dico.weights.pins import Pin, pins_from_json

_LIST = "names.json"


def pack(archive: Path, store: Store, names: Sequence[str] = ()) -> list[Pin]:
    """Writes the weights of ``names``, or all that the store knows, into a tar.

    Raises:
        UsageError: the store does not know a name.
        DigestError: kept files are not what was fetched.
    """
    known = {pin.name: pin for pin in known_pins(store)}
    for name in names:
        if name not in known:
            raise UsageError(f"{name}: not in {store.uri}; `dico weights fetch {name}` first")
    pins = [known[name] for name in names] if names else list(known.values())
    if not pins:
        raise UsageError(f"{store.uri}: no weights are kept there; `dico weights fetch NAME` first")
    with tempfile.TemporaryDirectory(prefix="weights-") as working, atomic_write(archive) as file:
        folder = Path(working)
        listed = {pin.name: to_dict(pin) for pin in pins}
        (folder / _LIST).write_text(json.dumps(listed, sort_keys=True, indent=1) + "\n")
        with tarfile.open(file, "w") as tar:
            tar.add(folder / _LIST, _LIST)
            for key in sorted({_key(pin) for pin in pins}):
                tar.add(store.fetch(f"{FILES}/{key}", folder / key), key)
    return pins


def unpack(archive: Path, store: Store) -> list[Pin]:
    """Puts a tar's weights into ``store``, each checked by its digests.

    Raises:
        DataError: not such a tar.
        DigestError: files are not what was packed.
    """
    with tempfile.TemporaryDirectory(prefix="weights-") as working:
        folder = Path(working)
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(folder, filter="data")
            pins = list(pins_from_json((folder / _LIST).read_text()).values())
        except (OSError, tarfile.TarError) as error:
            raise DataError(f"{archive}: not written by `dico weights pack`: {error}") from None
        for key in sorted({_key(pin) for pin in pins}):
            verify_digests(folder / key)
            if not store.exists(f"{FILES}/{key}"):
                store.publish(folder / key, f"{FILES}/{key}")
    for pin in pins:
        remember_pin(pin, store)
    return pins


def _key(pin: Pin) -> str:
    return pin.uri[pin.uri.rindex(FILES) + len(FILES) + 1 :].split("/")[0]
