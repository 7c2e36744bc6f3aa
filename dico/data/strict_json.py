"""Hand-written JSON, streamed item by item and parsed strictly.

The standard parser takes the last of two equal keys, reads NaN, spends seconds on a 5,000-digit
integer and recurses into any depth. Here each of these is found and named.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import IO, Any

MAX_INTEGER_DIGITS = 30
MAX_ITEM_CHARS = 32_000_000
CHUNK_CHARS = 1 << 20
_SPACE = " \t\r\n\ufeff"


class JsonFinding(ValueError):
    """JSON that cannot be used; ``code`` is the finding's name."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True)
class Parser:
    """Parses values and gathers the keys that appear twice in one object."""

    duplicate_keys: list[str] = field(default_factory=list)
    """Keys found twice since the list was last cleared."""
    decoder: json.JSONDecoder = field(init=False)
    """The strict decoder."""

    def __post_init__(self) -> None:
        """Makes the decoder."""
        self.decoder = json.JSONDecoder(
            object_pairs_hook=self._object, parse_int=_integer, parse_constant=_constant
        )

    def parse(self, text: str) -> Any:
        """One JSON value; raises JsonFinding with the reason."""
        return _named(lambda: self.decoder.decode(text))

    def take_duplicate_keys(self) -> list[str]:
        """The keys found twice since the last call."""
        keys, self.duplicate_keys = self.duplicate_keys, []
        return keys

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        content = dict(pairs)
        if len(content) != len(pairs):
            seen: set[str] = set()
            for key, _ in pairs:
                if key in seen:
                    self.duplicate_keys.append(key)
                seen.add(key)
        return content


def iter_items(
    opener: Callable[[], AbstractContextManager[IO[str]]], parser: Parser, whole: bool = False
) -> Iterator[tuple[str, Any]]:
    """Streams a JSON file that is a list, or an object of values and lists.

    Yields ``("", item)`` for each item of a top-level list; for an object ``(key, item)`` for each
    item of its lists and ``(key, value)`` for other values, or with ``whole`` for all values.

    Raises:
        JsonFinding: malformed or truncated text, after the items before it were yielded.
    """
    with opener() as file:
        window = _Window(file, parser)
        first = window.peek()
        if first == "[":
            yield from (("", item) for item in window.list_items())
        elif first == "{":
            yield from _object_items(window, whole)
        else:
            raise JsonFinding("json_malformed", "neither a JSON object nor a list")
        if window.peek():
            raise JsonFinding("json_malformed", "text after the end of the JSON value")


def _object_items(window: "_Window", whole: bool) -> Iterator[tuple[str, Any]]:
    window.take("{")
    seen: set[str] = set()
    while window.peek() != "}":
        key = window.value()
        if not isinstance(key, str):
            raise JsonFinding("json_malformed", f"a key that is not text: {key!r}"[:200])
        if key in seen:
            window.parser.duplicate_keys.append(key)
        seen.add(key)
        window.take(":")
        if window.peek() == "[" and not whole:
            yield from ((key, item) for item in window.list_items())
        else:
            yield key, window.value()
        if window.peek() == ",":
            window.take(",")
    window.take("}")


class _Window:
    """A moving piece of a JSON text."""

    def __init__(self, file: IO[str], parser: Parser) -> None:
        self.file, self.parser = file, parser
        self.text, self.at, self.ended = "", 0, False

    def peek(self) -> str:
        """The next character that is not space; empty at the end."""
        while True:
            while self.at < len(self.text) and self.text[self.at] in _SPACE:
                self.at += 1
            if self.at < len(self.text) or not self._more():
                return self.text[self.at : self.at + 1]

    def take(self, mark: str) -> None:
        found = self.peek()
        if not found:
            raise JsonFinding("file_truncated", f"the file ends where {mark!r} should follow")
        if found != mark:
            raise JsonFinding("json_malformed", f"{found!r} where {mark!r} should be")
        self.at += 1

    def list_items(self) -> Iterator[Any]:
        self.take("[")
        while self.peek() != "]":
            yield self.value()
            if self.peek() != "]":
                self.take(",")
        self.take("]")

    def value(self) -> Any:
        """The next value; reads on while it is not complete."""
        self.peek()
        while True:
            try:
                value, end = _named(lambda: self.parser.decoder.raw_decode(self.text, self.at))
            except JsonFinding as error:
                if error.code != "json_malformed":
                    raise
                if len(self.text) - self.at > MAX_ITEM_CHARS:
                    raise JsonFinding(
                        "json_malformed", f"{error} (item too long to be read)"
                    ) from None
                if not self._more():
                    code = "file_truncated" if self._open_end() else "json_malformed"
                    raise JsonFinding(code, str(error)) from None
                continue
            if end == len(self.text) and self._more():
                continue  # a number may go on in the next piece
            self.at = end
            return value

    def _open_end(self) -> bool:
        return not self.text.rstrip(_SPACE).endswith(("}", "]"))

    def _more(self) -> bool:
        if self.ended:
            return False
        chunk = self.file.read(CHUNK_CHARS)
        self.ended = not chunk
        self.text, self.at = self.text[self.at :] + chunk, 0
        return bool(chunk)


def _named(parse: Callable[[], Any]) -> Any:
    try:
        return parse()
    except JsonFinding:
        raise
    except RecursionError:
        raise JsonFinding("json_too_deep", "nested too deeply") from None
    except json.JSONDecodeError as error:
        raise JsonFinding("json_malformed", f"{error.msg} at character {error.pos}") from None
    except ValueError as error:
        raise JsonFinding("json_malformed", str(error)) from None


def _integer(digits: str) -> int:
    if len(digits) > MAX_INTEGER_DIGITS:
        raise JsonFinding("json_huge_integer", f"an integer of {len(digits)} digits")
    return int(digits)


def _constant(name: str) -> Any:
    raise JsonFinding("json_nan", f"{name} is not JSON; write null or leave it out")
