"""Lists of captions that are written as text in one cell: JSON, Python's or NumPy's spelling.

``["a dog", "a cat"]``, ``['a dog', 'a cat']``, ``('a dog', 'a cat')``, NumPy's ``['a dog' 'a cat']`` and
``array(['a dog'], dtype=object)``, R's ``c("a dog")``, Postgres' ``{"a dog"}`` and JSON in JSON, also one
in another, are lists; ``[laughing] a dog`` and ``[a dog]`` are captions. Texts joined by ``||``, ``&&``,
line breaks and the like, or numbered from 1, are a list where the column's name is of several.
"""

import ast
import json
import re
from typing import Any

_LIST_OF_TEXTS = re.compile(r"""(?:(?:array\(|list\(|c\(|[\[({])\s*)+[bBuUrR]{0,2}["']""")
_CLOSING = {"[": "]", "(": ")", "{": "}", "a": ")", "l": ")", "c": ")", '"': ']"'}
_SEPARATOR = re.compile(
    r"\s*(?:\|{1,3}|&&|#{3,}|<sep>|\[sep\]|</s>|<br\s*/?>|[\r\n]+)\s*", re.IGNORECASE
)
_NUMBERED = re.compile(r"(?:^|\s+)\(?(\d{1,2})[.)]\s+")
_BULLET = re.compile(r"\s*[-*\u2022]\s+")
_TOKEN = re.compile(
    r"""\s*(?:(?P<text>[uU]?(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"))|(?P<none>None|nan|NaN)"""
    r"""|(?P<open>array\(|list\(|c\(|[\[({])|(?P<close>[\])}])|,\s*dtype=(?:'[^']*'|\w+)|,|$)""",
    re.DOTALL,
)


def looks_like_list(text: str) -> bool:
    """Whether a cell's text is a list of texts, or an empty one."""
    text = text.strip()
    start = text[:1]
    if start not in _CLOSING or not text.endswith(_CLOSING[start]):
        return False
    return (
        text == "[]" or text.startswith(('"[\\"', "\"['")) or _LIST_OF_TEXTS.match(text) is not None
    )


def split_joined(text: str) -> list[str]:
    """The texts of a cell that separators join, as ``a dog || a cat``; one where none does."""
    before, *numbered = _NUMBERED.split(text)
    numbers = numbered[::2]
    if not before and len(numbers) > 1 and numbers == [str(n + 1) for n in range(len(numbers))]:
        return [part.strip() for part in numbered[1::2] if part.strip()]
    parts = [part for part in _SEPARATOR.split(text) if part]
    if len(parts) > 1 and all(_BULLET.match(part) for part in parts):
        return [_BULLET.sub("", part, count=1) for part in parts]
    return parts


def unpack(text: str) -> list[Any]:
    """The items of a cell that `looks_like_list`; lists in lists stay such.

    Raises:
        ValueError: it can be read in none of the spellings.
    """
    text = text.strip()
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = _python(text)
    if isinstance(value, str) and value != text and looks_like_list(value):
        return unpack(value)
    if isinstance(value, dict):
        return [value]
    if not isinstance(value, list):
        raise ValueError("not a list")
    return value


def _python(text: str) -> list[Any]:
    """A list of literals; NumPy writes no commas, where Python would join the texts to one."""
    root: list[Any] = []
    open_lists, at = [root], 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None or token.end() == at:
            return _objects(text)
        at = token.end()
        if token["open"]:
            open_lists.append([])
        elif token["close"]:
            if len(open_lists) == 1:
                return _objects(text)
            done = open_lists.pop()
            open_lists[-1].append(done)
        elif token["text"] or token["none"]:
            open_lists[-1].append(_value(token["text"]) if token["text"] else None)
    if len(open_lists) > 1 or len(root) != 1:
        return _objects(text)
    return list(root[0])


def _objects(text: str) -> list[Any]:
    """A list of Python's objects, as ``[{'raw': 'a dog'}]``."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        raise ValueError("looks like a list of texts, and cannot be read as one") from None
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, dict):
        return [value]
    raise ValueError("looks like a list of texts, and cannot be read as one")


def _value(literal: str) -> Any:
    try:
        return ast.literal_eval(literal)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise ValueError(f"not a text: {literal[:60]}") from None
