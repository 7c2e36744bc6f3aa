"""Symptoms of a hacked reward, caption by caption."""

import pytest

from dico.metrics import symptoms, usage_of
from dico.metrics.symptoms import SYMPTOMS

TRAINING = [
    "a dog runs on the beach",
    "a man sits on the beach",
    "two dogs run on the beach",
    "a man with a hat stands on a street",
    "a small dog with a hat and a large dog with a ball sit on a street",
]
PEOPLE = ["a dog runs on a street", "a small dog runs", "a dog"]


def shown(caption, usage=True, others=()):
    group = [PEOPLE] * (1 + len(others))
    found = symptoms([caption, *others], group, usage_of(TRAINING) if usage else None)
    return [name for name in SYMPTOMS if found[name].per_image[0]]


@pytest.mark.parametrize(
    ("caption", "names"),
    [
        ("a small dog runs on a street", []),
        ("a small dog with a hat and a large dog", []),
        ("", ["no_sentence"]),
        ("a dog dog runs on a street", ["said_again"]),
        ("a dog runs on a street on a street", ["said_again"]),
        ("a dog runs on a and a dog runs on a", ["said_again"]),
        ("street dog a on small", ["no_sentence"]),
        ("small dog hat street", ["no_sentence"]),
        ("a dog runs on a street with a hat on the beach", ["appended"]),
        ("a dog runs on the beach", []),
        ("a dog with a hat sits on a street with a ball and a man stands", ["too_long"]),
    ],
)
def test_one_caption(caption, names):
    assert shown(caption) == names


def test_what_most_captions_of_a_system_do():
    others = ["a man sits in great detail", "a dog runs in great detail"]
    assert shown("a dog with a hat in great detail", others=others) == ["appended"]
    many = [f"a dog {number}" for number in range(20)]
    assert shown("a dog with a hat in great detail", others=[*others[:1], *many]) == []
    assert shown("a small dog runs", others=["a small dog runs", "a dog"]) == ["common_caption"]
    assert shown("a small dog runs", others=["a dog runs", "a dog"]) == []
    assert shown("a dog on a street", others=["a man on a street"]) == []  # people say so of it


def test_without_training_captions_lists_are_found_and_salads_are_not():
    assert shown("small dog hat street", usage=False) == ["no_sentence"]
    assert shown("street dog a on small", usage=False) == []


def test_totals_are_shares_of_captions():
    found = symptoms(["a dog dog", "a dog"], [PEOPLE] * 2)
    assert found["said_again"].total == 0.5
    assert {name: score.total for name, score in symptoms([], []).items()} == dict.fromkeys(
        SYMPTOMS, 0.0
    )
