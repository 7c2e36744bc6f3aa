"""The pages of the documentation, and what they tell people to type."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
NAMES = ("README.md", "SECURITY.md", "CONTRIBUTING.md")
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [*(ROOT / name for name in NAMES), *sorted((ROOT / "docs").glob("*.md"))]
}
SHELLS = ("", "bash", "sh", "console")
PROGRAMS = {
    ".", "cp", "curl", "dico", "docker", "export", "hf", "kfp", "kind", "kubectl", "make", "openssl",
    "pip", "python", "tensorboard",
}  # fmt: skip
"""What a line of a block begins with where it is a command; other lines are files and formats."""
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_ASSIGNMENT = re.compile(r"[A-Z_]+=\S*")


class Command(NamedTuple):
    """One command of a page."""

    page: str
    variables: tuple[str, ...]
    """Assignments before it."""
    words: tuple[str, ...]

    def __str__(self):
        return shlex.join([*self.variables, *self.words])


def blocks(*languages):
    """Page and text of each block."""
    return [
        (page, text)
        for page, content in PAGES.items()
        for language, text in _BLOCK.findall(content)
        if language in languages
    ]


def commands():
    """Every command, in the order of the pages; several of a line one after the other."""
    return [own for page, text in blocks(*SHELLS) for own in _of_block(page, text)]


def _of_block(page, text):
    for line in _whole_lines(text):
        try:
            words = shlex.split(line, comments=True)
        except ValueError:  # a line of data, not of a shell
            continue
        for part in _parts(words):
            variables = []
            while part and _ASSIGNMENT.fullmatch(part[0]):
                variables.append(part.pop(0))
            if part and part[0] in PROGRAMS:
                yield Command(page, tuple(variables), tuple(part))


def _whole_lines(text):
    """Lines; one that a backslash or an open quotation mark ends goes on in the next."""
    whole = ""
    for line in text.splitlines():
        if whole and not line.strip():
            whole = ""
        whole += line.removesuffix("\\") + (" " if line.endswith("\\") else "")
        quoted = re.sub(r"#.*", "", whole).count("'") % 2 == 1
        if line.endswith("\\") or (quoted and whole.startswith(("dico ", "overrides="))):
            whole += " "
            continue
        yield whole
        whole = ""


def _parts(words):
    """Commands of one line: a && b, and what runs in the background."""
    part = []
    for word in words:
        if word in ("&&", ";", "&"):
            yield part
            part = []
        else:
            part.append(word)
    yield part
