"""The PTB tokeniser in Python."""

import re
from collections.abc import Sequence

PUNCTUATION = frozenset(
    "'' ' `` ` -LRB- -RRB- -LCB- -RCB- . ? ! , : - -- ... ;".split(" ")  # noqa: SIM905
)
_TOKEN = re.compile(r"\w+(?:[-'/.]\w+)*|[^\w\s]")


def tokenize_with_python(captions: Sequence[str]) -> list[str]:
    """Tokens of each caption, separated by single spaces."""
    return [
        " ".join(t for t in _TOKEN.findall(c.lower()) if t not in PUNCTUATION) for c in captions
    ]
