"""What captions state, read by a vocabulary."""

import pytest

from dico.facts import read_caption


def said(caption, vocabulary):
    reading = read_caption(caption, vocabulary)
    return [(m.name, [term.value for term in m.attributes]) for m in reading.mentions]


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("A large, red dog.", [("dog", ["big", "red"])]),
        ("a red and white puppy", [("dog", ["red", "white"])]),
        ("the dog is white", [("dog", ["white"])]),
        ("a dog and a red ball", [("dog", []), ("ball", ["red"])]),
        ("two red balls", [("ball", ["red"]), ("ball", ["red"])]),
        ("2 red balls", [("ball", ["red"]), ("ball", ["red"])]),
        ("a couple of big balls", [("ball", ["big"])] * 2),
        ("seven balls", [("ball", [])] * 7),
        ("1000000000 balls", [("ball", [])] * 12),
        ("a 2 ball", [("ball", [])]),
        ("a couple of people and a ball", [("ball", [])]),
        ("cherries", [("cherry", [])]),
        ("a teddy bear", [("teddy bear", [])]),
        ("a dog in a red hat", [("dog", [])]),
        ("a red red dog", [("dog", ["red"])]),
        ("a big fluffy dog", [("dog", [])]),
        ("nothing here", []),
        ("", []),
    ],
)
def test_objects_and_what_they_are_like(caption, expected, vocabulary):
    assert said(caption, vocabulary) == expected


@pytest.mark.parametrize(
    ("caption", "expected", "denied"),
    [
        ("no dog", [], ["dog"]),
        ("0 dogs", [], ["dog"]),
        ("a ball without a big dog", [("ball", [])], ["dog"]),
        ("a ball and not any red dogs", [("ball", [])], ["dog"]),
        ("neither a dog nor a red ball", [], ["dog", "ball"]),
        ("a ball with no dog or cherry and a dog", [("ball", []), ("dog", [])], ["dog", "cherry"]),
        ("a ball or a dog", [("ball", []), ("dog", [])], []),
        ("the ball is not red", [("ball", [])], []),
        ("the ball isn't red but big", [("ball", [])], []),
        ("no trace of it, a dog", [("dog", [])], []),
    ],
)
def test_what_is_denied_is_not_stated(caption, expected, denied, vocabulary):
    assert said(caption, vocabulary) == expected
    assert [own.name for own in read_caption(caption, vocabulary).denied] == denied


@pytest.mark.parametrize(
    ("caption", "relations", "backgrounds"),
    [
        ("a dog to the left of a big ball", [(0, "left of", 1)], []),
        ("a dog, a ball left of a puppy", [(1, "left of", 2)], []),
        ("a dog left of it and a ball", [], []),
        ("left of a dog", [], []),
        ("a dog not left of a ball", [], []),
        ("a dog, not before sand", [], []),
        ("a dog on top of a ball", [(0, "on", 1)], []),
        ("a ball with a beach background", [], ["beach"]),
        ("a sand ball", [], []),
        ("a ball before sand", [], ["sand"]),
        ("a ball before a red background", [], ["red"]),
    ],
)
def test_relations_and_backgrounds(caption, relations, backgrounds, vocabulary):
    reading = read_caption(caption, vocabulary)
    assert reading.relations == relations
    assert reading.backgrounds == backgrounds


def test_every_word_that_states_something_is_found_in_its_place(vocabulary):
    words = ["a", "large", "dog", "left", "of", "a", "sand", "ball"]
    terms = read_caption(" ".join(words), vocabulary).terms
    assert [(words[a:b], term.kind) for a, b, term in terms] == [
        (["large"], "size"),
        (["dog"], "object"),
        (["left", "of"], "relation"),
        (["sand"], "colour"),
        (["ball"], "object"),
    ]
