"""English words brought to the form that a list of names knows, as CHAIR's two procedures do it.

`singular` gives what the package pattern's ``singularize`` gives, oddities included, for a
published score counts them: "bus" becomes "bu" and is no bus, "ties" becomes "ty". It was written
from what the package answers and is held to a record of its answers by tests. `lemma` is by rules
of English; nltk's tagger, which decides whether "skiing" is a verb, is not imitated in full.
"""

import re
from collections.abc import Collection

_IRREGULAR_ENDINGS = {
    "people": "person", "children": "child", "men": "man", "feet": "foot", "teeth": "tooth",
    "geese": "goose", "oxen": "ox", "cattle": "cattle",
}  # fmt: skip
_UNCHANGED = frozenset("scissors pliers series species news swiss shears doggies collies".split())  # noqa: SIM905
_SINGULAR_RULES = tuple(
    (re.compile(pattern), ending)
    for pattern, ending in (
        ("(?<=shoe)s$|(?<=o)es$|(?<=bus)es$|(?:(?<=x)|(?<=ch)|(?<=ss)|(?<=sh))es$", ""),
        ("(?<=[ml])ice$", "ouse"),
        ("(?<=[^aeiouy])ies$", "y"),
        ("(?<=[tsh]ive)s$", ""),
        ("(?<=[aeo]l)ves$|(?<=[^d]ea)ves$|(?<=ar)ves$", "f"),
        ("(?<=[nlw]i)ves$", "fe"),
        ("(?<=[lr])ves$", "f"),
        ("(?<=[aeo])ves$", "ve"),
        ("(?<=[^f])ves$", "fe"),
        ("s$", ""),
    )
)
_IRREGULAR = {
    "men": "man", "women": "woman", "children": "child", "mice": "mouse", "geese": "goose",
    "oxen": "ox", "feet": "foot", "teeth": "tooth", "knives": "knife", "calves": "calf",
    "wolves": "wolf", "loaves": "loaf", "policemen": "policeman", "cacti": "cactus",
    "firemen": "fireman", "snowmen": "snowman", "fishermen": "fisherman",
}  # fmt: skip
_LEMMA_QUIRKS = {"men": "men", "vases": "vas", "seating": "seating"}
"""Where WordNet's lemmatiser has its own way: "men" is an entry of its own, and so is "vas"."""
_BEFORE_NOUNS = frozenset(["a", "the", "her", "his", "their", "own", "your"])
"""After these an -ing form is a noun, and stays."""


def singular(word: str) -> str:
    """The singular of a lower-case word, as pattern gives it."""
    if word in _UNCHANGED:
        return word
    for ending, one in _IRREGULAR_ENDINGS.items():
        if word.endswith(ending):
            return word.removesuffix(ending) + one
    for pattern, ending in _SINGULAR_RULES:
        if pattern.search(word):
            return pattern.sub(ending, word)
    return word


def lemma(word: str, left: str, known: Collection[str]) -> str:
    """The form of a lower-case word, noun or verb, that is in ``known``; else the word itself.

    Args:
        word: to be reduced.
        left: the word before it.
        known: words that count.
    """
    special = _LEMMA_QUIRKS.get(word) or _IRREGULAR.get(word)
    if special:
        return special
    if word.endswith("s"):
        for ending, one in (("ies", "y"), ("ves", "f"), ("es", ""), ("s", "")):
            stem = word.removesuffix(ending) + one
            if word.endswith(ending) and stem in known:
                return stem
    if left not in _BEFORE_NOUNS and word not in known:
        for ending in ("ing", "ed"):
            stem = word.removesuffix(ending)
            for base in (stem, stem + "e", stem[:-1] if stem[-2:-1] == stem[-1:] else stem):
                if word.endswith(ending) and base in known:
                    return base
    return word
