import json

import pytest

from dico.errors import DataError
from dico.metrics import Synonyms, chair
from dico.metrics.chair import mentions
from dico.metrics.word_forms import singular

SYNONYMS = """person, man, woman, people, skier
dog, puppy, pup
skateboard, skate board
chair, seat, stool
toilet, urinal
bear, panda
bird, duck
skis, ski
"""


@pytest.fixture
def synonyms(tmp_path):
    path = tmp_path / "synonyms.txt"
    path.write_text(SYNONYMS)
    return Synonyms.read(path)


@pytest.mark.parametrize(
    ("caption", "objects"),
    [
        ("Two puppies and a woman's dog.", ["dog", "person", "dog"]),
        ("A toilet seat is up", ["toilet"]),
        ("the seat of the toilet", ["toilet"]),
        ("a baby bird on a stool", ["bird", "chair"]),
        ("She is skateboarding past the seats", ["skateboard", "chair"]),
        ("enjoying the skateboarding", []),
        ("nothing at all", []),
    ],
)
def test_mentions(synonyms, caption, objects):
    assert mentions(caption, synonyms) == objects


def test_verbs_count_in_one_procedure_only(synonyms):
    assert mentions("people are skiing", synonyms, "singular") == ["person"]
    assert mentions("people are skiing", synonyms, "lemma") == ["person", "skis"]


# what the package pattern answers; its oddities are part of the procedure of 2018
SINGULAR = """
dogs dog|men man|women woman|people person|children child|buses bus|bus bu|benches bench|knives knife
mice mouse|geese goose|puppies puppy|ties ty|skies sky|couches couch|wolves wolf|calves calf|skis ski
glasses glass|glass glas|scissors scissors|oxen ox|locomotives locomotive|donuts donut|tennis tenni
canoes cano|boxes box|dishes dish|doggies doggies|gentlemen gentleman|vases vase|horses horse|dog dog
"""


@pytest.mark.parametrize("pair", SINGULAR.replace("\n", "|").strip("|").split("|"))
def test_singular_is_that_of_2018(pair):
    word, one = pair.split(" ")
    assert singular(word) == one


def test_two_word_names_of_2018_are_fewer(synonyms):
    assert mentions("on a skate board", synonyms, "lemma") == ["skateboard"]
    assert mentions("on a skate board", synonyms, "singular") == []
    assert mentions("a teddy bear", synonyms, "lemma") == ["bear"]
    assert mentions("a teddy bear", synonyms, "singular") == []


def test_rates(synonyms):
    captions = ["a dog and a dog on a chair", "a man", "a bear"]
    score = chair(captions, [{"dog"}, {"person", "bird"}, {"bear"}], synonyms)
    assert score.chair_s == 1 / 3
    assert score.chair_i == 1 / 5
    assert score.recall == 3 / 4
    assert score.per_image.tolist() == [pytest.approx(1 / 3), 0, 0]
    assert score.hallucinated == [["chair"], [], []]


def test_bad_input(synonyms, tmp_path):
    with pytest.raises(DataError, match="1 captions for 0 lists"):
        chair(["a"], [], synonyms)
    with pytest.raises(DataError, match="not a list of synonyms"):
        Synonyms.read(tmp_path)


@pytest.fixture(scope="module")
def published(real_data):
    folder = real_data / "metrics/chair"
    report = json.loads((folder / "regular_chair.json").read_text())
    truth = json.loads((folder / "gt_objects.json").read_text())
    sentences = report["sentences"]
    shown = [truth[str(sentence["image_id"])] for sentence in sentences]
    return Synonyms.read(folder / "synonyms.txt"), sentences, shown, report["overall_metrics"]


def test_published_table_from_the_published_words(published):
    synonyms, sentences, shown, table = published
    score = chair([sentence["words"] for sentence in sentences], shown, synonyms)
    assert score.chair_s == pytest.approx(table["CHAIRs"], abs=1e-12)
    assert score.chair_i == pytest.approx(table["CHAIRi"], abs=1e-12)
    assert score.recall == pytest.approx(table["Recall"], abs=1e-12)
    assert score.mentioned == [sentence["mscoco_generated_words"] for sentence in sentences]


def test_published_table_from_raw_captions(published):
    synonyms, sentences, shown, table = published
    score = chair([sentence["caption"] for sentence in sentences], shown, synonyms)
    assert score.chair_s == pytest.approx(table["CHAIRs"], abs=1e-12)
    assert score.chair_i == pytest.approx(table["CHAIRi"], abs=5e-4)
    assert score.recall == pytest.approx(table["Recall"], abs=1e-3)
    own = [sentence["mscoco_generated_words"] for sentence in sentences]
    assert sum(a != b for a, b in zip(score.mentioned, own, strict=True)) <= 15
