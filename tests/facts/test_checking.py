"""Statements against a scene, and the rates over many captions."""

import itertools
import random

import numpy as np
import pytest

from dico.data.toy.captions import write_caption, write_full_caption
from dico.data.toy.facts import TOY_VOCABULARY, facts_of
from dico.data.toy.scenes import sample_scene
from dico.errors import DataError
from dico.facts import Scene, Thing, check_caption, check_captions, facts_of_objects
from dico.facts.checking import _holds
from dico.facts.reading import read_caption
from dico.metrics import Synonyms, chair

TOY = [sample_scene(random.Random(seed)) for seed in range(200)]


def judged(caption, scene, vocabulary):
    return [(s.kind, s.value, s.true) for s in check_caption(caption, scene, vocabulary).statements]


@pytest.mark.parametrize(
    ("caption", "expected", "num_named"),
    [
        ("a white dog", [("object", "dog", True), ("colour", "white", True)], 2),
        ("a red dog", [("object", "dog", True), ("colour", "red", False)], 1),
        ("a big dog", [("object", "dog", True)], 1),  # nothing is known of its size
        ("a big ball", [("object", "ball", True), ("size", "big", False)], 1),
        ("a teddy bear", [("object", "teddy bear", False)], 0),
        (
            "a ball right of a puppy",
            [("object", "ball", True), ("object", "dog", True), ("relation", "right of", True)],
            3,
        ),
        (
            "a dog right of a ball",
            [("object", "dog", True), ("object", "ball", True), ("relation", "right of", False)],
            2,
        ),
        (
            "a dog, a ball, a puppy",
            [("object", "dog", True), ("object", "ball", True), ("count", "dog", False)],
            2,
        ),
        ("two dogs", [("object", "dog", True), ("object", "dog", False)], 1),
        ("a dog against a beach", [("object", "dog", True), ("background", "beach", True)], 2),
        ("a dog against sand", [("object", "dog", True), ("background", "sand", False)], 1),
        ("nothing", [], 0),
        ("no dog", [("object", "dog", False)], 0),
        ("no red dog", [], 0),
        ("a dog, no teddy bear", [("object", "dog", True)], 1),
        (
            "a white and red dog",
            [("object", "dog", True), ("colour", "white", True), ("colour", "red", False)],
            1,
        ),
    ],
)
def test_statements(caption, expected, num_named, scene, vocabulary):
    assert judged(caption, scene, vocabulary) == expected
    verdict = check_caption(caption, scene, vocabulary)
    assert (verdict.num_named, verdict.num_facts) == (num_named, 6)
    assert verdict.wholly_true == (bool(expected) and all(true for *_, true in expected))


def test_the_captions_of_people_are_wholly_true_and_full_ones_name_everything():
    for number, toy in enumerate(TOY):
        scene = facts_of(toy)
        short = check_caption(write_caption(toy, random.Random(number)), scene, TOY_VOCABULARY)
        full = check_caption(write_full_caption(toy, random.Random(number)), scene, TOY_VOCABULARY)
        assert short.wholly_true
        assert full.wholly_true
        assert full.num_named == full.num_facts >= short.num_named


def test_the_reading_is_the_one_in_the_captions_favour():
    """No other matching of mentions and objects makes fewer statements false."""
    for number, toy in enumerate(TOY[:60]):
        other = facts_of(TOY[number + 60])
        caption = write_full_caption(toy, random.Random(number))
        verdict = check_caption(caption, other, TOY_VOCABULARY)
        reading = read_caption(caption, TOY_VOCABULARY)
        options = [*range(len(other.things)), None, None, None]
        fewest = min(
            count_false(reading, places, other)
            for places in itertools.permutations(options, len(reading.mentions))
        )
        backgrounds = sum(s.kind == "background" and not s.true for s in verdict.statements)
        assert sum(not s.true for s in verdict.statements) - backgrounds == fewest


def count_false(reading, places, scene):
    false = 0
    for mention, place in zip(reading.mentions, places, strict=True):
        if place is None:
            false += 1 + len(mention.attributes)
            continue
        thing = scene.things[place]
        false += mention.name != thing.name
        false += sum(term.value not in thing.attributes[term.kind] for term in mention.attributes)
    held = [
        _holds(places[first], relation, places[second], scene, TOY_VOCABULARY)
        for first, relation, second in reading.relations
    ]
    return false + held.count(False)


def test_rates_are_shares_of_sums(scene, vocabulary):
    captions = ["a white dog", "a red dog on a ball", "nothing", "a dog, a ball, a dog"]
    scores = check_captions(captions, [scene] * 4, vocabulary)
    # true 2 + 2 + 0 + 2, judged 2 + 4 + 0 + 3; "on" is false of two that are left and right
    assert scores.precision == pytest.approx(6 / 9)
    assert scores.recall == pytest.approx((2 + 2 + 0 + 2) / (4 * 6))
    assert scores.wholly_true == 1 / 4
    assert scores.wrong == pytest.approx(
        {
            "object": 0,
            "colour": 1 / 2,
            "size": 0,
            "relation": 1,
            "background": 0,
            "count": 1 / 6,
        }
    )


def test_objects_alone_are_chair(vocabulary):
    names = {"dog": "dog", "puppy": "dog", "ball": "ball", "cat": "cat"}
    objects = {"a": ["dog", "ball"], "b": ["cat"], "c": ["dog"]}
    captions = ["a puppy and a cat", "a cat", "two balls"]
    own, scenes = facts_of_objects(objects, names)
    scores = check_captions(captions, list(scenes.values()), own)
    synonyms = Synonyms(names, {"lemma": {}, "singular": {}})
    rates = chair(["a puppy and a cat", "a cat", "a ball"], list(objects.values()), synonyms)
    assert scores.recall == rates.recall
    one = check_captions(captions[:2], list(scenes.values())[:2], own)
    assert one.precision == pytest.approx(1 - chair(captions[:2], list(objects.values())[:2],
                                                    synonyms).chair_i)  # fmt: skip


def test_a_caption_for_each_image(scene, vocabulary):
    with pytest.raises(DataError, match="2 captions for 1 images"):
        check_captions(["a dog", "a dog"], [scene], vocabulary)
    counts = check_captions(["a dog"], [scene], vocabulary).counts
    assert np.isfinite(counts).all()


def test_many_like_objects_are_matched_in_time(vocabulary):
    crowd = Scene(tuple(Thing("dog", {"colour": ("white",)}) for _ in range(30)))
    verdict = check_caption(" and ".join(["a white dog"] * 30), crowd, vocabulary)
    assert verdict.wholly_true
    assert verdict.num_named == 60
