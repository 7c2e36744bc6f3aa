"""Lists of captions that are written as text in one cell: JSON, Python's or NumPy's spelling.

``["a dog", "a cat"]``, ``['a dog', 'a cat']``, ``('a dog', 'a cat')`` and NumPy's ``['a dog' 'a cat']``
are lists; ``[laughing] a dog`` and ``[a dog]`` are captions.
"""

import ast
import json
import re
from typing import Any

_LIST_OF_TEXTS = re.compile(r"""[\[({]\s*(?:[bBuUrR]{0,2}["']|\{\s*["'])""")
_CLOSING = {"[": "]", "(": ")", "{": "}"}
_LITERAL = re.compile(
    r"""[uU]?(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|None""",
    re.DOTALL,
)
_SEPARATOR = re.compile(r"\s*,?\s*")


def looks_like_list(text: str) -> bool:
    """Whether a cell's text is a list of texts, or an empty one."""
    text = text.strip()
    if text[:1] not in _CLOSING or not text.endswith(_CLOSING[text[:1]]):
        return False
    return text == "[]" or _LIST_OF_TEXTS.match(text) is not None


def unpack(text: str) -> list[Any]:
    """The items of a cell that `looks_like_list`.

    Raises:
        ValueError: it can be read in none of the spellings.
    """
    text = text.strip()
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = _python(text)
    if isinstance(value, dict):
        return [value]
    if not isinstance(value, list):
        raise ValueError("not a list")
    return value


def _python(text: str) -> list[Any]:
    """A list of literals; NumPy writes no commas, where Python would join the texts to one."""
    items: list[Any] = []
    at, end = 1, len(text) - 1
    while True:
        separator = _SEPARATOR.match(text, at)
        assert separator is not None
        at = separator.end()
        if at >= end:
            return items
        literal = _LITERAL.match(text, at)
        if literal is None:
            return _objects(text)
        items.append(_value(literal[0]))
        at = literal.end()


def _objects(text: str) -> list[Any]:
    """A list of Python's objects, as ``[{'raw': 'a dog'}]``."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        raise ValueError("looks like a list of texts, and cannot be read as one") from None
    if isinstance(value, list | tuple):
        return list(value)
    raise ValueError("looks like a list of texts, and cannot be read as one")


def _value(literal: str) -> Any:
    try:
        return ast.literal_eval(literal)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise ValueError(f"not a text: {literal[:60]}") from None
