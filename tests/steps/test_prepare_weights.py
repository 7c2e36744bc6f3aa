"""Weights by name, from the Hub into the store: commits, digests, and one line for what is wrong."""

import json

import pytest
import torch

from dico.errors import AccessError, ConfigError, DicoError, StorageError
from dico.steps.prepare_weights import prepare_weights
from dico.weights.keeping import at_hand
from dico.weights.pins import pins_from_json
from tests.hub_server import TOKEN
from tests.policy import families
from tests.weights.test_encoders import open_clip_data, save_open_clip, transformers_clip


@pytest.fixture
def prepare(tmp_path):
    def run(evaluator=None, captioner=None, store=tmp_path / "store"):
        return prepare_weights(
            json.dumps(evaluator or {}), "{}", json.dumps(captioner or {}), str(store)
        )

    return run


def blip(folder):
    return families.write_checkpoint(families.blip, folder, ["a dog runs", "two red birds"])


def captioner_of(name, **more):
    return {"architecture": "huggingface", "checkpoint": name, **more}


def test_a_name_becomes_a_commit_and_its_files_are_fetched_once(tmp_path, hub, prepare):
    commit = hub.push("acme/blip", blip(tmp_path / "blip"), licence="bsd-3-clause")
    first = prepare(captioner=captioner_of("acme/blip"))
    pin = pins_from_json(first.captioner)["checkpoint"]
    assert (pin.commit, pin.licence, pin.name) == (commit, "bsd-3-clause", "acme/blip")
    fetched = dict(hub.fetched)
    assert fetched["acme/blip/model.safetensors"] == 1
    assert prepare(captioner=captioner_of("acme/blip")) == first
    assert hub.fetched["acme/blip/model.safetensors"] == 1
    with at_hand(pin) as folder:
        assert (folder / "model.safetensors").read_bytes() == (
            tmp_path / "blip" / "model.safetensors"
        ).read_bytes()
    (tmp_path / "blip" / "README.md").write_text("another word")
    moved = hub.push("acme/blip", tmp_path / "blip", licence="bsd-3-clause")
    second = pins_from_json(prepare(captioner=captioner_of("acme/blip")).captioner)["checkpoint"]
    assert second.commit == moved != commit
    assert second.sha256 == pin.sha256
    assert hub.fetched["acme/blip/model.safetensors"] == 1
    pinned = prepare(captioner=captioner_of(f"acme/blip@{commit}"))
    assert pins_from_json(pinned.captioner)["checkpoint"].commit == commit


def test_data_that_a_card_names_are_pinned_and_told(tmp_path, hub, prepare):
    from dico.weights.origin import captioner_origin
    from dico.weights.pins import pins_to_json

    hub.push("acme/blip", blip(tmp_path / "blip"), licence="mit", datasets=("HuggingFaceM4/COCO",))
    pins = pins_from_json(prepare(captioner=captioner_of("acme/blip")).captioner)
    assert pins["checkpoint"].trained_on == "HuggingFaceM4/COCO"
    told = {"published": json.loads(pins_to_json(pins))}
    (tmp_path / "training.json").write_text(json.dumps(told))
    assert "licence mit, trained on HuggingFaceM4/COCO)" in captioner_origin(tmp_path)
    hub.push("acme/silent", tmp_path / "blip", licence="mit")
    silent = prepare(captioner=captioner_of("acme/silent")).captioner
    (tmp_path / "training.json").write_text(json.dumps({"published": json.loads(silent)}))
    assert "trained on data that its card does not name)" in captioner_origin(tmp_path)


