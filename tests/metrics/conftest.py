import random

import pytest

from dico.metrics.java_tokenizer import tokenizer_missing
from dico.metrics.meteor import meteor_missing

WORDS = ["a", "dog", "runs", "the", "red", "dog's", ".", ",", "a-b", "", " ", "  ", "\xa0x", "x\ty"]


@pytest.fixture(scope="session")
def java_tokenizer():
    if tokenizer_missing():
        pytest.skip(tokenizer_missing())


@pytest.fixture(scope="session")
def java_meteor():
    if meteor_missing():
        pytest.skip(meteor_missing())


@pytest.fixture
def make_sentence():
    """Sentences of few words, odd spaces included, so that n-grams meet and corners come up."""
    rng = random.Random(7)

    def make():
        return " ".join(rng.choice(WORDS) for _ in range(rng.choice([0, 1, 2, 4, 9, 14, 90])))

    return make
