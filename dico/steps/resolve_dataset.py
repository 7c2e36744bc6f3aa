"""Step: where the dataset is; renders the toy dataset where none is named."""

import dataclasses
import hashlib
from pathlib import Path
from typing import NamedTuple

from dico.configuration.schema import from_json, to_json
from dico.data.dataset_version import dataset_version
from dico.data.formats.columns import KNOWN_NAMES, Columns
from dico.data.toy.config import ToyConfig
from dico.data.toy.world import DATASET_FILE, toy_key, write_toy_dataset
from dico.errors import UsageError
from dico.process.provenance import code_digest
from dico.storage import open_store, write_digests


class Outputs(NamedTuple):
    """Places of the annotations and the images, and a text that changes when these do."""

    dataset: str
    images: str
    version: str


def resolve_dataset(
    dataset: str,
    images: str,
    toy: str,
    seed: int,
    store: str,
    format_name: str = "",
    columns: Columns = KNOWN_NAMES,
) -> Outputs:
    """Names the dataset to train on.

    Args:
        dataset: annotations, a path or s3:// URI; empty for the toy dataset.
        images: folder of the images; empty if the annotations hold their paths.
        toy: `ToyConfig` as JSON.
        seed: seed of the toy dataset, unless ``toy`` has one.
        store: folder or s3:// prefix that the toy dataset is rendered into, once.
        format_name: the dataset's format; empty means by content.
        columns: the columns that the settings name.

    Raises:
        DataError: the dataset is missing or of no known format.
        UsageError: neither a dataset nor a store is given, or the seed is negative.
    """
    if seed < 0:
        raise UsageError(f"seed: must not be negative, got {seed}")
    if dataset:
        return Outputs(dataset, images, dataset_version(dataset, images, format_name, columns))
    if not store:
        raise UsageError("store: empty; give a folder or s3://bucket/prefix for the toy dataset")
    config = from_json(ToyConfig, toy, "toy")
    seed = config.seed_of(seed)
    toy = to_json(dataclasses.replace(config, seed=seed))
    name = hashlib.sha256(f"{toy}\0{seed}\0{code_digest()}".encode()).hexdigest()[:16]
    key = toy_key(name)
    if not open_store(store).exists(f"{key}/digests.json"):
        _render(store, key, config, seed)
    return Outputs(f"{store.rstrip('/')}/{key}/{DATASET_FILE}", "", name)


def _render(store: str, key: str, config: ToyConfig, seed: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory(prefix="toy-") as working:
        folder = Path(working) / "toy"
        write_toy_dataset(folder, config, seed)
        write_digests(folder)
        open_store(store).publish(folder, key)
