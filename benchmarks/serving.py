"""Latency and throughput of ``dico serve`` at 1, 8 and 64 clients, and how many requests failed.

    python -m benchmarks.serving [--registry runs/registry | --model FOLDER] [--quick]

The server is a process of its own. Each client keeps one connection and sends its next image when
the answer to the last has come. Requests are POST /caption with PNG files of rendered scenes.
"""

import argparse
import asyncio
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import write
from dico.data.toy.config import ToyConfig
from dico.data.toy.world import write_toy_dataset

NUM_IMAGES = 64


def main() -> None:
    """Measures, prints and writes results/serving.json."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--registry", default="runs/registry")
    parser.add_argument("--model", default="", help="name, name@3, or a version's folder")
    parser.add_argument("--quick", action="store_true", help="a hundredth of the requests")
    options = parser.parse_args()
    num_requests = {1: 1_000, 8: 3_000, 64: 6_000}
    if options.quick:
        num_requests = {clients: max(number // 100, 64) for clients, number in num_requests.items()}
    images = make_images()
    process, port = start(options.model, options.registry)
    try:
        asyncio.run(wait_ready(port))
        asyncio.run(load(port, images, 8, 64))
        rows = {
            str(clients): asyncio.run(load(port, images, clients, number))
            for clients, number in num_requests.items()
        }
        memory_mb = resident_mb(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)
    failed = sum(int(row["failed"]) for row in rows.values())
    result = {
        "clients": rows,
        "requests": sum(num_requests.values()),
        "failed": failed,
        "server_memory_mb": memory_mb,
        "exit_code": code,
    }
    if options.quick:
        print(json.dumps(result, indent=1))
    else:
        write("serving", result)
    sys.exit(bool(failed or code))


def make_images() -> list[bytes]:
    """Files of rendered scenes."""
    config = ToyConfig(num_train=NUM_IMAGES, num_validation=1, num_test=1)
    with tempfile.TemporaryDirectory() as folder:
        write_toy_dataset(Path(folder), config, seed=7)
        paths = sorted(Path(folder).rglob("train-*.png"))[:NUM_IMAGES]
        return [path.read_bytes() for path in paths]


def start(model: str, registry: str) -> tuple[subprocess.Popen[str], int]:
    """The server's process and its port."""
    arguments = [model, "--registry", registry, "--port", "0", "--settings", "linger_seconds=0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "dico", "serve", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        sys.exit("the server did not start")
    return process, int(line.rsplit(":", 1)[1])


async def wait_ready(port: int) -> None:
    """Returns when the server is ready."""
    for _ in range(600):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /v2/health/ready HTTP/1.1\r\nHost: dico\r\n\r\n")
        status, _ = await read_answer(reader)
        writer.close()
        if status == 200:
            return
        await asyncio.sleep(0.1)
    raise TimeoutError("the server is not ready after a minute")


async def load(port: int, images: list[bytes], num_clients: int, number: int) -> dict[str, float]:
    """Sends ``number`` requests by ``num_clients`` clients; latencies in milliseconds."""
    turns = itertools.cycle(images)
    left = iter(range(number))
    seconds: list[float] = []
    failed = 0

    async def client() -> None:
        nonlocal failed
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in left:
            data = next(turns)
            head = f"POST /caption HTTP/1.1\r\nHost: dico\r\nContent-Length: {len(data)}\r\n\r\n"
            started = time.perf_counter()
            writer.write(head.encode() + data)
            status, body = await read_answer(reader)
            seconds.append(time.perf_counter() - started)
            failed += status != 200 or b'"caption":"' not in body
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(num_clients)))
    wall = time.perf_counter() - started
    cuts = statistics.quantiles(seconds, n=100)
    return {
        "requests": len(seconds),
        "failed": failed,
        "p50_ms": round(1000 * cuts[49], 1),
        "p99_ms": round(1000 * cuts[98], 1),
        "requests_per_second": round(len(seconds) / wall, 1),
    }


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of one answer with a Content-Length."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return int(head.split(b" ", 2)[1]), await reader.readexactly(length)


def resident_mb(pid: int) -> float:
    """Memory of the server itself, without its decoders."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    kilobytes = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    return round(kilobytes / 1024, 1)


if __name__ == "__main__":
    main()
