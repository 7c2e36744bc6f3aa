"""C3: each caption gets the right verdict, and no text becomes a control token."""

from collections.abc import Iterator
from typing import Any

from dico.data.captions import check_caption
from dico.models.tokenizer import Tokenizer
from tests.data.caption_zoo import FINE, WRONG
from tests.reliability.result import CONTROL, Result, count

IDS = ("C3",)
LONG = {
    "caption_too_long": ["a dog " * 1_700, "x" * 1_000_000, "\u202e" * 1_000_000, "\ud83d" * 10_000]
}


def check(full: bool) -> list[Result]:
    wrong = [(code, text) for zoo in (WRONG, LONG) for code, texts in zoo.items() for text in texts]
    naive = count("C3", "", (bool(_naive(text)) for _, text in wrong))
    return [
        count("C3", "valid captions pass", (check_caption(text) == [] for text in FINE)),
        count("C3", "invalid captions are reported", (_named(code, text) for code, text in wrong)),
        count("C3", "text never encodes to a control id", _encoded([t for _, t in wrong])),
        Result(
            "C3",
            CONTROL + "a check for empty text alone lets invalid captions in",
            int(naive.passed < naive.total),
            1,
            naive.seconds,
            f"{naive.total - naive.passed} of {naive.total} pass",
        ),
    ]


def _named(code: str, text: Any) -> bool:
    return code in [found for found, _ in check_caption(text)]


def _naive(text: Any) -> bool:
    """Whether a plain check would refuse the caption."""
    return not (isinstance(text, str) and text)


def _encoded(texts: list[Any]) -> Iterator[bool]:
    tokenizer = Tokenizer.train([*FINE, "a dog runs on the beach with a man"], 300)
    for text in (*FINE, *texts):
        if isinstance(text, str):
            ids = tokenizer.encode(text[:20_000])
            yield all(0 <= one < tokenizer.bos_id for one in ids)
