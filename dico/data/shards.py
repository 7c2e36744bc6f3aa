"""Writes a manifest's images and captions as WebDataset tars, the same bytes every time.

Form ``json`` writes ``ID.jpg`` and ``ID.json`` (a list of captions is under ``captions``), for
evaluation and fine-tuning. Form ``txt`` writes one sample per caption, ``ID__0.jpg`` and
``ID__0.txt``, as training by cross-entropy wants it.
"""

import io
import json
import re
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dico.data.manifest import SPLITS, Record, iter_manifest
from dico.errors import ConfigError
from dico.images.load import read_image
from dico.process.progress import progress
from dico.storage import open_store

FORMS = ("json", "txt")
_SIGNATURES = (
    (b"\xff\xd8", "jpg"),
    (b"\x89PNG", "png"),
    (b"GIF8", "gif"),
    (b"BM", "bmp"),
    (b"II*\0", "tif"),
    (b"MM\0*", "tif"),
)


def write_shards(
    manifest: str | Path, output: str, form: str = "json", shard_bytes: int = 1_000_000_000
) -> list[str]:
    """Writes all splits of a manifest as tars of about ``shard_bytes`` bytes.

    Args:
        manifest: a manifest.
        output: folder or s3:// prefix.
        form: json or txt.
        shard_bytes: size after which the next shard is begun.

    Returns:
        Names of the shards, ``train-000000.tar`` and so on.

    Raises:
        ConfigError: an unknown form.
        DataError: an image is not the one that was validated.
    """
    if form not in FORMS:
        raise ConfigError(f"form: expected one of {', '.join(FORMS)}, got {form!r}")
    names: list[str] = []
    for split in SPLITS:
        records = iter_manifest(manifest, split)
        names += _write_split(records, split, output, form, shard_bytes)
    return names


def _write_split(
    records: Iterator[Record], split: str, output: str, form: str, shard_bytes: int
) -> list[str]:
    store = open_store(output)
    names: list[str] = []
    current = next(records, None)
    with progress(f"shards of {split}", unit="image") as bar:
        while current is not None:
            name = f"{split}-{len(names):06d}.tar"
            with tempfile.NamedTemporaryFile(suffix=".tar") as file:
                with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as tar:
                    written = 0
                    while current is not None and written < shard_bytes:
                        written += sum(_add(tar, *member) for member in _members(current, form))
                        current = next(records, None)
                        bar.advance(1)
                file.flush()
                store.upload(Path(file.name), name)
            names.append(name)
    return names


def _members(record: Record, form: str) -> Iterator[tuple[str, bytes]]:
    """The members (name, bytes) of all samples of one image; they stay in one shard."""
    data = read_image(record.uri, record.sha256)
    key, suffix = _key(record.image_id), _suffix(data)
    if form == "json":
        content = {"image_id": record.image_id, "captions": record.captions, "split": record.split}
        text = json.dumps(content, ensure_ascii=False).encode()
        yield f"{key}.{suffix}", data
        yield f"{key}.json", text
    else:
        for index, caption in enumerate(record.captions):
            yield f"{key}__{index}.{suffix}", data
            yield f"{key}__{index}.txt", caption.encode()


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> int:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = len(data), 0o644, 0
    tar.addfile(info, io.BytesIO(data))
    return len(data) + 1024


def _key(image_id: str) -> str:
    """An id as a member's base name: no dots and no slashes, and different for different ids."""
    if re.fullmatch(r"[A-Za-z0-9-]+", image_id):
        return image_id
    return "".join(c if c.isalnum() and c.isascii() else f"-{ord(c):x}-" for c in image_id)


def _suffix(data: bytes) -> str:
    if data[8:12] == b"WEBP":
        return "webp"
    return next((suffix for mark, suffix in _SIGNATURES if data.startswith(mark)), "jpg")
