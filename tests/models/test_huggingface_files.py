"""A captioner's folder is looked at before anything is loaded."""

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from dico.errors import ConfigError, DataError
from dico.models.captioner_config import HuggingFaceConfig
from dico.models.huggingface_files import check_files
from dico.steps.resolve_config import resolve_config


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llava"}))
    save_file({"model.layers.0.q_proj.weight": torch.zeros(2, 2)}, tmp_path / "model.safetensors")
    return tmp_path


def config(folder, **settings):
    return HuggingFaceConfig(checkpoint=str(folder), **settings)


def test_what_is_right_or_not_here_passes(folder):
    check_files(config(folder, lora_rank=2, lora_targets=("q_proj",)))
    check_files(config(folder / "elsewhere"))


def test_names_of_adapters_are_looked_up_in_the_header(folder):
    told = r"captioner\.lora_targets: no module ends in 'proj'; they end in q_proj"
    with pytest.raises(ConfigError, match=told):
        check_files(config(folder, lora_rank=2, lora_targets=("proj",)))
    overrides = (
        f'captioner.architecture=huggingface captioner.checkpoint="{folder}" '
        'captioner.lora_rank=2 captioner.lora_targets=["proj"]'
    )
    with pytest.raises(ConfigError, match=told):
        resolve_config("toy", overrides)


def test_a_folder_that_holds_no_model_is_named(folder):
    (folder / "model.safetensors").write_bytes(b"\xff" * 20)
    with pytest.raises(DataError, match="not a safetensors file"):
        check_files(config(folder))
    (folder / "model.safetensors").unlink()
    with pytest.raises(DataError, match=r"no model\.safetensors"):
        check_files(config(folder))
    (folder / "config.json").write_text("[]")
    with pytest.raises(DataError, match=r"config\.json: names no model_type"):
        check_files(config(folder))


def test_it_loads_neither_torch_nor_transformers():
    code = "import sys, dico.models.huggingface_files; print({'torch', 'transformers'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
