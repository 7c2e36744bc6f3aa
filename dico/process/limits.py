"""CPUs and memory that this process may use: those of its container, not those of the node.

A container's limits are set in a control group, of version 2 (one tree) or 1 (one tree for each
kind). Python and torch see the whole node, and would start a thread for each of its cores.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT = Path("/")
THREADS_VARIABLE = "OMP_NUM_THREADS"
WAIT_VARIABLES = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
"""Threads that wait for each other sleep. By default they spin, and where another process wants the
same core, or the container's quota is used up, the one that is waited for does not get to run."""

_set_here = False
"""Whether the number of threads is this module's and not the user's."""

_UNLIMITED_BYTES = 1 << 60  # version 1 writes a number near 2^63 for "no limit"


def num_cpus(root: Path = ROOT) -> float:
    """CPUs that this process may use, fractions included."""
    allowed = float(len(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else 0.0
    return min([allowed or float(os.cpu_count() or 1), *_quotas(root)])


def num_threads(root: Path = ROOT) -> int:
    """Threads that compute without being held back: whole CPUs, at least one."""
    return max(1, int(num_cpus(root)))


def memory_limit_bytes(root: Path = ROOT) -> int | None:
    """What this process's container may use of the memory; None where there is no limit."""
    texts = [
        *_read(root, "", "memory.max"),
        *_read(root, "memory", "memory.limit_in_bytes"),
    ]
    limits = [int(text) for text in texts if text.isdigit()]
    return min((limit for limit in limits if limit < _UNLIMITED_BYTES), default=None)


def memory_bytes(root: Path = ROOT) -> int:
    """Memory that this process may use: the machine's, or its container's where that is less."""
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(installed, memory_limit_bytes(root) or installed)


def thread_variables(root: Path = ROOT) -> dict[str, str]:
    """Variables by which numerical libraries start as many threads as there are CPUs for them."""
    return {THREADS_VARIABLE: str(num_threads(root)), **WAIT_VARIABLES}


def apply_to_threads() -> None:
    """Sets `thread_variables` for this process and its children, where nobody has set them.

    They are read when torch is imported; where it is there already, it is told its number.
    """
    global _set_here
    if THREADS_VARIABLE in os.environ:
        return
    _set_here = True
    os.environ.update({**thread_variables(), **os.environ})
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(num_threads())


def threads_of_each(num_processes: int) -> int | None:
    """Threads for each of several processes that share the CPUs; None where the user says it."""
    if THREADS_VARIABLE in os.environ and not _set_here:
        return None
    return max(1, num_threads() // num_processes)


def _quotas(root: Path) -> Iterator[float]:
    for text in _read(root, "", "cpu.max"):
        quota, _, period = text.partition(" ")
        if quota.isdigit():
            yield int(quota) / int(period or 100_000)
    quotas = _read(root, "cpu", "cpu.cfs_quota_us")
    periods = _read(root, "cpu", "cpu.cfs_period_us")
    for quota, period in zip(quotas, periods, strict=False):
        if quota.isdigit():  # -1 is no limit
            yield int(quota) / int(period)


def _read(root: Path, controller: str, name: str) -> list[str]:
    """A file's text in this process's group and in those above it; inner groups first."""
    mount = root / "sys/fs/cgroup" / controller
    group = PurePosixPath(_group(root, controller)).relative_to("/")
    # In a container the group's name may be the node's, and its files lie at the mount itself.
    folders = [mount / part for part in (group, *group.parents)]
    texts = []
    for folder in dict.fromkeys(folders):
        try:
            texts.append((folder / name).read_text().strip())
        except OSError:
            continue
    return texts


def _group(root: Path, controller: str) -> str:
    """The name of this process's group, by the controller of version 1 or empty for version 2."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return "/"
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controller in controllers.split(",") and name.startswith("/") and ".." not in name:
            return name
    return "/"
