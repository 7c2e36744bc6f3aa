"""What importing costs and offers: no torch for light work, and every exported name is there."""

import importlib
import pkgutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

import dico

HEAVY = ("torch", "open_clip", "transformers", "great_expectations", "kfp", "boto3", "pandas")
MODULES = pkgutil.iter_modules(dico.__path__, "dico.")
PACKAGES = ["dico", *sorted(module.name for module in MODULES if module.ispkg)]


def loaded_by(code):
    """Which heavy libraries a fresh interpreter has loaded after ``code``."""
    listing = f"{code}\nimport sys\nprint(*[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    "code",
    [
        "import dico",
        "import dico.cli",
        "import dico.evaluation.gate, dico.process.progress, dico.process.exits, dico.process.provenance",
        "import dico.registry, dico.storage",
        "import dico.launching, dico.cli.cluster, dico.cli.doctor",
        "import dico_pipelines.trainjob.nodes, dico_pipelines.cluster.submitting",
        "import dico.report",
        "from dico.report import write_report",
        "from dico.steps.resolve_config import resolve_config; resolve_config('toy', '')",
        "from dico.steps.find_champion import find_champion",
        "from dico.steps.accept_dataset import accept_dataset; import dico.steps.step",
        "from dico.steps.preflight import preflight; import dico.steps.summarise_run",
        "from dico.steps.conclude_run import conclude_run",
        "from dico.steps.compare_models import compare_models",
    ],
)
def test_light_work_loads_nothing_heavy(code):
    assert loaded_by(code) == []


@pytest.mark.parametrize("name", PACKAGES)
def test_exported_names_exist(name):
    module = importlib.import_module(name)
    for exported in getattr(module, "__all__", []):
        assert getattr(module, exported) is not None, exported


@pytest.mark.parametrize("name", PACKAGES)
def test_exports_are_sorted_and_documented(name):
    module = importlib.import_module(name)
    exported = list(getattr(module, "__all__", []))
    # As ruff sorts them: constants, classes, functions.
    kinds = [(not name.isupper(), name[0].islower(), name) for name in exported]
    assert kinds == sorted(kinds)
    assert module.__doc__


def test_unknown_member_is_an_attribute_error():
    import dico.report

    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = dico.report.nothing


def test_every_data_file_is_packaged():
    """What lies beside the code is installed with it: presets, templates, pages."""
    root = Path(dico.__file__).parent
    settings = tomllib.loads((root.parent / "pyproject.toml").read_text())
    patterns = settings["tool"]["setuptools"]["package-data"]["*"]
    files = [p for p in root.rglob("*") if p.is_file() and p.suffix not in {".py", ".pyc"}]
    assert any(file.suffix == ".toml" for file in files)
    left_out = [str(f) for f in files if not any(fnmatch(f.name, p) for p in patterns)]
    assert not left_out
