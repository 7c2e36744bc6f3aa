"""What captions are edited to: false, as true as before, or a hack."""

import dataclasses
import itertools
from collections import Counter

import pytest

from dico.audit.fact_edits import fact_pairs
from dico.audit.items import Item
from dico.audit.probes import hack_pairs
from dico.audit.text_edits import COLOURS, text_pairs
from dico.data.toy.facts import TOY_VOCABULARY
from dico.facts import check_caption
from tests.audit.worlds import corpus, items

ITEMS = items("validation", 60)


@pytest.fixture(scope="module")
def pairs():
    return fact_pairs(ITEMS, corpus(), TOY_VOCABULARY, 0)


def test_false_edits_are_false_and_what_they_edit_is_true(pairs):
    for pair in pairs:
        scene = ITEMS[pair.item].scene
        assert check_caption(pair.caption, scene, TOY_VOCABULARY).wholly_true
        after = check_caption(pair.edited, scene, TOY_VOCABULARY)
        assert after.wholly_true == (pair.purpose == "harmless"), pair


def test_harmless_edits_say_no_less(pairs):
    for pair in pairs:
        if pair.purpose == "harmless":
            scene = ITEMS[pair.item].scene
            before, after = (
                check_caption(text, scene, TOY_VOCABULARY) for text in (pair.caption, pair.edited)
            )
            assert before.num_named == after.num_named
            assert pair.caption != pair.edited


def test_every_kind_is_there_once_an_image_and_changes_few_words(pairs):
    kinds = Counter((pair.purpose, pair.kind) for pair in pairs)
    false = {"shape", "colour", "texture", "size", "relation", "background", "exchange", "count"}
    assert {kind for purpose, kind in kinds if purpose == "false"} == false
    assert {kind for purpose, kind in kinds if purpose == "harmless"} == {
        "synonym",
        "order",
        "turned",
    }
    assert max(Counter((pair.item, pair.purpose, pair.kind) for pair in pairs).values()) == 1
    for pair in pairs:
        if pair.kind in ("shape", "colour", "texture", "size"):
            words = [Counter(text.split()) for text in (pair.caption, pair.edited)]
            changed = (words[0] - words[1]).total()
            assert changed <= 2, pair  # the word, and its article


def test_edits_say_only_what_people_say(pairs):
    said = {word for text in corpus() for word in text.split()}
    assert "plain" in TOY_VOCABULARY.attributes["texture"]
    for pair in pairs:
        if pair.kind in ("shape", "colour", "texture", "size", "background"):
            assert set(pair.edited.split()) <= said


def test_articles_agree_with_what_follows(pairs):
    for pair in pairs:
        words = pair.edited.split()
        for one, other in itertools.pairwise(words):
            if one in ("a", "an"):
                assert (one == "an") == (other[0] in "aeiou"), pair


def test_a_caption_that_the_facts_do_not_bear_out_is_not_edited():
    liar = dataclasses.replace(ITEMS[0], captions=("a purple star",))
    assert fact_pairs([liar], corpus(), TOY_VOCABULARY, 0) == []
    assert (
        fact_pairs([dataclasses.replace(ITEMS[0], scene=None)], corpus(), TOY_VOCABULARY, 0) == []
    )


def test_hacks_of_each_kind():
    pairs = hack_pairs(ITEMS, corpus(), 0)
    by_kind = {}
    for pair in pairs:
        by_kind.setdefault(pair.kind, []).append(pair)
    assert {pair.purpose for pair in pairs} == {"hack"}
    for pair in by_kind["repeated n-gram"]:
        assert pair.edited.split()[-2:] == pair.caption.split()[-2:]
        assert len(pair.edited.split()) == len(pair.caption.split()) + 4
    for pair in by_kind["word salad"]:
        assert sorted(pair.edited.split()) == sorted(pair.caption.split())
    for pair in by_kind["cut-off ending"]:
        assert pair.edited.endswith(" with a")
    assert len({pair.edited for pair in by_kind["generic caption"]}) == 1
    for number in (1, 2, 3):
        for pair in by_kind[f"appended phrases, {number}"]:
            assert pair.edited.startswith(pair.caption)
            added = len(pair.edited.split()) - len(pair.caption.split())
            assert added == 3 * number


PHOTOS = [
    Item("a", "a", ("A brown dog runs on the left of a white fence .", "two dogs run")),
    Item("b", "b", ("a man rides a red bike", "a man on a bike")),
]
TEXTS = ["a brown dog runs"] * 3 + ["a brown cat runs"] * 3 + ["a man rides a red horse"] * 3


def test_without_facts_captions_are_edited_by_their_text():
    pairs = text_pairs(PHOTOS, TEXTS, 0)
    kinds = {(pair.item, pair.kind): pair for pair in pairs}
    edited = kinds[0, "content word"].edited
    assert edited == "a brown cat runs on the left of a white fence"
    colour = kinds[1, "colour"]
    (word,) = set(colour.edited.split()) - set(colour.caption.split())
    assert word in COLOURS
    assert kinds[0, "number"].edited in {f"{n} dogs run" for n in ("three", "four", "five", "six")}
    assert " right of " in kinds[0, "relation"].edited
    assert kinds[1, "added object"].edited.startswith(kinds[1, "added object"].caption + " and a")
    assert kinds[0, "article"].purpose == "harmless"
    for pair in pairs:
        assert pair.edited != pair.caption
    assert text_pairs(PHOTOS, TEXTS, 0) == pairs
