"""The manifest: one Parquet row per image, the only form of a dataset that the steps read."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dico.errors import DataError, DigestError, one_line
from dico.facts import Scene, Vocabulary
from dico.storage import atomic_write

SPLITS = ("train", "validation", "test")
FORMAT = "3"
_SEAL_KEY = "dico.manifest.sha256"
_VOCABULARY_KEY = "dico.manifest.vocabulary"
_MAX_VOCABULARY_CHARS = 1 << 19
_NO_SEAL = "0" * 64
_FOOTER_BYTES = 1 << 20
ROWS_PER_GROUP = 10_000
SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("uri", pa.string()),
        ("sha256", pa.string()),
        ("num_bytes", pa.int64()),
        ("width_px", pa.int32()),
        ("height_px", pa.int32()),
        ("captions", pa.list_(pa.string())),
        ("split", pa.string()),
        ("flags", pa.list_(pa.string())),
        ("positive_uris", pa.list_(pa.string())),
        ("positive_captions", pa.list_(pa.string())),
        ("facts", pa.string()),
    ],
    metadata={"dico.manifest.format": FORMAT},
)


@dataclass(frozen=True, slots=True)
class Record:
    """One image with its captions."""

    image_id: str
    """Unique name of the image in its dataset."""
    uri: str
    """Where the image is: absolute path, s3://bucket/key, or shard.tar#member."""
    sha256: str
    """Hex SHA-256 of the image's file; its identity. Empty where images were skipped."""
    num_bytes: int
    """Size of the image's file in bytes."""
    width_px: int
    """Width after EXIF orientation, in pixels."""
    height_px: int
    """Height after EXIF orientation, in pixels."""
    captions: tuple[str, ...]
    """Human captions, the references of this image."""
    split: str
    """train, validation or test."""
    flags: tuple[str, ...] = ()
    """Codes of warnings that validation found."""
    positive_uris: tuple[str, ...] = ()
    """Other renderings of the same scene, for training an evaluator."""
    positive_captions: tuple[str, ...] = ()
    """Paraphrases of the captions, for training an evaluator."""
    facts: str = ""
    """What the image shows, as JSON (see `dico.facts`); empty where nothing is known."""


def read_manifest(path: str | Path, split: str | None = None) -> list[Record]:
    """All records of a manifest, or those of one split, in the manifest's order.

    Raises:
        DataError: not a manifest, or an unknown split.
    """
    return list(iter_manifest(path, split))


def iter_manifest(path: str | Path, split: str | None = None) -> Iterator[Record]:
    """The records of `read_manifest`, one at a time in bounded memory."""
    if split is not None and split not in SPLITS:
        raise DataError(f"{path}: no split {split!r}; splits are {', '.join(SPLITS)}")
    for batch in _open(path).iter_batches(batch_size=ROWS_PER_GROUP):
        for row in batch.to_pylist():
            if split is None or row["split"] == split:
                yield record_of(row)


def read_vocabulary(path: str | Path) -> Vocabulary | None:
    """The vocabulary of the records' facts; None where the dataset has none."""
    text = (_open(path).metadata.metadata or {}).get(_VOCABULARY_KEY.encode(), b"")
    return Vocabulary.from_dict(json.loads(text), str(path)) if text else None


def read_scenes(
    path: str | Path, split: str | None = None
) -> tuple[Vocabulary | None, dict[str, Scene]]:
    """The facts' vocabulary and {image id: scene} of the records that have facts."""
    vocabulary = read_vocabulary(path)
    if vocabulary is None:
        return None, {}
    return vocabulary, {
        record.image_id: Scene.from_json(record.facts, vocabulary, f"{path}: {record.image_id}")
        for record in iter_manifest(path, split)
        if record.facts
    }


def record_of(row: dict[str, Any]) -> Record:
    """A record from a manifest's row as plain values."""
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in row.items()}
    return Record(**values)


class ManifestWriter:
    """Writes records in row groups, in bounded memory; made by `manifest_writer`."""

    def __init__(self, path: Path, vocabulary: Vocabulary | None = None) -> None:
        self._vocabulary = _vocabulary_text(vocabulary) if vocabulary else ""
        self._writer = pq.ParquetWriter(path, SCHEMA, compression="zstd")
        self._pending: list[Record] = []

    def add(self, record: Record) -> None:
        """Adds one record at the end."""
        self._pending.append(record)
        if len(self._pending) >= ROWS_PER_GROUP:
            self._write()

    def close(self) -> None:
        """Writes what is pending and the file's footer, with room for the seal."""
        self._write()
        named = {_VOCABULARY_KEY: self._vocabulary} if self._vocabulary else {}
        self._writer.add_key_value_metadata({**named, _SEAL_KEY: _NO_SEAL})
        self._writer.close()

    def _write(self) -> None:
        if self._pending:
            self._writer.write_table(_table(self._pending))
            self._pending.clear()


