"""B6: one flipped bit in a stored file is found before the file is used."""

import hashlib
import random
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from dico.data.manifest import read_manifest, write_manifest
from dico.data.shards import write_shards
from dico.errors import DataError
from dico.features.format import index_name
from dico.features.store import FeatureSpec, FeatureStore, FeatureWriter
from dico.images.load import read_image
from dico.storage import verify_digests, write_digests
from dico.validation.config import ValidationConfig
from dico.validation.validate import validate
from tests.data.images import write_dataset
from tests.reliability.disk_writer import records
from tests.reliability.result import CONTROL, Result, count

IDS = ("B6",)
Use = Callable[[], object]
Place = tuple[Path, int, int]
"""A file, and the first byte and the end of the part that is read."""


def check(full: bool) -> list[Result]:
    num_flips = 300 if full else 20
    with tempfile.TemporaryDirectory(prefix="bits-") as temporary:
        folder = Path(temporary)
        kinds = {
            "the manifest": _manifest(folder),
            "a published folder: weights, tokenizer, registry": _published(folder),
            "stored features and their index": _features(folder),
            "an image, and an image in a tar": _images(folder),
        }
        rows = [
            count("B6", f"flipped bits are detected in {name}", _found(files, use, num_flips))
            for name, (files, use) in kinds.items()
        ]
        files, _ = kinds["stored features and their index"]
        places = [(path, 600, end) for path, _, end in files if ".tokens." in path.name]
        store = places[0][0].parent
        unseen = count("B6", "", _found(places, lambda: FeatureStore.open(store, False), 10))
        name = f"{CONTROL}without digests flipped features go unnoticed"
        note = f"{unseen.total - unseen.passed} of {unseen.total} unnoticed"
        passed = int(unseen.passed < unseen.total)
        return [*rows, Result("B6", name, passed, 1, unseen.seconds, note)]


def _whole(files: Iterable[Path]) -> list[Place]:
    return [(path, 0, path.stat().st_size) for path in files if path.is_file()]


def _found(places: list[Place], use: Use, num_flips: int) -> Iterator[bool]:
    """Flips one bit in one of ``places`` at a time; True when its use is refused."""
    use()
    rng = random.Random(0)
    for _ in range(num_flips):
        path, low, high = rng.choice(places)
        whole = path.read_bytes()
        data = bytearray(whole)
        data[rng.randrange(low, high)] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        try:
            use()
            yield False
        except DataError:
            yield True
        path.write_bytes(whole)


def _manifest(folder: Path) -> tuple[list[Place], Use]:
    path = folder / "manifest.parquet"
    write_manifest(records(1)[:200], path)
    return _whole([path]), lambda: read_manifest(path)


def _published(folder: Path) -> tuple[list[Place], Use]:
    model = folder / "model"
    (model / "tokenizer").mkdir(parents=True)
    for name in ("model.safetensors", "config.json", "tokenizer/tokenizer.json", "version.json"):
        (model / name).write_bytes(np.random.default_rng(len(name)).bytes(3_000))
    digest = write_digests(model)
    return _whole(model.rglob("*")), lambda: verify_digests(model, digest)


def _features(folder: Path) -> tuple[list[Place], Use]:
    store = folder / "store"
    spec = FeatureSpec("tower", {"tokens": ((8, 64), "float16"), "embedding": ((16,), "float32")})
    with FeatureWriter.open(store, spec) as writer:
        for index in range(20):
            key = hashlib.sha256(str(index).encode()).hexdigest()
            generator = np.random.default_rng(index)
            writer.add(key, tokens=generator.standard_normal((8, 64)).astype(np.float16),
                       embedding=generator.standard_normal(16).astype(np.float32))  # fmt: skip
        digest = writer.close()
    files = [*store.glob("*.safetensors"), store / index_name(digest)]
    return _whole(files), lambda: FeatureStore.open(store, digest=digest)


def _images(folder: Path) -> tuple[list[Place], Use]:
    write_dataset(folder / "photos", 8)
    config = ValidationConfig(num_workers=1)
    dataset = str(folder / "photos/dataset.jsonl")
    validate(dataset, "", config, folder / "m.parquet", folder / "out")
    write_shards(folder / "m.parquet", str(folder / "shards"))
    validate(str(folder / "shards"), "", config, folder / "tars.parquet", folder / "out")
    in_files, in_tars = read_manifest(folder / "m.parquet"), read_manifest(folder / "tars.parquet")
    places = _whole(Path(record.uri) for record in in_files)
    for record in in_tars:
        shard, _, place = record.uri.rpartition("#")
        offset, num_bytes = map(int, place.partition(":")[0].split("+"))
        places.append((Path(shard), offset, offset + num_bytes))

    def use() -> None:
        for record in (*in_files, *in_tars):
            read_image(record.uri, record.sha256)

    return places, use
