"""What to install where a package is missing: every optional import has an extra."""

import ast
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from dico.process.extras import advice, extra_of

ROOT = Path(__file__).parents[2]
BASE = {"jinja2", "markupsafe", "numpy", "PIL", "rich", "typer", "click"}
OURS = {"dico", "dico_components", "dico_pipelines"}
BY_OTHERS = {
    "aiohttp",  # of model-registry
    "ftfy",  # of open_clip_torch
    "google",  # protobuf, of kfp
    "huggingface_hub",  # of transformers
    "kfp_server_api",  # of kfp
    "kubernetes",  # of kfp
    "mr_openapi",  # of model-registry
    "nltk",
    "pycocotools",  # of pycocoevalcap
    "requests",  # of kfp
    "torchvision",  # of open_clip_torch
    "transformer_engine",
    "urllib3",  # of boto3 and of kfp
}
"""Come with a package that is imported first."""


@pytest.mark.parametrize(
    ("module", "extra"),
    [
        ("torch", "train"),
        ("open_clip", "train"),
        ("tokenizers", "train"),
        ("pyarrow", "data"),
        ("boto3", "s3"),
        ("botocore", "s3"),
        ("cryptography", "sign"),
        ("kfp", "pipelines"),
        ("great_expectations", "validate"),
        ("pandas", "validate"),
        ("uvicorn", "serve"),
        ("model_registry", "kubeflow"),
        ("mlflow", "mlflow"),
        ("numpy", ""),
        ("no_such_package", ""),
    ],
)
def test_the_extra_that_brings_a_module(module, extra):
    assert extra_of(module) == extra


def test_every_import_is_of_the_base_or_has_an_extra():
    unknown = {}
    for folder in ("dico", "components", "pipelines"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    names = [node.module or ""]
                for name in names:
                    top = name.partition(".")[0]
                    known = top in sys.stdlib_module_names or top in BASE | OURS | BY_OTHERS
                    if not known and not extra_of(top):
                        unknown[top] = str(path.relative_to(ROOT))
    assert unknown == {}


def test_a_missing_package_is_one_line_and_exit_2(tmp_path):
    """As in an environment without it: nothing is imported that a blocked finder refuses."""
    code = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('torch', 'pandas', 'great_expectations', 'pyarrow'):\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from dico.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    (tmp_path / "a.jsonl").write_text('{"image": "a.jpg", "captions": ["a dog"]}\n')
    for arguments, line in (
        (["train", "evaluator", "--manifest", "m", "--output", "o"], "[data]'"),
        (["validate", "a.jsonl"], "pip install 'dico-captioner["),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 2, done.stderr
        assert done.stderr.count("\n") == 1, done.stderr
        assert "is not installed; pip install 'dico-captioner[" in done.stderr
        assert line in done.stderr


def test_the_line_names_this_distribution():
    assert advice("torch.nn") == "torch is not installed; pip install 'dico-captioner[train]'"
    assert advice("no_such_package") == ""
    assert importlib.metadata.version("dico-captioner")
