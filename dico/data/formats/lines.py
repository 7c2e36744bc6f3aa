"""JSON lines, and a JSON list of the same objects."""

from collections.abc import Iterator

from dico.data.formats.rows import Row
from dico.data.formats.texts import open_text
from dico.data.strict_json import JsonFinding, Parser, iter_items

MAX_LINE_CHARS = 32_000_000


def read_lines(path: str) -> Iterator[Row]:
    """Rows of a JSONL file; a line that is not JSON becomes a finding of its own."""
    parser = Parser()
    with open_text(path) as file:
        number = 0
        while line := file.readline(MAX_LINE_CHARS):
            number += 1
            if not line.strip():
                continue
            where = f"{path}:{number}"
            try:
                row = parser.parse(line)
            except JsonFinding as error:
                last = not line.endswith("\n") and error.code == "json_malformed"
                code = "file_truncated" if last else error.code
                yield where, None, [(code, str(error))]
                continue
            yield where, row, _duplicates(parser)


def read_list(path: str) -> Iterator[Row]:
    """Rows of a JSON file whose top level is a list."""
    parser, index = Parser(), 0
    try:
        for _, item in iter_items(lambda: open_text(path), parser):
            yield f"{path}, item {index}", item, _duplicates(parser)
            index += 1
    except JsonFinding as error:
        yield path, None, [("file_malformed", f"{error} after {index} items")]


def _duplicates(parser: Parser) -> list[tuple[str, str]]:
    return [("json_duplicate_key", key) for key in parser.take_duplicate_keys()]
