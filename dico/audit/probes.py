"""Captions that hack a reward: more of the same, no sentence, no image, no end.

Each is compared with the human caption that it was made from. An evaluator that prefers the
hack pays for it, and a captioner that is trained on it will learn that.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence

from dico.audit.items import Item, Pair
from dico.facts.reading import caption_words
from dico.metrics.fluency import BAD_ENDINGS

TAIL_WORDS = 3
MAX_APPENDED = 3
"""Phrases that are appended for the slope with length."""


def hack_pairs(items: Sequence[Item], corpus: Sequence[str], seed: int) -> list[Pair]:
    """One pair of each kind for each image.

    Args:
        items: images with captions.
        corpus: captions of the training split: the generic caption and the popular phrases.
        seed: of the choices.
    """
    split = [caption_words(caption) for caption in corpus]
    (generic, _), *_ = Counter(" ".join(words) for words in split).most_common(1)
    tails = Counter(tuple(w[-TAIL_WORDS:]) for w in split if len(w) > TAIL_WORDS)
    popular = [list(tail) for tail, _ in tails.most_common(20)]
    pairs = []
    for place, item in enumerate(items):
        rng = random.Random(f"{seed}/{item.image_id}/hacks")
        words = caption_words(rng.choice(item.captions))
        for kind, hacked in _hacks(words, item, generic.split(), popular, rng):
            if hacked != words:
                pairs.append(Pair(place, "hack", kind, " ".join(words), " ".join(hacked)))
    return pairs


def _hacks(
    words: list[str],
    item: Item,
    generic: list[str],
    popular: list[list[str]],
    rng: random.Random,
) -> Iterator[tuple[str, list[str]]]:
    yield "repeated n-gram", words + words[-2:] * 2
    yield "repeated caption", words + words
    shuffled = list(words)
    rng.shuffle(shuffled)
    yield "word salad", shuffled
    everything = [word for caption in item.captions for word in caption_words(caption)]
    yield "keywords", [w for w in dict.fromkeys(everything) if w not in BAD_ENDINGS]
    others = [tail for tail in popular if not set(tail) <= set(everything)]
    rng.shuffle(others)
    for number, _ in enumerate(others[:MAX_APPENDED], 1):
        added = [word for tail in others[:number] for word in tail]
        yield f"appended phrases, {number}", words + added
    yield "cut-off ending", [*words[: max(2, len(words) * 2 // 3)], "with", "a"]
    yield "generic caption", generic
