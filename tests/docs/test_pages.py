"""Every command of every page exists with its options; what is short is run.

`make test-docs` runs the long ones too.
"""

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from dico.cli import build_app

ROOT = Path(__file__).parents[2]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
}
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_ASSIGNMENT = re.compile(r"[A-Z_]+=\S*")


def blocks(*languages):
    return [
        (page, text)
        for page, content in PAGES.items()
        for language, text in _BLOCK.findall(content)
        if language in languages
    ]


def commands():
    """Words of each line that calls dico; variables before it are left out."""
    found = []
    for page, text in blocks("", "bash", "sh", "console"):
        for line in text.replace("\\\n", " ").splitlines():
            try:
                words = shlex.split(line.removeprefix("$ "), comments=True)
            except ValueError:
                continue
            while words and _ASSIGNMENT.fullmatch(words[0]):
                words = words[1:]
            if words[:1] == ["dico"] and "..." not in words:
                found.append(pytest.param(words[1:], id=f"{page}: {' '.join(words)[:70]}"))
    return found


def test_pages_have_commands():
    assert len(commands()) > 40


@pytest.mark.parametrize("words", commands())
def test_a_command_of_a_page_is_understood(words, tmp_path, monkeypatch):
    """By the parser of the command line itself; nothing is run."""
    monkeypatch.chdir(tmp_path)
    for word in words:
        if re.fullmatch(r"[\w-]+\.tar", word):  # must be there to be parsed
            Path(word).touch()
    words = [word.strip("[]") for word in words if word not in ("&", ">", "2>&1")]
    parser = get_command(build_app(words))
    context = parser.make_context("dico", list(words), resilient_parsing=False)
    while hasattr(parser, "resolve_command"):
        rest = [*context._protected_args, *context.args]
        if not rest:
            return
        name, parser, rest = parser.resolve_command(context, rest)
        context = parser.make_context(name, list(rest), parent=context)


@pytest.mark.parametrize(
    ("page", "text"),
    [pytest.param(*block, id=f"{block[0]}-{n}") for n, block in enumerate(blocks("python"))],
)
def test_what_python_imports_is_there(page, text):
    tree = ast.parse(text)
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dico"):
            exec(compile(ast.Module([node], []), page, "exec"), {})


@pytest.mark.parametrize(("page", "number"), [("docs/metrics.md", 0), ("docs/coming-from.md", 0)])
def test_a_quickstart_runs_as_it_stands(page, number, tmp_path):
    text = [block for found, block in blocks("python") if found == page][number]
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "bleu_4" in done.stdout or "BLEU" in done.stdout or "[" in done.stdout


@pytest.mark.skipif(not os.environ.get("DICO_TEST_DOCS"), reason="minutes; make test-docs")
def test_the_site_builds_with_strict_links():
    mkdocs = Path(sys.executable).with_name("mkdocs")
    if not mkdocs.is_file():
        pytest.skip("pip install 'dico-captioner[docs]'")
    subprocess.run([sys.executable, "scripts/site"], cwd=ROOT, check=True)
    command = [mkdocs, "build", "--strict", "-f", "mkdocs.yml"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not os.environ.get("DICO_TEST_DOCS"), reason="minutes; make test-docs")
def test_the_toy_dataset_goes_through_the_pages_commands(tmp_path):
    """toy, validate, settings and evaluate, as the pages have them, from an empty folder."""
    dico = str(Path(sys.executable).with_name("dico"))
    small = ["--num-train", "20", "--num-validation", "4", "--num-test", "4"]
    for arguments in (
        ["toy", "--output", "toy", *small],
        ["validate", "toy/dataset.jsonl", "--no-near-duplicates"],
        ["settings", "photos", "xe"],
    ):
        done = subprocess.run([dico, *arguments], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
