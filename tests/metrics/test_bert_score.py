"""BERTScore against its definition, with a small random BERT in the format of real ones."""

import math

import pytest

from dico.errors import DataError
from dico.metrics import bert_score
from dico.models.torchvision_compat import ensure_torchvision_imports

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "dog", "##s", "run", "red", "the", "bus"]
CAPTIONS = ["a red bus", "dogs run", "the dog", "", "zebra"]
REFERENCES = [["the bus", "a red dog"], ["a dog run"], ["the dog"], ["a"], ["", "a"]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    import torch

    ensure_torchvision_imports()
    from transformers import BertConfig, BertModel, BertTokenizer

    place = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=32,
    )  # fmt: skip
    BertModel(config).save_pretrained(place)
    (place / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizer(str(place / "vocab.txt")).save_pretrained(place)
    return place


def naive(folder, caption, references, layer):
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    model.eval()

    def embed(text):
        with torch.no_grad():
            out = model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True)
        return [row / row.norm() for row in out.hidden_states[layer][0]]

    best = 0.0
    mine = embed(caption)
    for theirs in map(embed, references):
        if len(mine) > 2 and len(theirs) > 2:
            p = sum(max(float(a @ b) for b in theirs) for a in mine[1:-1]) / (len(mine) - 2)
            r = sum(max(float(a @ b) for a in mine) for b in theirs[1:-1]) / (len(theirs) - 2)
            best = max(best, 2 * p * r / (p + r))
    return best


@pytest.mark.parametrize("layer", [1, 2])
def test_equal_to_the_definition(folder, layer):
    score = bert_score(CAPTIONS, REFERENCES, folder, layer)
    for caption, group, own in zip(CAPTIONS, REFERENCES, score.per_image, strict=True):
        assert own == pytest.approx(naive(folder, caption, group, layer), abs=1e-5)
    assert score.per_image[2] == pytest.approx(1, abs=1e-5)
    assert score.per_image[3] == 0
    assert math.isclose(score.total, score.per_image.mean())


def test_the_last_layer_is_the_default(folder):
    last = bert_score(CAPTIONS, REFERENCES, folder, 2).per_image.tolist()
    assert bert_score(CAPTIONS, REFERENCES, folder).per_image.tolist() == last


def test_wrong_models_are_named(folder, tmp_path):
    with pytest.raises(DataError, match=r"no config\.json"):
        bert_score(["a"], [["a"]], tmp_path)
    with pytest.raises(DataError, match="has layers 1 to 2, not 3"):
        bert_score(["a"], [["a"]], folder, 3)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(DataError, match="not a model for BERTScore"):
        bert_score(["a"], [["a"]], tmp_path)
