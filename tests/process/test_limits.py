"""Limits of containers, read from control groups of both versions."""

import os
import subprocess
import sys

import pytest

from dico.process import limits

CPUS = float(len(os.sched_getaffinity(0)))


def machine(folder, files):
    """A file system with ``files``, path to text."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


V2 = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "4294967296\n"}
V1 = {
    "proc/self/cgroup": "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/x\n",
    "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000\n",
    "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "1073741824\n",
}


@pytest.mark.parametrize(
    ("text", "cpus", "threads"),
    [
        ("50000 100000", 0.5, 1),
        ("100000 100000", 1.0, 1),
        ("5000 20000", 0.25, 1),
        ("max 100000", CPUS, int(CPUS)),
    ],
)
def test_cpus_of_version_2(tmp_path, text, cpus, threads):
    root = machine(tmp_path, {**V2, "sys/fs/cgroup/cpu.max": f"{text}\n"})
    assert limits.num_cpus(root) == cpus
    assert limits.num_threads(root) == threads
    assert limits.memory_limit_bytes(root) == 4 << 30


def test_limits_of_version_1_where_the_group_has_the_nodes_name(tmp_path):
    root = machine(tmp_path, V1)
    assert limits.num_cpus(root) == 0.5
    assert limits.memory_limit_bytes(root) == 1 << 30
    assert limits.memory_bytes(root) <= 1 << 30


def test_no_limit_of_version_1(tmp_path):
    unlimited = {
        "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    }
    root = machine(tmp_path, {**V1, **unlimited})
    assert limits.num_cpus(root) == CPUS
    assert limits.memory_limit_bytes(root) is None


def test_the_strictest_group_on_the_way_counts(tmp_path):
    files = {
        "proc/self/cgroup": "0::/pod/main\n",
        "sys/fs/cgroup/pod/main/cpu.max": "max 100000\n",
        "sys/fs/cgroup/pod/cpu.max": "30000 100000\n",
        "sys/fs/cgroup/pod/main/memory.max": "max\n",
        "sys/fs/cgroup/pod/memory.max": "2147483648\n",
    }
    root = machine(tmp_path, files)
    assert limits.num_cpus(root) == 0.3
    assert limits.memory_limit_bytes(root) == 2 << 30


def test_a_machine_without_groups(tmp_path):
    assert limits.num_cpus(tmp_path) == CPUS
    assert limits.memory_limit_bytes(tmp_path) is None


@pytest.mark.parametrize(("first", "given", "expected"), [
    ("", {}, "1 PASSIVE"),
    ("import torch;", {}, "1 PASSIVE"),
    ("", {"OMP_NUM_THREADS": "2"}, "2 None"),
])  # fmt: skip
def test_torch_gets_the_threads_of_the_container(first, given, expected):
    code = (
        f"{first}import os; from dico.process import limits; limits.num_threads = lambda *_: 1;"
        "limits.apply_to_threads(); import torch;"
        "print(torch.get_num_threads(), os.environ.get('OMP_WAIT_POLICY'))"
    )
    names = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY")
    environment = {k: v for k, v in os.environ.items() if k not in names} | given
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.strip() == expected


def test_ranks_share_the_cpus_unless_the_user_says_otherwise(monkeypatch):
    monkeypatch.setattr(limits, "num_threads", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert limits.threads_of_each(2) == 4
    assert limits.threads_of_each(16) == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert limits.threads_of_each(2) is None
    monkeypatch.setattr(limits, "_set_here", True)
    assert limits.threads_of_each(2) == 4