def test_what_was_fetched_serves_without_a_network(tmp_path, hub, prepare, monkeypatch, capsys):
    hub.push("acme/blip", blip(tmp_path / "blip"))
    online = prepare(captioner=captioner_of("acme/blip"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert pins_from_json(prepare(captioner=captioner_of("acme/blip")).captioner) == pins_from_json(
        online.captioner
    )
    assert "HF_HUB_OFFLINE is set; acme/blip is taken at commit" in capsys.readouterr().err
    with pytest.raises(
        StorageError, match=r"dico weights fetch acme/other --store .* unpack"
    ) as end:
        prepare(captioner=captioner_of("acme/other"))
    assert "\n" not in str(end.value)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(StorageError, match="cannot be asked for acme/other"):
        prepare(captioner=captioner_of("acme/other"))


def test_a_store_of_a_closed_network_is_filled_by_a_tar(tmp_path, hub, prepare, monkeypatch):
    from tests.weights.command import main

    hub.push("acme/blip", blip(tmp_path / "blip"), licence="mit")
    assert main(["fetch", "acme/blip", "--store", tmp_path / "open"]) == 0
    archive = tmp_path / "weights.tar"
    assert main(["pack", archive, "--store", tmp_path / "open"]) == 0
    assert main(["unpack", archive, "--store", tmp_path / "closed"]) == 0
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = prepare(captioner=captioner_of("acme/blip"), store=tmp_path / "closed")
    pin = pins_from_json(found.captioner)["checkpoint"]
    assert pin.uri.startswith(str(tmp_path / "closed"))
    with at_hand(pin) as folder:
        assert (folder / "config.json").is_file()


def test_wrong_names_and_kinds_are_one_line_before_anything_is_fetched(tmp_path, hub, prepare):
    hub.push("acme/blip", blip(tmp_path / "blip"))
    transformers_clip(tmp_path / "clip", 1)
    hub.push("acme/clip", tmp_path / "clip")
    wrong = [
        ({}, captioner_of("acme/nothing"), "has no model acme/nothing"),
        ({}, captioner_of("acme/blip@v9"), "no revision 'v9'"),
        ({}, captioner_of("acme/clip"), "captions no images"),
        ({"weights": "acme/blip"}, {}, "an evaluator is a dual encoder"),
        ({"weights": "ViT-B-33:openai"}, {}, "knows no model 'ViT-B-33' .did you mean"),
        ({"weights": "ViT-B-32:nothing"}, {}, "has no 'nothing'; known are openai"),
        ({"weights": "./nowhere"}, {}, "no such file or folder"),
        ({"weights": "just words"}, {}, "names no weights"),
        ({"weights": "acme/clip", "pac": "clip_ViT-B-32.pth"}, {}, "github.com/aimagelab/pacscore"),
        (
            {},
            captioner_of("acme/blip", lora_rank=2, lora_targets=["q_prj"]),
            "has no layer 'q_prj' to adapt",
        ),
    ]
    for evaluator, captioner, message in wrong:
        with pytest.raises(ConfigError, match=message) as end:
            prepare(evaluator, captioner)
        assert "\n" not in str(end.value)
    assert not [name for name in hub.fetched if name.endswith(".safetensors")]


def test_gated_and_private_models_ask_for_a_token(tmp_path, hub, prepare, monkeypatch):
    hub.push("acme/gated", blip(tmp_path / "blip"), gated=True)
    hub.push("acme/private", tmp_path / "blip", private=True)
    with pytest.raises(AccessError, match="acme/gated is gated: accept its terms"):
        prepare(captioner=captioner_of("acme/gated"))
    with pytest.raises(DicoError, match="or it is private and HF_TOKEN may not read it"):
        prepare(captioner=captioner_of("acme/private"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    for name in ("acme/gated", "acme/private"):
        found = prepare(captioner=captioner_of(name))
        assert TOKEN not in found.captioner
        assert pins_from_json(found.captioner)["checkpoint"].commit


def test_a_bin_file_becomes_safetensors_and_code_is_refused(tmp_path, hub, prepare):
    from safetensors.torch import load_file

    folder = blip(tmp_path / "blip")
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin")
    hub.push("acme/old", folder)
    pin = pins_from_json(prepare(captioner=captioner_of("acme/old")).captioner)["checkpoint"]
    with at_hand(pin) as kept:
        assert not list(kept.glob("*.bin"))
        assert load_file(kept / "model.safetensors").keys() == tensors.keys()


@pytest.mark.filterwarnings("ignore")
def test_names_of_open_clip_are_repositories_of_the_hub(tmp_path, publish, hub, prepare):
    from dico.steps.published import pins_of
    from dico.training.configs import EvaluatorTrainingConfig
    from dico.weights.encoders import read_encoder

    data = open_clip_data("ViT-B-16-SigLIP", "test_vit", 64, 64)
    theirs = save_open_clip(tmp_path / "model", data)
    publish("dico-test-siglip", data, theirs, resize_mode="squash", mean=(0.5,) * 3)
    folder = tmp_path / "published" / "dico-test-siglip"
    for path in (tmp_path / "model").glob("*"):
        if path.suffix == ".json" and path.name != "open_clip_config.json":
            (folder / path.name).write_bytes(path.read_bytes())
    hub.push("acme/dico-test-siglip", folder, licence="apache-2.0")
    settings = EvaluatorTrainingConfig(weights="dico-test-siglip:own")
    pin = pins_of(settings, "evaluator", str(tmp_path / "store"), "{}")["clip"]
    assert (pin.architecture, pin.licence) == ("dico-test-siglip:own", "apache-2.0")
    with at_hand(pin) as kept:
        found = read_encoder(kept, pin.architecture)
    assert found.pixels.resize == "squash"
    assert found.config.context_length == 64
