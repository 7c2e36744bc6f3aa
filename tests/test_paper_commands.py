"""Every command of docs/paper.md exists, with its options; nothing is run."""

import re
import shlex
from pathlib import Path

import click
import pytest
from typer.main import get_command

from dico.cli import build_app

PAGE = (Path(__file__).parents[1] / "docs" / "paper.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def commands() -> list[list[str]]:
    lines = "".join(blocks("bash")).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def starting(*words: str) -> list[list[str]]:
    return [command for command in commands() if tuple(command[: len(words)]) == words]


def test_every_command_is_of_a_kind_that_is_looked_at():
    known = starting("dico")
    assert sorted(known) == sorted(commands())
    assert len(known) > 10


@pytest.mark.parametrize("command", starting("dico"), ids=" ".join)
def test_verbs_take_their_options(command):
    parser, rest = get_command(build_app(command[1:])), command[1:]
    context = click.Context(parser)
    while isinstance(parser, click.Group):
        _, parser, rest = parser.resolve_command(context, rest)
    parser.make_context("dico", list(rest))


def test_what_python_imports_is_there():
    lines = "".join(blocks("python")).splitlines()
    imports = [line for line in lines if line.startswith("from ")]
    assert imports
    for line in imports:
        exec(line, {})
