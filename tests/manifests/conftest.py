"""Rendered manifests, by kubectl or kustomize, whichever is there."""

import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest
import yaml

MANIFESTS = Path(__file__).parents[2] / "manifests"


@pytest.fixture(scope="session")
def render():
    """Renders a folder of kustomize below manifests/, or an absolute one, to a list of objects."""
    kubectl, kustomize = shutil.which("kubectl"), shutil.which("kustomize")
    if not kubectl and not kustomize:
        pytest.skip("neither kubectl nor kustomize is installed")
    command = [kustomize, "build"] if kustomize else [kubectl, "kustomize"]

    @cache
    def rendered(folder):
        done = subprocess.run(
            [*command, str(MANIFESTS / folder)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return list(yaml.load_all(done.stdout, Loader=yaml.CSafeLoader))

    return rendered
