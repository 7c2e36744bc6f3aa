"""The captioner's sizes, files and errors."""

import dataclasses
import json

import pytest
import torch

from dico.errors import ConfigError, DataError, DigestError
from dico.models.captioner import Captioner, CaptionerConfig
from dico.models.tokenizer import Tokenizer
from tests import builders

TOKENIZER = Tokenizer.train(["a red circle", "a blue square"], 300)
SIZES = dataclasses.replace(builders.SIZES, vocab_size=TOKENIZER.vocab_size)


def test_paper_sizes_have_the_papers_parameters():
    with torch.device("meta"):
        captioner = Captioner(CaptionerConfig())
    assert sum(p.numel() for p in captioner.parameters()) == 48_679_936
    assert (captioner.bos_id, captioner.eos_id, captioner.pad_id) == (49406, 49407, 49408)


def test_no_parameter_is_dead():
    captioner = Captioner(SIZES)
    memory = captioner.encode(torch.randn(2, 9, 12))
    captioner.logits(memory, torch.randint(0, 200, (4, 24))).square().sum().backward()
    assert [n for n, p in captioner.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_saved_and_loaded_captioners_are_equal(tmp_path):
    torch.manual_seed(0)
    captioner = Captioner(SIZES, TOKENIZER).eval()
    captioner.save(tmp_path)
    loaded = Captioner.load(tmp_path)
    features = torch.randn(2, 9, 12)
    assert not loaded.training
    assert loaded.tokenizer == TOKENIZER
    assert torch.equal(loaded.encode(features), captioner.encode(features))
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    loaded.save(tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()} == first


def test_half_precision_features_are_accepted():
    captioner = Captioner(SIZES)
    assert captioner.encode(torch.randn(2, 4, 12).half()).dtype == torch.float32


def test_broken_folders_are_named(tmp_path):
    Captioner(SIZES, TOKENIZER).save(tmp_path)
    weights = tmp_path / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    with pytest.raises(DigestError, match=r"model\.safetensors"):
        Captioner.load(tmp_path)
    with pytest.raises(DataError, match="nowhere: no such folder"):
        Captioner.load(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"digests\.json: missing"):
        Captioner.load(tmp_path / "empty")


def test_weights_of_another_size_are_refused(tmp_path):
    from dico.storage import write_digests

    Captioner(SIZES, TOKENIZER).save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"ffn_width": 65}))
    write_digests(tmp_path)
    with pytest.raises(DataError, match=r"ffn_in\.bias is \(64,\), and this model"):
        Captioner.load(tmp_path)


def test_impossible_settings_are_refused():
    with pytest.raises(ConfigError, match="whole heads"):
        CaptionerConfig(width=30)
    with pytest.raises(ConfigError, match="dropout"):
        CaptionerConfig(dropout=1.0)
    with pytest.raises(DataError, match="one vocabulary"):
        Captioner(CaptionerConfig(), TOKENIZER)
