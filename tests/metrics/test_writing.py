"""Captions that are written as nobody writes."""

import pytest

from dico.metrics import odd_writing

PEOPLE = ["A man's T-shirt, seen close-up.", "a man in a shirt"]


@pytest.mark.parametrize(
    ("caption", "odd"),
    [
        ("", 0),
        ("a man in a shirt", 0),
        ("A man, smiling, in a shirt.", 0),
        ("A man in an NBA shirt", 0),
        ("a man in a café", 0),
        ("A MAN IN A SHIRT", 1),
        ("a, man, in, a, shirt, with, a, hat", 1),
        ("a man in a shirt!!!!!!!!", 1),
        ('{"caption": "a man"}', 1),
        ("a \u200bman \u200bin \u200ba \u200bred \u200bshirt \u200band \u200bhat", 1),
        ("a man in a r\u0435d shirt", 1),
        ("\uff41 man in a shirt", 1),
    ],
)
def test_one_caption(caption, odd):
    assert odd_writing([caption], [PEOPLE]).total == odd


@pytest.mark.parametrize(
    "caption", ["STOP SIGN AHEAD", "a; b; c; d; e; f", "\u043a\u043e\u0442"], ids=str
)
def test_what_people_do_is_not_odd(caption):
    assert odd_writing([caption], [[caption]]).total == 0
    assert odd_writing([caption], [PEOPLE]).total == 1


def test_totals_are_shares_of_captions():
    found = odd_writing(["A DOG", "a dog"], [["a dog"]] * 2)
    assert (found.total, list(found.per_image)) == (0.5, [1, 0])
    assert odd_writing([], []).total == 0
