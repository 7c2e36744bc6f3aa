"""The pointer to a feature store that steps hand on, with the vocabulary of the evaluator.

A folder: ``features.json`` says where the store is and what its index must be; ``tokenizer/`` is
the vocabulary that captioner and evaluator share.
"""

import json
from pathlib import Path

from dico.errors import DataError
from dico.features.store import FeatureStore
from dico.models.tokenizer import Tokenizer
from dico.storage import write_digests
from dico.storage.digests import verify_digests

POINTER_FILE = "features.json"


def write_pointer(folder: Path, uri: str, digest: str, tower: str, tokenizer: Tokenizer) -> None:
    """Writes the pointer to the store at ``uri`` whose index has ``digest``."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"format": 1, "uri": uri, "digest": digest, "tower": tower}, indent=1)
    (folder / POINTER_FILE).write_text(text + "\n", encoding="utf-8")
    tokenizer.save(folder / "tokenizer")
    write_digests(folder)


def open_features(folder: str) -> FeatureStore:
    """The store that the pointer names, its rows checked.

    Raises:
        DataError: not a pointer, or no store is there.
        DigestError: the store is not the one that was written.
    """
    verify_digests(folder)
    pointer = read_pointer(folder)
    return FeatureStore.open(pointer["uri"], digest=pointer["digest"])


def read_pointer(folder: str) -> dict[str, str]:
    """The pointer's ``uri``, ``digest`` of the index, and ``tower`` that made the image tokens."""
    path = Path(folder) / POINTER_FILE
    if not path.is_file():
        raise DataError(f"{path}: missing; give the output of extract_features")
    pointer: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return pointer


def features_digest(folder: str) -> str:
    """Digest of the index of the store that the pointer names."""
    return read_pointer(folder)["digest"]


def features_tokenizer(folder: str) -> Tokenizer:
    """The vocabulary that captioner and evaluator share."""
    return Tokenizer.load(Path(folder) / "tokenizer")
