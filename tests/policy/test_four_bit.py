"""Frozen weights in 4 bits: settings, refusals, and what is saved; products on a GPU are not run here."""

import importlib.util

import pytest
import torch

from dico.errors import ConfigError
from dico.models.captioner_config import HuggingFaceConfig
from dico.models.huggingface import add_adapters, load, open_checkpoint, save
from dico.models.huggingface.four_bit import four_bit_settings, require_four_bits
from dico.steps.preflight import preflight
from tests.policy.families import git, write_checkpoint

CAPTIONS = ["a red circle", "a blue square"]


@pytest.fixture
def folder(tmp_path):
    return write_checkpoint(git, tmp_path / "git", CAPTIONS)


def test_weights_that_are_trained_are_not_of_4_bits():
    with pytest.raises(ConfigError, match=r"load_in_4bit: needs captioner.lora_rank above 0"):
        HuggingFaceConfig(load_in_4bit=True)


def test_without_a_gpu_it_is_refused_in_a_line(folder, monkeypatch):
    from importlib.machinery import ModuleSpec

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: ModuleSpec(name, None) if name == "bitsandbytes" else find(name),
    )
    settings = HuggingFaceConfig(checkpoint=str(folder), lora_rank=2, load_in_4bit=True)
    with pytest.raises(ConfigError, match="needs a GPU of CUDA, and this process computes on cpu"):
        open_checkpoint(settings)


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ConfigError, match=r"the package bitsandbytes; install 'dico-captioner\[4"):
        require_four_bits("cuda")


def test_a_run_without_gpus_is_refused_before_it_begins(tmp_path):
    wanted = "captioner.architecture=huggingface captioner.checkpoint=a/b captioner.lora_rank=2"
    with pytest.raises(ConfigError, match=r"captioner.load_in_4bit: needs a GPU of CUDA; give gpu"):
        preflight(
            dataset="", images="", preset="toy", purpose="train", seed=1,
            overrides=f"{wanted} captioner.load_in_4bit=true", store=str(tmp_path),
            registry=str(tmp_path), model_name="", version="", force=False, gpu_type="", gpus=0,
            num_nodes=1, cpu="1", memory="1Gi", node_selector={}, tolerations=[],
        )  # fmt: skip


def test_transformers_is_told_qloras_settings():
    told = four_bit_settings("cuda:0")
    config = told["quantization_config"]
    assert config.quantization_method() == "nf4"
    assert (config.bnb_4bit_use_double_quant, config.bnb_4bit_compute_dtype) == (
        True,
        torch.bfloat16,
    )
    assert told["device_map"] == {"": torch.device("cuda:0")}


def test_what_is_saved_is_the_checkpoints_weights_and_the_adapters(folder, tmp_path, monkeypatch):
    """As if in 4 bits: the weights in memory are not those that are merged."""
    settings = HuggingFaceConfig(checkpoint=str(folder), lora_rank=2, dtype="bfloat16")
    captioner = open_checkpoint(settings)
    whole = {name: value.clone() for name, value in captioner.model.state_dict().items()}
    add_adapters(captioner.model, settings, captioner.language_model)
    name = next(
        n for n, _ in captioner.model.named_parameters() if n.endswith("lora_B.default.weight")
    )
    with torch.no_grad():
        for parameter in captioner.model.parameters():
            if parameter.requires_grad:
                parameter.normal_()  # the adapters
            else:
                parameter.zero_()  # what rounding to 4 bits would do, and more
    layer = captioner.model.get_submodule(name.removesuffix(".lora_B.default.weight"))
    expected = whole[name.replace("lora_B.default.weight", "weight")].float()
    expected = expected + layer.get_delta_weight("default").detach().float()
    monkeypatch.setattr(captioner.model, "is_loaded_in_4bit", True, raising=False)
    save(captioner, tmp_path / "saved")
    again = load(tmp_path / "saved").model.state_dict()
    found = again[name.replace("lora_B.default.weight", "weight")].float()
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-2)
    untouched = [n for n in whole if n.replace(".weight", "") not in name and "lora" not in n]
    assert torch.equal(again[untouched[0]], whole[untouched[0]])
    assert any("lora_" in n for n, _ in captioner.model.named_parameters()), "training goes on"
