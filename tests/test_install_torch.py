"""scripts/install-torch: the CPU build wherever one can be had, one clear line where none can."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "install-torch"

# Stands in for an environment's interpreter: notes what is asked of it, and fails where told to.
INTERPRETER = """#!/bin/sh
echo "$@" >> "$CALLS"
case "$*" in
    -c*) exit "$INSTALLED" ;;
    *+cpu) exit "$WHEEL" ;;
    "-m uv"*) exit "$UV" ;;
esac
"""


def install(tmp_path, *, installed=1, wheel=1, uv=1, gpu=False, build=""):
    """The calls that the script makes, and what it says."""
    python = tmp_path / "python"
    python.write_text(INTERPRETER)
    smi = tmp_path / "bin" / "nvidia-smi"
    smi.parent.mkdir()
    smi.write_text(f"#!/bin/sh\nexit {0 if gpu else 1}\n")
    for path in (python, smi):
        path.chmod(0o755)
    (tmp_path / "constraints.txt").write_text("numpy==2\ntorch==2.13.0\n")
    environment = {
        "PATH": f"{smi.parent}{os.pathsep}{os.environ['PATH']}",
        "CALLS": str(tmp_path / "calls"),
        "INSTALLED": str(installed),
        "WHEEL": str(wheel),
        "UV": str(uv),
        "TORCH_BUILD": build,
    }
    command = [str(SCRIPT), str(python), str(tmp_path / "constraints.txt")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    calls = [line for line in (tmp_path / "calls").read_text().splitlines() if line[:2] == "-m"]
    return [call.split()[-1] for call in calls], done.stderr


def test_an_installed_torch_is_left_alone(tmp_path):
    assert install(tmp_path, installed=0) == ([], "")


def test_a_cpu_wheel_that_pip_finds_is_taken(tmp_path):
    assert install(tmp_path, wheel=0) == (["torch==2.13.0+cpu"], "")


def test_else_uv_is_asked_for_the_cpu_build(tmp_path):
    calls, said = install(tmp_path, uv=0)
    assert calls == ["torch==2.13.0+cpu", "uv", "torch==2.13.0"]
    assert said == ""


def test_without_any_cpu_build_the_default_comes_with_one_line(tmp_path):
    calls, said = install(tmp_path)
    assert calls == ["torch==2.13.0+cpu", "uv", "torch==2.13.0", "torch==2.13.0"]
    assert said.count("\n") == 1
    assert "no CPU build of torch 2.13.0 can be reached" in said


@pytest.mark.parametrize("how", [{"gpu": True}, {"build": "default"}])
def test_a_gpu_or_a_wish_gets_the_default_build(tmp_path, how):
    assert install(tmp_path, **how) == (["torch==2.13.0"], "")


def test_a_wish_for_cpu_counts_beside_a_gpu(tmp_path):
    assert install(tmp_path, gpu=True, build="cpu", wheel=0) == (["torch==2.13.0+cpu"], "")
