"""B4: registrations race, answers get lost, readers look on: numbers stay right, versions whole."""

import json
import os
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dico.errors import DicoError
from dico.registry import open_registry
from dico.storage import open_store, s3_objects
from dico.storage.local import LocalStore
from dico.storage.retry import RetryPolicy
from tests.reliability.result import CONTROL, Result, count
from tests.reliability.s3_server import BUCKET, s3_server
from tests.storage.faulty_proxy import FaultyProxy

IDS = ("B4",)
LOST_SHARE = 0.1


def check(full: bool) -> list[Result]:
    """Races of 2 and 8 writers on a folder and on S3, readers beside them, and two controls."""
    rounds, num_reads = (100, 1000) if full else (5, 60)
    rows = []
    with tempfile.TemporaryDirectory(prefix="race-") as temporary, s3_server() as endpoint:
        folder = Path(temporary)
        for writers in (2, 8):
            rows.append(_races(folder / f"local{writers}", folder, writers, rounds, "a folder"))
        for writers in (2, 8):
            rows.append(_lossy_races(endpoint, folder, writers, rounds))
        rows.append(_reads(str(folder / "reads"), folder, num_reads, "a folder"))
        rows.append(_reads(f"s3://{BUCKET}/{folder.name}/reads", folder, num_reads, "S3"))
        rows.append(_control(folder, rounds))
    return rows


def _races(uri: object, folder: Path, writers: int, rounds: int, where: str) -> Result:
    name = f"{writers} writers race on {where}: one winner per number, no gaps, nothing overwritten"
    return count("B4", name, (_race(f"{uri}/{k}", folder, writers) for k in range(rounds)))


def _lossy_races(endpoint: str, folder: Path, writers: int, rounds: int) -> Result:
    before = s3_objects.RetryPolicy
    s3_objects.RetryPolicy = lambda: RetryPolicy(base_seconds=0.01)  # type: ignore[assignment,misc]
    with FaultyProxy(endpoint, ("lost answer",), LOST_SHARE, seed=writers) as proxy:
        os.environ["AWS_ENDPOINT_URL_S3"] = proxy.url
        try:
            uri = f"s3://{BUCKET}/{folder.name}/w{writers}"
            row = _races(uri, folder, writers, rounds, "S3 that loses answers")
        finally:
            os.environ["AWS_ENDPOINT_URL_S3"] = endpoint
            s3_objects.RetryPolicy = before  # type: ignore[misc]
        note = f"{proxy.counts['lost answer']} of {proxy.counts['requests']} answers lost"
    return Result(row.id, row.name, row.passed, row.total, row.seconds, note)


def _race(uri: str, folder: Path, writers: int) -> bool:
    """One model is there; all writers register theirs at once. Whether all is as promised."""
    first = open_registry(uri).register("toy", _model(folder, "first"), {}, "first")
    record = open_store(uri).read_bytes("toy/versions/000001.json")
    start = threading.Barrier(writers)

    def write(writer: int) -> int:
        registry = open_registry(uri)
        made = _model(folder, f"writer {writer}")
        start.wait()
        return registry.register("toy", made, {"writer": writer}, f"writer {writer}").number

    with ThreadPoolExecutor(writers) as pool:
        numbers = list(pool.map(write, range(writers)))
    registry = open_registry(uri)
    found = registry.versions("toy")
    own = {v.metadata["writer"]: v.number for v in found[1:]}
    return (
        sorted(numbers) == list(range(2, writers + 2))
        and [version.number for version in found] == list(range(1, writers + 2))
        and own == dict(enumerate(numbers))
        and found[0] == first
        and open_store(uri).read_bytes("toy/versions/000001.json") == record
    )


def _reads(uri: str, folder: Path, num_reads: int, where: str) -> Result:
    """A writer publishes version after version while a reader takes the newest it can see."""
    done = threading.Event()

    def write() -> None:
        registry = open_registry(uri)
        number = 0
        while not done.is_set():
            number += 1
            registry.register("toy", _model(folder, f"read {number}", 6), {}, f"read {number}")
            registry.set_alias("toy", "champion", number, "newest")

    def reads() -> Iterator[bool]:
        registry = open_registry(uri)
        tries = 0
        while tries < num_reads:
            champion = registry.champion("toy")
            if champion is None:
                time.sleep(0.01)
                continue
            tries += 1
            try:
                # every digest is checked on the way, so half a version cannot pass
                got = registry.fetch(champion, folder / "cache" / str(tries))
                yield sum(1 for path in got.rglob("part-*") if path.is_file()) == 6
            except DicoError:
                yield False

    writer = threading.Thread(target=write)
    writer.start()
    try:
        return count(
            "B4", f"reads on {where} while versions are published: never a partial one", reads()
        )
    finally:
        done.set()
        writer.join()


def _control(folder: Path, rounds: int) -> Result:
    """Records written without the condition: some round loses a version."""
    created = LocalStore.create

    def careless(store: LocalStore, key: str, data: bytes) -> bool:
        time.sleep(0.001)
        store.write_bytes(key, data)
        return True

    LocalStore.create = careless  # type: ignore[method-assign]
    try:
        uri = folder / "careless"
        tries = [_careless_race(f"{uri}/{k}", folder) for k in range(max(3, rounds // 10))]
    finally:
        LocalStore.create = created  # type: ignore[method-assign]
    name = f"{CONTROL}without conditional writes versions are lost"
    return Result("B4", name, int(not all(tries)), 1, 0.0)


def _careless_race(uri: str, folder: Path) -> bool:
    try:
        return _race(uri, folder, 8)
    except DicoError:
        return False


def _model(folder: Path, name: str, num_parts: int = 1) -> Path:
    made = folder / "made" / f"{name}-{random.getrandbits(48):x}"
    made.mkdir(parents=True)
    for part in range(num_parts):
        (made / f"part-{part}").write_bytes(f"{name} {part}".encode() * 500)
    (made / "lineage.json").write_text(json.dumps(dict(Counter(name))))
    return made
