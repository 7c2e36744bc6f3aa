"""The toy dataset: the same bytes from the same seed, and captions that are true."""

import hashlib
import json
import random

import numpy as np
import pytest
from PIL import Image

from dico.data.formats import detect, read_entries
from dico.data.toy.captions import SYNONYMS, write_caption, write_full_caption
from dico.data.toy.config import ToyConfig
from dico.data.toy.render import PALETTE, render
from dico.data.toy.scenes import BACKGROUNDS, COLOURS, RELATIONS, SHAPES, TEXTURES, sample_scene
from dico.data.toy.world import is_toy_dataset, write_toy_dataset
from dico.errors import ConfigError
from dico.facts import check_caption, read_facts

CONFIG = ToyConfig(num_train=5, num_validation=2, num_test=3, num_captions=4, image_side_px=32)
SHAPE_OF = {word: shape for shape in SHAPES for word in SYNONYMS.get(shape, (shape,))}
SCENES = [sample_scene(random.Random(seed)) for seed in range(300)]


def digests(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


FIRST_WORLD = "e6575949e0fe10fa4cc57664ac7700805fcffe15c8e4df0ad2b864ee905fdfe7"
"""Digest of 70 images' pixels and captions of the version that published figures are of."""


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_toy_dataset(tmp_path / name, CONFIG, seed)
    first, again, other = (digests(tmp_path / name) for name in "abc")
    assert first == again
    assert first.keys() == other.keys()
    assert all(first[name] != other[name] for name in first)


def test_the_world_is_still_the_one_that_published_figures_are_of(tmp_path):
    config = ToyConfig(num_train=40, num_validation=10, num_test=20)
    digest = hashlib.sha256(write_toy_dataset(tmp_path, config, 1).read_bytes())
    for path in sorted((tmp_path / "images").iterdir()):
        with Image.open(path) as image:
            digest.update(np.asarray(image).tobytes())
    assert digest.hexdigest() == FIRST_WORLD


def test_facts_are_beside_the_dataset_and_true_of_its_captions(tmp_path):
    entries = lines(write_toy_dataset(tmp_path, CONFIG, 1))
    vocabulary, scenes = read_facts(tmp_path / "facts.jsonl")
    assert list(scenes) == [entry["id"] for entry in entries]
    for entry in entries:
        for caption in entry["captions"]:
            assert check_caption(caption, scenes[entry["id"]], vocabulary).wholly_true


def test_a_seed_of_its_own_does_not_follow_the_runs():
    assert ToyConfig().seed_of(7) == 7
    assert ToyConfig(seed=0).seed_of(7) == 0
    with pytest.raises(ConfigError, match="seed"):
        ToyConfig(seed=-2)


def test_an_image_does_not_depend_on_how_many_there_are(tmp_path):
    write_toy_dataset(tmp_path / "few", CONFIG, 1)
    more = ToyConfig(num_train=7, num_validation=2, num_test=3, num_captions=4, image_side_px=32)
    write_toy_dataset(tmp_path / "more", more, 1)
    few = digests(tmp_path / "few")
    both = {k: v for k, v in digests(tmp_path / "more").items() if k in few}
    assert {k for k in few if both[k] != few[k]} == {"dataset.jsonl", "facts.jsonl"}


def test_splits_captions_and_positives(tmp_path):
    entries = lines(write_toy_dataset(tmp_path / "toy", CONFIG, 1))
    splits = [entry["split"] for entry in entries]
    assert splits == ["train"] * 5 + ["validation"] * 2 + ["test"] * 3
    assert len({entry["id"] for entry in entries}) == 10
    for entry in entries:
        assert len(entry["captions"]) == 4
        assert ("positive_images" in entry) == (entry["split"] == "train")
        with Image.open(tmp_path / "toy" / entry["image"]) as image:
            assert (image.size, image.mode) == ((32, 32), "RGB")
        for name in entry.get("positive_images", ()):
            again = (tmp_path / "toy" / name).read_bytes()
            assert again != (tmp_path / "toy" / entry["image"]).read_bytes()


def test_the_readers_of_users_datasets_read_it(tmp_path):
    path = write_toy_dataset(tmp_path / "toy", CONFIG, 1)
    entries = list(read_entries(detect(str(path), "")))
    assert len(entries) == 10
    assert [entry.findings for entry in entries] == [[]] * 10
    assert [entry.image_id for entry in entries] == [line["id"] for line in lines(path)]
    assert entries[0].captions == lines(path)[0]["captions"]
    assert entries[0].uri == str(tmp_path / "toy" / "images" / "train-00000.png")
    assert entries[0].positive_captions == lines(path)[0]["positive_captions"]


def test_the_dataset_file_is_written_last(tmp_path):
    """A writer that fails on an image leaves no dataset that could be taken for a whole one."""
    (tmp_path / "images" / "test-00002.png").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        write_toy_dataset(tmp_path, CONFIG, 1)
    assert not (tmp_path / "dataset.jsonl").exists()


def things_said(caption):
    """(shape, colour or None, texture or None) of each noun phrase, and the background."""
    text, _, ground = caption.partition(" on ")
    words = text.split()
    said, colour, texture = [], None, None
    for word in words:
        if word in COLOURS:
            colour = word
        elif word in TEXTURES:
            texture = word
        elif word in SHAPE_OF:
            said.append((SHAPE_OF[word], colour, texture))
            colour = texture = None
    return said, next((word for word in ground.split() if word in BACKGROUNDS), None)


@pytest.mark.parametrize("write", [write_caption, write_full_caption])
def test_captions_are_true(write):
    for number, scene in enumerate(SCENES):
        caption = write(scene, random.Random(number))
        said, background = things_said(caption)
        assert said, caption
        assert len(said) <= len(scene.things)
        assert background in (None, scene.background), caption
        things = list(scene.things)
        for shape, colour, texture in said:
            match = next(
                thing
                for thing in things
                if thing.shape == shape
                and colour in (None, thing.colour)
                and texture in (None, thing.texture)
            )
            things.remove(match)


def test_a_stated_relation_is_the_scenes():
    stated = 0
    for number, scene in enumerate(SCENES):
        caption = write_caption(scene, random.Random(number))
        for relation in RELATIONS:
            if any(f" {phrase} " in f" {caption} " for phrase in SYNONYMS[relation]):
                assert relation == scene.relation, caption
                stated += 1
    assert stated > 20


def test_full_captions_leave_nothing_out():
    for number, scene in enumerate(SCENES):
        said, background = things_said(write_full_caption(scene, random.Random(number)))
        textures = [None if t.texture == "plain" else t.texture for t in scene.things]
        expected = [(t.shape, t.colour, x) for t, x in zip(scene.things, textures, strict=True)]
        assert said == expected
        assert background == scene.background


def test_people_leave_things_out():
    words = [len(write_caption(s, random.Random(n)).split()) for n, s in enumerate(SCENES)]
    full = [len(write_full_caption(s, random.Random(n)).split()) for n, s in enumerate(SCENES)]
    assert np.mean(words) < 0.7 * np.mean(full)
    assert len(set(words)) > 5


def test_objects_lie_where_the_relation_says():
    for scene in SCENES:
        cells = [thing.cell for thing in scene.things]
        assert len(set(cells)) == len(cells)
        if scene.relation:
            (ax, ay), (bx, by) = ((cell % 2, cell // 2) for cell in cells[:2])
            steps = {"left of": (1, 0), "right of": (-1, 0), "above": (0, 1), "below": (0, -1)}
            assert (bx - ax, by - ay) == steps[scene.relation]
    assert {len(scene.things) for scene in SCENES} == {1, 2, 3}


def test_images_show_background_and_objects():
    for number, scene in enumerate(SCENES[:20]):
        pixels = np.asarray(render(scene, random.Random(number), 64)).astype(int)
        corner = pixels[0, :].mean(axis=0)
        assert np.abs(corner - PALETTE[scene.background]).max() < 25
        thing = scene.things[0]
        top, left = 32 * (thing.cell // 2), 32 * (thing.cell % 2)
        window = pixels[top : top + 32, left : left + 32].reshape(-1, 3)
        near = np.abs(window - PALETTE[thing.colour]).max(axis=1) < 40
        assert near.sum() >= 10, scene


@pytest.mark.parametrize("name", ["num_train", "num_validation", "num_test", "num_captions"])
def test_sizes_are_checked(name):
    with pytest.raises(ConfigError, match=f"{name}: must be at least 1, got 0"):
        ToyConfig(**{name: 0})


@pytest.mark.parametrize(
    ("place", "rendered"),
    [
        ("s3://bucket/store/datasets/toy-0123456789abcdef/dataset.jsonl", True),
        ("/data/datasets/toy-cars/dataset.jsonl", False),
        ("toy-0123456789abcdef/dataset.jsonl", False),
    ],
)
def test_only_what_was_rendered_into_a_store_is_the_toy_dataset(place, rendered):
    assert is_toy_dataset(place) is rendered
