"""Hard negatives: what is mined from captions alone, and that edits make them false."""

import itertools

import numpy as np
import pytest

from dico.training.hard_negatives import HardNegatives

COLOURS, THINGS = ("red", "green", "blue"), ("cat", "dog", "horse")
PLACES = ("left", "right")


def world(num_images=400):
    """Images of two coloured animals, and two captions of each; large and big are synonyms."""
    rng = np.random.default_rng(0)
    scenes, captions = [], []
    for _ in range(num_images):
        colours, things = rng.choice(COLOURS, 2), rng.choice(THINGS, 2)
        place = str(rng.choice(PLACES))
        scenes.append((tuple(zip(colours, things, strict=True)), place))
        (a, b), (x, y) = colours, things
        captions.append(
            (f"a large {a} {x} {place} of a {b} {y}", f"a big {a} {x} {place} of a {b} {y}")
        )
    return scenes, captions


SCENES, CAPTIONS = world()
MADE = HardNegatives(CAPTIONS)


def is_true(caption, scene):
    words = [word for word in caption.split() if word not in ("a", "of", "large", "big")]
    things, place = scene
    claims = [(words[0], words[1]), (words[3], words[4])] if len(words) == 5 else []
    return len(words) == 5 and tuple(claims) == things and words[2] == place


def test_classes_are_the_colours_the_things_and_the_places():
    for words in (COLOURS, THINGS, PLACES):
        for word in words:
            assert set(MADE.classes[word]) == set(words) - {word}


def test_synonyms_and_the_frame_of_sentences_are_of_no_class():
    assert not {"large", "big", "a", "of"} & set(MADE.classes)


def test_edits_are_false_and_keep_the_frame():
    rng = np.random.default_rng(1)
    kept = false = 0
    for k, (scene, captions) in enumerate(zip(SCENES, CAPTIONS, strict=True)):
        edited = MADE.edit(k, captions[0], rng)
        assert is_true(captions[0].replace("large ", ""), scene)
        kept += edited == captions[0]
        false += not is_true(edited, scene)
    assert kept < 0.02 * len(SCENES)
    assert false > 0.97 * len(SCENES)


def test_all_three_edits_are_made():
    rng = np.random.default_rng(2)
    seen = set()
    for k, captions in itertools.islice(enumerate(CAPTIONS), 200):
        edited = MADE.edit(k, captions[0], rng).split()
        own = captions[0].split()
        changed = [i for i, (a, b) in enumerate(zip(own, edited, strict=False)) if a != b]
        same_words = sorted(own) == sorted(edited)
        seen.add("exchange" if same_words else "word" if len(changed) == 1 else "splice")
    assert seen == {"exchange", "word", "splice"}


def test_same_seed_same_edit():
    one, two = (MADE.edit(3, CAPTIONS[3][0], np.random.default_rng(5)) for _ in range(2))
    assert one == two


@pytest.mark.parametrize("captions", [[], [("a dog",)], [("",)]])
def test_too_few_captions_leave_captions_as_they_are(captions):
    made = HardNegatives(captions)
    assert made.classes == {}
    if captions:
        assert made.edit(0, "a dog", np.random.default_rng(0)) == "a dog"
