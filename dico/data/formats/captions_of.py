"""The captions of one row, however its columns are called and however a list is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dico.data.captions import normalise_caption
from dico.data.formats.cells import looks_like_list, split_joined, unpack
from dico.data.formats.columns import (
    CAPTION_KEYS,
    CAPTIONS_KEYS,
    LANGUAGE,
    LANGUAGE_KEYS,
    REFERENCE_KEYS,
    TURN_KEYS,
    first,
    first_key,
    is_rejected,
    lookup,
    numbered_captions,
)
from dico.data.formats.reading import Findings, Reading

_TEXT_KEYS = ("raw", "caption", "text", "sentence", "sent", "value", "content", "assistant")
_ASKED, _ANSWERED = ("human", "user"), ("gpt", "assistant")
LeftOut = list[tuple[str, Any]]


@dataclass(slots=True)
class Captions:
    """The captions of one row."""

    found: list[Any] = field(default_factory=list)
    """As the row has them; checks tell which are text."""
    left_out: LeftOut = field(default_factory=list)
    """Those that do not count, as pairs of a finding's code and the caption."""
    single: bool = False
    """Whether the row stands for one caption of its image."""

    def add(self, value: Any, findings: Findings) -> None:
        """Adds all captions in a value."""
        self.found += items_of(value, findings, self.left_out)

    def add_new(self, value: Any, findings: Findings) -> None:
        """Adds the captions in a value that are not there yet; the others are left out."""
        known = {normalise_caption(one) for one in self.found if isinstance(one, str)}
        for caption in items_of(value, findings, self.left_out):
            if isinstance(caption, str) and normalise_caption(caption) in known:
                self.left_out.append(("caption_twice_in_sample", caption))
            else:
                self.found.append(caption)


def captions_of(row: Mapping[str, Any], reading: Reading, findings: Findings) -> Captions:
    """The captions of a row.

    Args:
        row: a row under normal names.
        reading: the columns that the user names; learns which columns were read.
        findings: gets what cannot be read.
    """
    if reading.columns.captions:
        return _named(row, reading, findings)
    captions = Captions()
    if own := first_key(row, reading.columns.of_role()):
        reading.read.add(own)
        captions.add(row[own], findings)
        captions.single = not _is_list(row[own])
        return captions
    several, one = first_key(row, CAPTIONS_KEYS), first_key(row, CAPTION_KEYS)
    if reading.columns.role == "system" and one and several in REFERENCE_KEYS:
        several = ""
    if isinstance(row.get(several), str) and not looks_like_list(row[several]):
        row = {**row, several: _split(row[several], findings)}
    numbered = [key for key in numbered_captions(row) if row[key] is not None and row[key] != ""]
    if several:
        captions.add(row[several], findings)
        if one == "caption_str" and isinstance(row[one], str) and row[one] in captions.found:
            captions.found, captions.single = [row[one]], True  # TextCaps repeats all in each row
        elif one:
            captions.add_new(row[one], findings)
        else:  # one object, as Hugging Face's COCO has one of its sentences in each row
            captions.single = isinstance(row[several], dict) and len(captions.found) == 1
        numbered = []
    elif one:
        captions.add(row[one], findings)
        captions.single = not numbered and not _is_list(row[one])
    for key in numbered:
        captions.add(row[key], findings)
    turns = "" if several or one or numbered else first_key(row, sorted(TURN_KEYS))
    if turns:
        captions.found, captions.single = _answer(row[turns], findings), True
    captions.single = captions.single or not (several or one or numbered)
    reading.read.update((several, one, *numbered, turns))
    return captions


def _split(text: str, findings: Findings) -> list[str]:
    """The captions of one text under a name of several."""
    parts = split_joined(text) or [text]
    if len(parts) > 1:
        detail = f"{len(parts)} captions that separators join: {text[:100]}"
        findings.append(("row_repaired", detail))
    return parts


def _named(row: Mapping[str, Any], reading: Reading, findings: Findings) -> Captions:
    """The captions of the columns that the user names."""
    captions = Captions()
    values = [lookup(row, path) for path in reading.columns.captions]
    for value in values:
        if value is not None:
            captions.add(value, findings)
    captions.single = len(values) == 1 and not _is_list(values[0])
    return captions


def _is_list(value: Any) -> bool:
    return isinstance(value, list) or (isinstance(value, str) and looks_like_list(value))


def items_of(value: Any, findings: Findings, left_out: LeftOut) -> list[Any]:
    """The captions in one value: a text, a list, a list written as text, an object with a text.

    Args:
        value: whatever a dataset has for its captions.
        findings: gets what cannot be read.
        left_out: gets the captions that their own object marks as unusable.
    """
    if isinstance(value, str):
        if not looks_like_list(value):
            return [value]
        try:
            value = unpack(value)
        except ValueError as error:
            if value.strip().startswith(("[", "array(")):
                findings.append(("row_malformed", f"{error}: {value[:100]}"))
                return []
            return [value]  # a text in brackets, as people write one
    if isinstance(value, list):
        spoken = {first(one, LANGUAGE_KEYS) for one in value if isinstance(one, dict)}
        if len(spoken) > 1 and all(isinstance(one, str) for one in spoken):
            detail = f"captions in {', '.join(sorted(spoken))}: write a row for each, and name one"
            findings.append(("row_malformed", f"{detail} by --where language={min(spoken)}"))
            return []
        return [one for item in value for one in _of_item(item, findings, left_out)]
    return _of_item(value, findings, left_out)


def _of_item(item: Any, findings: Findings, left_out: LeftOut) -> list[Any]:
    """The captions of one item of a list: a text as it is, those of a list or an object."""
    if isinstance(item, list):
        return items_of(item, findings, left_out)
    if not isinstance(item, dict):
        return [item]
    inside = first(item, (*_TEXT_KEYS, *CAPTIONS_KEYS))
    if inside is None and item and all(str(key).isdigit() for key in item):
        inside = list(item.values())
    if inside is None and item and all(LANGUAGE.fullmatch(str(key)) for key in item):
        chosen = f"name one by --caption-column COLUMN.{next(iter(item))}"
        findings.append(("row_malformed", f"captions by language ({', '.join(item)}): {chosen}"))
        return []
    if inside is None:
        return [item]  # no caption that is known: shown as it is
    found = items_of(inside, findings, left_out)
    if is_rejected(item):
        left_out += [("caption_rejected", caption) for caption in found]
        return []
    return found


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


def image_in_turns(turns: Any) -> Any:
    """The image that a conversation's own parts name, as chat formats with typed parts have it."""
    parts: Sequence[Any] = [
        part
        for turn in (turns if isinstance(turns, list) else ())
        if isinstance(turn, dict) and isinstance(turn.get("content"), list)
        for part in turn["content"]
        if isinstance(part, dict)
    ]
    found = [first(part, ("image", "image_url")) for part in parts]
    images = [one.get("url") if isinstance(one, dict) else one for one in found if one is not None]
    return images or None
