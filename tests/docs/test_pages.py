"""Every command of every page exists with its options; what is short is run.

`make test-docs` runs the long ones too.
"""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.main import get_command

from dico.cli import build_app
from dico.presets.config import resolve
from tests.docs.pages import PAGES, ROOT, SHELLS, blocks, commands
from tests.docs.plan import PLAN, Way, rule_of

OURS = [command for command in commands() if command.words[0] == "dico"]


def named(found):
    return [pytest.param(one, id=f"{one.page}: {one}"[:110]) for one in found]


def test_pages_have_commands():
    assert len(OURS) > 60
    assert {way.name for way in Way} == {rule_of(command).way.name for command in commands()}


def test_every_rule_is_of_some_command():
    used = {rule_of(command).pattern for command in commands()}
    assert [rule.pattern for rule in PLAN if rule.pattern not in used] == []


@pytest.mark.parametrize("command", named(OURS))
def test_a_command_of_a_page_is_understood(command, tmp_path, monkeypatch):
    """By the parser of the command line itself; nothing is run."""
    monkeypatch.chdir(tmp_path)
    words = command.words[1:]
    for word in words:
        if re.fullmatch(r"[\w-]+\.tar", word):  # must be there to be parsed
            Path(word).touch()
    parser = get_command(build_app(words))
    context = parser.make_context("dico", list(words), resilient_parsing=False)
    while hasattr(parser, "resolve_command"):
        rest = [*context._protected_args, *context.args]
        if not rest:
            return
        name, parser, rest = parser.resolve_command(context, rest)
        context = parser.make_context(name, list(rest), parent=context)


@pytest.mark.parametrize("command", named(commands()))
def test_what_a_command_names_is_there(command):
    way, words = rule_of(command).way, command.words
    if way is Way.TARGET:
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif way is Way.MODULE:
        path = f"{words[2].replace('.', '/')}.py" if words[1] == "-m" else words[1]
        assert (ROOT / path).is_file()
    elif way is Way.FOLDER:
        assert (ROOT / words[-1] / "kustomization.yaml").is_file()
    elif way is Way.TEST:
        assert (ROOT / rule_of(command).where).is_file()
    elif way is Way.EXTRA:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        for extras in re.findall(r"\[(.*)\]", " ".join(words)):
            assert set(extras.split(",")) <= set(project["optional-dependencies"])


def test_settings_in_pages_are_settings():
    """Wherever a page writes ``overrides=...``, a preset takes it."""
    found = re.compile(r"""overrides=(?:'([^']*)'|"([^"]*)"|(\S+))""")
    for page, text in blocks(*SHELLS):
        for parts in found.findall(text):
            overrides = " ".join(word for word in "".join(parts).split() if word != "...")
            if "lora_targets" in overrides and "architecture" not in overrides:
                overrides += " captioner.architecture=huggingface captioner.checkpoint=x"
            assert resolve("photos", overrides), page


def test_links_lead_somewhere():
    """To a file of the repository, and to a heading of it where one is named."""
    for page, content in PAGES.items():
        for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", content, flags=re.S)):
            if "://" in target:
                continue
            path, _, heading = target.partition("#")
            linked = ((ROOT / page).parent / path).resolve() if path else ROOT / page
            assert linked.exists(), f"{page}: {target}"
            if heading:
                titles = re.findall(r"^#+ (.*)$", linked.read_text(), re.MULTILINE)
                assert heading in map(anchor, titles), f"{page}: {target}"


def anchor(title):
    return re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-")


def test_the_notebook_runs_from_its_first_cell_to_its_last(tmp_path, monkeypatch, capsys):
    """As plain Python, with fewer steps of smaller models; `make site` runs it as it stands."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    notebook = json.loads((ROOT / "docs" / "notebook.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    assert not any(cell["outputs"] for cell in notebook["cells"] if "outputs" in cell)
    cells[0], found = re.subn(r"(_steps|num_train)=\d+", few, cells[0])
    assert found > 6
    cells[0] = cells[0].replace("evaluation.meteor=false", f"evaluation.meteor=false {SMALL}")
    names = {}
    for cell in cells:
        exec(compile(cell, "notebook", "exec"), names)
    said = capsys.readouterr().out
    assert said.count("person: ") == 3
    assert "CIDEr" in said


SMALL = (
    "captioner.width=16 captioner.num_heads=2 captioner.ffn_width=32 captioner.num_decoder_layers=1 "
    "decoding.num_beams=2 decoding.max_tokens=10 evaluator.vision_width=8 evaluator.text_width=32 "
    "finetune.batch_size=4 finetune.micro_batch_size=4 xe.batch_size=20 xe.micro_batch_size=20 "
)


def few(found):
    return f"{found[1]}={48 if found[1] == 'num_train' else 2}"


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
