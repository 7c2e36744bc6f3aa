"""The captions of one row, however its columns are called and however a list is written."""

from collections.abc import Mapping
from typing import Any

from dico.data.formats.cells import looks_like_list, unpack
from dico.data.formats.columns import (
    CAPTION_KEYS,
    CAPTIONS_KEYS,
    TURN_KEYS,
    first,
    first_key,
    lookup,
    numbered_captions,
)
from dico.data.formats.reading import Findings, Reading

_TEXT_KEYS = ("raw", "caption", "text", "sentence", "value", "content")
_ASKED, _ANSWERED = ("human", "user"), ("gpt", "assistant")


def captions_of(
    row: Mapping[str, Any], reading: Reading, findings: Findings
) -> tuple[list[Any], bool]:
    """The captions of a row, and whether it stands for one caption of its image.

    Args:
        row: a row under normal names.
        reading: the columns that the user names.
        findings: gets what cannot be read.
    """
    if reading.columns.captions:
        values = [lookup(row, path) for path in reading.columns.captions]
        captions = [c for value in values if value is not None for c in items_of(value, findings)]
        return captions, len(values) == 1 and not _is_list(values[0])
    several, one = first(row, CAPTIONS_KEYS), first(row, CAPTION_KEYS)
    if several is not None:
        listed = items_of(several, findings)
        if isinstance(one, str) and one in listed and first_key(row, CAPTION_KEYS) == "caption_str":
            return [one], True  # TextCaps repeats all of an image's captions in each row
        more = [] if one is None or one in listed else items_of(one, findings)
        return listed + more, False
    if one is not None:
        numbered = _numbered(row, findings)
        captions = items_of(one, findings) + numbered
        return captions, not numbered and not _is_list(one)
    numbered = _numbered(row, findings)
    if numbered:
        return numbered, False
    turns = first(row, sorted(TURN_KEYS))
    if turns is not None:
        return _answer(turns, findings), True
    return [], True


def _numbered(row: Mapping[str, Any], findings: Findings) -> list[Any]:
    found: list[Any] = []
    for key in numbered_captions(row):
        if row[key] is not None and row[key] != "":
            found += items_of(row[key], findings)
    return found


def _is_list(value: Any) -> bool:
    return isinstance(value, list) or (isinstance(value, str) and looks_like_list(value))


def items_of(value: Any, findings: Findings) -> list[Any]:
    """The captions in one value: a text, a list, a list written as text, an object with a text."""
    if isinstance(value, str):
        if not looks_like_list(value):
            return [value]
        try:
            value = unpack(value)
        except ValueError as error:
            if value.strip().startswith("["):
                findings.append(("row_malformed", f"{error}: {value[:100]}"))
                return []
            return [value]  # a text in brackets, as people write one
    if not isinstance(value, list):
        return [_text(value)]
    return [_text(item) for item in value]


def _text(item: Any) -> Any:
    """The text of an object such as ``{"raw": "a dog"}``; anything else as it is."""
    return first(item, _TEXT_KEYS) if isinstance(item, dict) else item


def _answer(turns: Any, findings: Findings) -> list[Any]:
    """The caption of a conversation: the one answer to the one question."""
    if isinstance(turns, list) and all(isinstance(turn, dict) for turn in turns):
        said = [
            (first(turn, ("from", "role")), first(turn, ("value", "content"))) for turn in turns
        ]
        answers = [_spoken(text) for who, text in said if who in _ANSWERED]
        if len(answers) == 1 and sum(who in _ASKED for who, _ in said) <= 1:
            return answers
        findings.append(("row_malformed", f"a conversation of {len(said)} turns is no caption"))
    else:
        findings.append(("row_malformed", "a conversation that is no list of turns"))
    return []


def _spoken(content: Any) -> Any:
    if not isinstance(content, list):
        return content
    texts = [part.get("text") for part in content if isinstance(part, dict)]
    return " ".join(text for text in texts if isinstance(text, str))
