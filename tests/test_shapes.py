"""Where tensors change shape, the line says which shape comes out."""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

import dico

ROOT = Path(dico.__file__).parent
ROOMS = ("models", "decoding", "rewards", "training")
FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
RESHAPING = {"view", "permute", "einsum", "gather", "cat"}
SHAPE = re.compile(r"\((\d|[A-Za-z]\w*\b)[^()]*(,|\+|\*)[^()]*\)|\([A-Z]\w*,?\)|\(\)")


def comments_of(source):
    """Text of the comments by line, those of wrapped lines too."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}


def reshaping_calls(tree):
    """Calls that change shape, each with the simple statement that it stands in."""
    for statement in ast.walk(tree):
        if isinstance(statement, ast.stmt) and not hasattr(statement, "body"):
            for node in ast.walk(statement):
                if isinstance(node, ast.Call) and node.args and _name(node) in RESHAPING:
                    yield statement, node


def _name(call):
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def unmarked(source):
    """Lines that change a tensor's shape, and neither they nor the line above say to which."""
    comments = comments_of(source)
    found = []
    for statement, call in reshaping_calls(ast.parse(source)):
        near = range(statement.lineno - 1, statement.end_lineno + 1)
        if not any(SHAPE.search(comments.get(line, "")) for line in near):
            found.append((call.lineno, call.func.attr))
    return found


@pytest.mark.parametrize("path", [ROOT / "losses.py", *FILES], ids=lambda path: path.name)
def test_each_change_of_shape_says_the_shape(path):
    assert unmarked(path.read_text()) == []


def test_what_is_found():
    assert unmarked("x = y.view(2, 3)\n") == [(1, "view")]
    assert unmarked("x = y.view(2, 3)  # a view\n") == [(1, "view")]
    assert unmarked("x = y.view(2, 3)  # (B, K)\n") == []
    assert unmarked("# (B * K, T) -> (B, K, T)\nx = torch.cat(\n    [a, b]\n)\n") == []
    assert unmarked("if a:\n    x = torch.einsum('bk,kd->bd', y, z)\n") == [(2, "einsum")]
