"""The wheel holds every file that the packages read, and pipelines compile as KFP's users type it."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from dico.report.run_notes import RUN_VARIABLE
from dico.storage.places import WORK_VARIABLE
from dico_pipelines import variables

ROOT = Path(__file__).parents[1]
PACKAGES = {"dico": "dico", "components": "dico_components", "pipelines": "dico_pipelines"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from the files that git knows."""
    sources, made = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a checkout")
    for name in listed.stdout.split():
        if (ROOT / name).is_file() and not name.startswith(("tests/", "benchmarks/", "docs/")):
            (sources / name).parent.mkdir(parents=True, exist_ok=True)
            (sources / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "."]
    subprocess.run([*command, "-w", made], cwd=sources, check=True, capture_output=True)
    (path,) = made.glob("*.whl")
    return path


def test_the_wheel_holds_every_file_of_the_packages(wheel):
    held = set(zipfile.ZipFile(wheel).namelist())
    missing = []
    for folder, package in PACKAGES.items():
        listed = subprocess.run(
            ["git", "ls-files", folder], cwd=ROOT, capture_output=True, text=True, check=True
        )
        for name in listed.stdout.split():
            inside = f"{package}/{Path(name).relative_to(folder)}"
            if (ROOT / name).is_file() and inside not in held:
                missing.append(name)
    assert missing == []


def test_nothing_generic_is_installed(wheel):
    tops = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if ".dist-info" not in top} == set(PACKAGES.values())


@pytest.mark.parametrize("name", ["dico", "retrain", "evaluate", "caption"])
def test_kfp_compiles_a_pipelines_file(tmp_path, name):
    """Though KFP imports pipelines/dico.py under the library's own name."""
    output = tmp_path / f"{name}.yaml"
    kfp = Path(sys.executable).with_name("kfp")
    command = [str(kfp), "dsl", "compile", "--output", str(output)]
    done = subprocess.run(
        [*command, "--py", str(ROOT / "pipelines" / f"{name}.py")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert output.read_text() == (ROOT / "pipelines" / f"{name}.yaml").read_text()


def test_names_of_variables_are_the_librarys():
    assert (variables.RUN_VARIABLE, variables.WORK_VARIABLE) == (RUN_VARIABLE, WORK_VARIABLE)
