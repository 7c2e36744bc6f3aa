"""Images of the toy dataset as items of an audit, without their pixels."""

import random

from dico.audit.items import Item
from dico.data.toy.captions import write_caption
from dico.data.toy.facts import facts_of
from dico.data.toy.scenes import sample_scene


def items(split, num):
    made = []
    for number in range(num):
        rng = random.Random(f"1/{split}/{number}")
        scene = sample_scene(rng)
        captions = tuple(write_caption(scene, rng) for _ in range(5))
        made.append(Item(f"{split}-{number}", f"key {number}", captions, facts_of(scene)))
    return made


def corpus():
    return [text for item in items("train", 60) for text in item.captions]