@contextmanager
def manifest_writer(
    path: str | Path, vocabulary: Vocabulary | None = None
) -> Iterator[ManifestWriter]:
    """Opens a writer whose file appears at ``path`` at the end, whole.

    Args:
        path: the file.
        vocabulary: of the records' facts; None where they have none.
    """
    with atomic_write(path) as temporary:
        writer = ManifestWriter(temporary, vocabulary)
        yield writer
        writer.close()
        _seal(temporary)


def write_manifest(
    records: Iterable[Record], path: str | Path, vocabulary: Vocabulary | None = None
) -> None:
    """Writes records, in their order, as a manifest."""
    with manifest_writer(path, vocabulary) as writer:
        for record in records:
            writer.add(record)


def fingerprint(path: str | Path) -> str:
    """SHA-256 over images' identities, captions and splits; the order of rows does not matter.

    Where an image lies, its flags and its size in pixels do not matter either.
    """
    return combine_digests(record_digest(record) for record in iter_manifest(path))


def record_digest(record: Record) -> bytes:
    """32 bytes that stand for one record's identity, captions, split, positives and facts."""
    digest = hashlib.sha256()
    parts: tuple[str | Sequence[str], ...] = (
        record.image_id,
        record.sha256,
        record.split,
        record.captions,
        [uri.rpartition("/")[2] for uri in record.positive_uris],
        record.positive_captions,
    )
    if record.facts:
        parts += (record.facts,)
    for part in parts:
        texts = [part] if isinstance(part, str) else part
        digest.update(b"%d:" % len(texts))
        for text in texts:
            data = text.encode("utf-8", "surrogatepass")
            digest.update(b"%d:%b" % (len(data), data))
    return digest.digest()


def combine_digests(digests: Iterable[bytes]) -> str:
    """One hex digest of a set of records, whatever their order; given by 32 bytes, one or several."""
    table = np.frombuffer(b"".join(digests), "S32")
    return hashlib.sha256(np.sort(table).tobytes()).hexdigest()


def _open(path: str | Path) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(path)
        found = (file.schema_arrow.metadata or {}).get(b"dico.manifest.format", b"").decode()
        seal = _seal_of(file)
        if found == FORMAT and (not seal or _digest_without_seal(Path(path)) != seal):
            raise DigestError(f"{path}: its bytes changed since it was written; validate again")
    except FileNotFoundError:
        raise DataError(f"{path}: no such manifest; run validation first") from None
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: not a manifest ({one_line(error, 100)}); `dico validate` makes one of a dataset"
        ) from None
    if found != FORMAT or not set(SCHEMA.names) <= set(file.schema_arrow.names):
        raise DataError(f"{path}: not a manifest of format {FORMAT}; `dico validate` makes one")
    return file


def _seal(path: Path) -> None:
    """Writes the digest of the file, its own place taken as zeros, into the file's footer.

    Parquet has no digest of the whole: a flipped bit in a page or in the footer goes unnoticed.
    """
    digest = _digest_without_seal(path)
    with open(path, "r+b") as file:
        file.seek(_seal_place(path))
        file.write(digest.encode())


def _seal_of(file: pq.ParquetFile) -> str:
    return str((file.metadata.metadata or {}).get(_SEAL_KEY.encode(), b"").decode())


def _seal_place(path: Path) -> int:
    """Where in the file the seal's 64 digits are; -1 where there are none."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        start = max(0, size - _FOOTER_BYTES)
        file.seek(start)
        tail = file.read()
    found = re.search(re.escape(_SEAL_KEY.encode()) + rb".{1,4}?([0-9a-f]{64})", tail, re.DOTALL)
    return start + found.start(1) if found else -1


def _digest_without_seal(path: Path) -> str:
    """SHA-256 of the file with zeros for the seal; empty where there is none."""
    place = _seal_place(path)
    if place < 0:
        return ""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        left = place
        while left:
            chunk = file.read(min(left, 1 << 20))
            digest.update(chunk)
            left -= len(chunk)
        digest.update(_NO_SEAL.encode())
        file.seek(place + len(_NO_SEAL))
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _vocabulary_text(vocabulary: Vocabulary) -> str:
    text = json.dumps(vocabulary.to_dict(), sort_keys=True)
    if len(text) > _MAX_VOCABULARY_CHARS:
        raise DataError(
            f"the vocabulary of the facts has {len(text)} characters as JSON, and at most "
            f"{_MAX_VOCABULARY_CHARS} go into a manifest; leave out what no caption says"
        )
    return text


def _table(records: list[Record]) -> pa.Table:
    columns = {name: [getattr(record, name) for record in records] for name in SCHEMA.names}
    return pa.table(columns, schema=SCHEMA)
