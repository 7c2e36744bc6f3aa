import importlib
import json
import os
import random
from pathlib import Path

import pytest

from dico.metrics import tokenize
from dico.metrics.java_tokenizer import tokenizer_missing
from dico.metrics.meteor import meteor_missing
from dico.metrics.paraphrases import Needed

meteor_module = importlib.import_module("dico.metrics.meteor")

WORDS = ["a", "dog", "runs", "the", "red", "dog's", ".", ",", "a-b", "", " ", "  ", "\xa0x", "x\ty"]


@pytest.fixture(scope="session")
def java_tokenizer():
    if tokenizer_missing():
        pytest.skip(tokenizer_missing())


@pytest.fixture(scope="session")
def java_meteor(tmp_path_factory):
    """METEOR's program, started once with the paraphrases that all tests need."""
    if meteor_missing():
        pytest.skip(meteor_missing())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        meteor_module._process(Needed.of(tokenize(list(_references()))))
        yield


def _references():
    """Every text that a test of METEOR takes for a reference."""
    yield from ["hound runs fast", "the dog runs with speed", "a dog runs", "snow", "x y", "é 日本"]
    yield from ["a hound runs fast", "cats are sleeping on a bed", "a bus", "a large red bus"]
    yield from ["this is a test", "this is also a test", "Test en français", "Le test en français"]
    folder = Path(os.environ.get("DICO_TEST_DATA") or "../shared/data") / "metrics"
    for path in folder.glob("*_example/refs.json"):
        yield from (text for group in json.loads(path.read_text()).values() for text in group)
    for path in folder.glob("tiny_known_values/nlgeval_ref*.txt"):
        yield from path.read_text().splitlines()


@pytest.fixture
def make_sentence():
    """Sentences of few words, odd spaces included, so that n-grams meet and corners come up."""
    rng = random.Random(7)

    def make():
        return " ".join(rng.choice(WORDS) for _ in range(rng.choice([0, 1, 2, 4, 9, 14, 90])))

    return make
