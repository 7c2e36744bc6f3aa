"""C3: each caption gets the right verdict."""

import pytest

from dico.data.captions import check_caption, normalise_caption, printable
from tests.data.caption_zoo import FINE, WRONG


@pytest.mark.parametrize("caption", FINE)
def test_a_fine_caption_has_no_finding(caption: str) -> None:
    assert check_caption(caption) == []


@pytest.mark.parametrize(("code", "caption"), [(c, t) for c, texts in WRONG.items() for t in texts])
def test_a_wrong_caption_is_named(code: str, caption: object) -> None:
    assert code in [found for found, _ in check_caption(caption)]


def test_details_can_be_printed() -> None:
    for texts in WRONG.values():
        for text in texts:
            for _, detail in check_caption(text):
                assert detail.encode("utf-8").decode() == detail
                assert len(detail) < 400


def test_the_longest_caption_is_the_limit() -> None:
    assert check_caption("ab " * 33 + "c", max_chars=100) == []
    assert check_caption("ab " * 33 + "cd", max_chars=100)[0][0] == "caption_too_long"


def test_tidy_changes_space_and_composition_only() -> None:
    assert normalise_caption("  a  dog\n runs ") == "a dog runs"
    assert normalise_caption("cafe\u0301 in Paris") == "caf\u00e9 in Paris"
    assert normalise_caption("A dog , running .") == "A dog , running ."


def test_printable_escapes_what_cannot_be_shown() -> None:
    assert printable("a\x07b\udce9") == "a\\u0007b\\udce9"
    assert printable("x" * 200, 5) == "xxxxx..."
