"""scripts/mend-torchvision: an environment whose torchvision does not fit its torch imports it after."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "mend-torchvision"

# As torchvision does it: an operator is looked up that only its compiled library declares.
TORCHVISION = """
import torch
torch.library.register_fake("torchvision::nms", lambda dets, scores, threshold: dets)
"""


@pytest.fixture
def python(tmp_path):
    """An environment of its own that sees this one's packages, and a torchvision without operators."""
    venv.create(tmp_path / "env", symlinks=True)
    python = tmp_path / "env" / "bin" / "python"
    asked = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    site = Path(subprocess.check_output([python, "-c", asked], text=True).strip())
    (site / "torchvision").mkdir()
    (site / "torchvision" / "__init__.py").write_text(TORCHVISION)
    import torch

    (site / "others.pth").write_text(str(Path(torch.__file__).parents[1]) + "\n")
    return python


def imports(python):
    done = subprocess.run([python, "-c", "import torchvision"], capture_output=True, text=True)
    return done.returncode == 0, done.stderr


def test_the_import_fails_before_and_works_after(python):
    works, said = imports(python)
    assert not works
    assert "operator torchvision::nms does not exist" in said
    subprocess.run([SCRIPT, python], check=True, capture_output=True)
    assert imports(python) == (True, "")


def test_what_works_is_left_alone(tmp_path, python):
    site = next((tmp_path / "env").rglob("torchvision")).parent
    (site / "torchvision" / "__init__.py").write_text("")
    before = sorted(os.listdir(site))
    subprocess.run([SCRIPT, python], check=True)
    assert sorted(name for name in os.listdir(site) if name != "__pycache__") == before
    assert sys.executable != str(python)
