"""Step: captions of a whole folder, bucket or dataset by a registered version.

Work is cut into parts. A part is kept at the destination when it is done, under a name made from
its images and the model, so a job that was killed goes on where it was, and one that is asked for
again does only what is new. An image that cannot be read gets a reason instead of a caption.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from dico.data.formats import detect, read_entries
from dico.errors import DataError, UsageError
from dico.images.load import load_image
from dico.policy.captioning import Caption, caption_features, policy_inputs
from dico.process.device import computing_device
from dico.process.progress import progress
from dico.registry import cache_folder, open_registry
from dico.registry.bundle import Bundle, load_version
from dico.storage import Store, atomic_write, open_store
from dico.storage.uris import IMAGE_SUFFIXES, list_files

NUM_READERS = 8
BATCH_SIZE = 32


class Outputs(NamedTuple):
    """How many images have a caption, and how many could not be read."""

    num_captions: int
    num_failed: int


class ToCaption(NamedTuple):
    """An image to caption."""

    image_id: str
    """Its id in the dataset, or its path below the folder."""
    uri: str
    """Where it is."""


def caption_batch(
    inputs: str,
    images: str,
    registry: str,
    model_name: str,
    version: str,
    destination: str,
    part_size: int,
    output_captions: str,
) -> Outputs:
    """Captions all images; see above for what happens when it is asked for twice.

    Raises:
        UsageError: no destination or an empty part.
        DataError: there are no images.
    """
    if not destination or part_size < 1:
        raise UsageError(f"destination {destination!r}, part_size {part_size}: give both")
    found = list_images(inputs, images)
    opened = open_registry(registry)
    registered = opened.get(model_name, int(version))
    bundle = load_version(opened.fetch(registered, cache_folder()), computing_device())
    store = open_store(destination)
    Path(output_captions).parent.mkdir(parents=True, exist_ok=True)
    num_failed = 0
    with (
        progress("captioning", total=len(found), unit="image") as bar,
        atomic_write(output_captions) as temporary,
        temporary.open("w", encoding="utf-8") as file,
    ):
        for start in range(0, len(found), part_size):
            part = found[start : start + part_size]
            rows = _part(part, bundle, store, registered.digest)
            num_failed += sum("reason" in row for row in rows)
            file.writelines(_line(row) for row in rows)
            bar.advance(len(part))
    store.upload(Path(output_captions), "captions.jsonl")
    return Outputs(len(found) - num_failed, num_failed)


def list_images(inputs: str, images: str = "") -> list[ToCaption]:
    """The images of a dataset, or all below a folder or prefix, in a fixed order.

    Raises:
        DataError: there are none.
    """
    root = f"{inputs.rstrip('/')}/"
    names = [] if images else [u for u in _files(inputs) if u.lower().endswith(IMAGE_SUFFIXES)]
    found = [ToCaption(uri.removeprefix(root), uri) for uri in names]
    if not found:
        entries = read_entries(detect(inputs, images))
        found = [
            ToCaption(entry.image_id or entry.uri, entry.uri) for entry in entries if entry.uri
        ]
    if not found:
        raise DataError(f"{inputs}: there are no images")
    return found


def _files(place: str) -> list[str]:
    is_folder = ("://" in place and not Path(place).suffix) or Path(place).is_dir()
    return list_files(place) if is_folder else []


def _part(
    part: Sequence[ToCaption], bundle: Bundle, store: Store, digest: str
) -> list[dict[str, Any]]:
    text = "\n".join([digest, *(f"{one.image_id}\t{one.uri}" for one in part)])
    key = f"parts/{hashlib.sha256(text.encode()).hexdigest()[:32]}.jsonl"
    if store.exists(key):
        return [json.loads(line) for line in store.read_bytes(key).decode().splitlines()]
    rows: list[dict[str, Any]] = []
    with ThreadPoolExecutor(NUM_READERS) as readers:
        for start in range(0, len(part), BATCH_SIZE):
            batch = part[start : start + BATCH_SIZE]
            rows += _caption(batch, list(readers.map(_read, batch)), bundle)
    store.write_bytes(key, "".join(map(_line, rows)).encode())
    return rows


def _read(one: ToCaption) -> Image.Image | str:
    """The image, or why it cannot be read."""
    try:
        return load_image(one.uri)
    except DataError as error:
        return str(error)


def _caption(
    batch: Sequence[ToCaption], read: Sequence[Image.Image | str], bundle: Bundle
) -> Iterable[dict[str, Any]]:
    good = [image for image in read if not isinstance(image, str)]
    captions: Iterator[Caption] = iter([])
    if good:
        inputs_of_good = policy_inputs(bundle.policy, bundle.tower, good)
        captions = iter(caption_features(bundle.policy, inputs_of_good, bundle.decoding))
    for one, image in zip(batch, read, strict=True):
        if isinstance(image, str):
            yield {"image_id": one.image_id, "uri": one.uri, "reason": image}
        else:
            caption = next(captions)
            row = {"image_id": one.image_id, "uri": one.uri, "caption": caption.text}
            yield row | {"logp": round(caption.logp, 6)}


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"
