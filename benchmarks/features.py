"""Reading stored features: a random row, one after another, from a disk and from an object store.

Run: python benchmarks/features.py [--images 400] [--folder DIR] [--s3 s3://bucket/prefix]

Rows are those of a ViT-L/14 tower (257 x 1024, float16, 526 kB). Compared is a safetensors file per
image. Cold figures are taken after asking the kernel to drop the files' pages. With ``--s3`` (and
the usual AWS variables) the store is also read from there: first with an empty local copy, of which
a part is read and only that is fetched, then with the copy; by one process and by several.
"""

import argparse
import contextlib
import hashlib
import json
import os
import platform
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from dico.features.store import FeatureSpec, FeatureStore, FeatureWriter
from dico.storage import open_store

SHAPE = (257, 1024)
BATCH = 8
COLD_ROUNDS = 3
SPEC = FeatureSpec("benchmark", {"tokens": (SHAPE, "float16")})


def main() -> None:
    """Writes a store, reads it in several ways, prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=400, help="images in the store")
    parser.add_argument("--folder", default="", help="where to write; a temporary folder")
    parser.add_argument("--s3", default="", help="s3:// prefix to measure an object store with")
    parser.add_argument("--workers", type=int, default=4, help="processes that read at once")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder or None) as folder:
        result = measure(Path(folder), arguments.images, arguments.workers)
        if arguments.s3:
            remote = Path(folder) / "remote"
            result |= measure_remote(remote, arguments.s3, arguments.images, arguments.workers)
        print(json.dumps(result, indent=1))


def measure(folder: Path, num_images: int, num_workers: int) -> dict[str, object]:
    """All figures of a disk."""
    keys = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(num_images)]
    spec = SPEC
    generator = np.random.default_rng(0)
    rows = generator.standard_normal((16, *SHAPE)).astype(np.float16)
    start = time.perf_counter()
    with FeatureWriter.open(folder / "store", spec) as writer:
        for index, key in enumerate(keys):
            writer.add(key, tokens=rows[index % 16])
    write_seconds = time.perf_counter() - start
    (folder / "files").mkdir()
    for index, key in enumerate(keys):
        save_file({"tokens": rows[index % 16]}, folder / "files" / key)
    start = time.perf_counter()
    FeatureStore.open(folder / "store")  # a store of its own: its maps would keep the pages
    verify_seconds = time.perf_counter() - start
    batches = [list(generator.choice(keys, BATCH)) for _ in range(100)]
    one = [[key] for key in generator.choice(keys, 200)]
    gigabytes = spec.num_bytes(num_images) / 1e9

    def by_file(batch: list[str]) -> None:
        np.stack([load_file(folder / "files" / key)["tokens"] for key in batch])

    def raw() -> None:
        for path in (folder / "store").iterdir():
            with open(path, "rb", buffering=0) as file:
                while file.read(1 << 22):
                    pass

    def in_order() -> None:
        cold_store = FeatureStore.open(folder / "store", verify=False)
        for low in range(0, num_images, BATCH):
            cold_store.read(keys[low : low + BATCH], "tokens")

    # A virtual disk is cached by its host too: a first round, not counted, makes both sides equal.
    rounds = [
        [gigabytes / _seconds_cold(read, folder / "store") for read in (raw, in_order)]
        for _ in range(COLD_ROUNDS + 1)
    ][1:]
    disk, cold = (statistics.median(rates) for rates in zip(*rounds, strict=True))
    shares = [ours / plain for plain, ours in rounds]
    store = FeatureStore.open(folder / "store", verify=False)
    return {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "load_average": os.getloadavg()[0],
        "num_images": num_images,
        "gigabytes": round(gigabytes, 3),
        "write_gigabytes_per_second": round(gigabytes / write_seconds, 3),
        "verify_gigabytes_per_second": round(gigabytes / verify_seconds, 3),
        "one_random_row_ms": _spread([_timed(store.read, b) for b in one]),
        "random_batch_of_8_ms": _spread([_timed(store.read, b) for b in batches]),
        "warm_images_per_second": round(_rate(store, batches)),
        f"warm_images_per_second_{num_workers}_processes": _rate_of_several(
            store, batches, num_workers
        ),
        "file_per_image_batch_of_8_ms": _spread([_timed_plain(by_file, b) for b in batches]),
        "cold_sequential_gigabytes_per_second": round(cold, 3),
        "disk_sequential_gigabytes_per_second": round(disk, 3),
        "share_of_disk": round(statistics.median(shares), 3),
        "share_of_disk_range": [round(min(shares), 3), round(max(shares), 3)],
    }


def measure_remote(folder: Path, uri: str, num_images: int, num_workers: int) -> dict[str, object]:
    """All figures of an object store; half of its images are never asked for."""
    name = uuid.uuid4().hex[:8]
    prefix = f"{uri.rstrip('/')}/{name}"
    keys = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(num_images)]
    generator = np.random.default_rng(0)
    rows = generator.standard_normal((16, *SHAPE)).astype(np.float16)
    os.environ["DICO_CACHE"] = str(folder / "writer")
    start = time.perf_counter()
    with FeatureWriter.open(prefix, SPEC) as writer:
        for index, key in enumerate(keys):
            writer.add(key, tokens=rows[index % 16])
    write_seconds = time.perf_counter() - start
    wanted = list(generator.permutation(keys[: num_images // 2]))
    batches = [wanted[low : low + BATCH] for low in range(0, len(wanted), BATCH)]
    figures: dict[str, object] = {
        "s3_write_gigabytes_per_second": round(SPEC.num_bytes(num_images) / 1e9 / write_seconds, 3)
    }
    for processes in (1, num_workers):
        os.environ["DICO_CACHE"] = str(folder / f"reader-{processes}")
        start = time.perf_counter()
        store = FeatureStore.open(prefix)
        figures["s3_open_seconds"] = round(time.perf_counter() - start, 3)
        for state in ("first", "copied"):
            rate = _rate_of_several(store, batches, processes)
            figures[f"s3_{state}_images_per_second_{processes}_processes"] = rate
        copied = sum(512 * path.stat().st_blocks for path in Path(store.folder).iterdir())
        figures["s3_share_of_the_store_copied"] = round(copied / SPEC.num_bytes(num_images), 3)
    open_store(uri).delete(name)
    return figures


def _rate(store: FeatureStore, batches: list[list[str]]) -> float:
    """Images a second of all batches."""
    start = time.perf_counter()
    for batch in batches:
        store.read(batch, "tokens")
    return sum(map(len, batches)) / (time.perf_counter() - start)


def _rate_of_several(store: FeatureStore, batches: list[list[str]], num_processes: int) -> int:
    """Images a second of all batches, dealt to forked processes."""
    if num_processes == 1:
        return round(_rate(store, batches))
    start = time.perf_counter()
    children = []
    for number in range(num_processes):
        child = os.fork()
        if not child:
            try:
                _rate(store, batches[number::num_processes])
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    return round(sum(map(len, batches)) / (time.perf_counter() - start))


def _timed(read: Callable[[list[str], str], object], keys: list[str]) -> float:
    start = time.perf_counter()
    read(keys, "tokens")
    return 1000 * (time.perf_counter() - start)


def _timed_plain(read: Callable[[list[str]], object], keys: list[str]) -> float:
    start = time.perf_counter()
    read(keys)
    return 1000 * (time.perf_counter() - start)


def _spread(values: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 4),
        "p90": round(float(np.quantile(values, 0.9)), 4),
    }


def _seconds_cold(read: Callable[[], None], folder: Path) -> float:
    _drop_pages(folder)
    start = time.perf_counter()
    read()
    return time.perf_counter() - start


def _drop_pages(folder: Path) -> None:
    """Empties the kernel's cache where we may, else asks it to forget the folder's files."""
    for path in folder.iterdir():
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
    with contextlib.suppress(PermissionError, FileNotFoundError):
        Path("/proc/sys/vm/drop_caches").write_text("1")


if __name__ == "__main__":
    main()
