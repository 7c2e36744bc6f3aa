"""CLIPs of others on files of the very same layout, with open_clip as the oracle."""

import pickle

import pytest
import torch

from dico.errors import ConfigError, DataError, StorageError
from dico.models.clip_config import ClipConfig
from dico.storage import sha256_file
from dico.weights.clip import import_clip, load_open_clip, merge_lora
from dico.weights.files import read_tensors
from dico.weights.huggingface import import_dico
from tests.models.clips import CLIP_DATA, RESNET_DATA, assert_features_alike, filled, rival_clip


class AsOpenAI(torch.nn.Module):
    """CLIP as OpenAI shipped it: half precision, traced, with three numbers that are no weights."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        for name, child in model.named_children():
            self.add_module(name, child)
        for name in ("positional_embedding", "text_projection", "logit_scale"):
            self.register_parameter(name, getattr(model, name))
        self.register_buffer("input_resolution", torch.tensor(32))
        self.register_buffer("context_length", torch.tensor(16))
        self.register_buffer("vocab_size", torch.tensor(50))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.visual(pixels)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("data", [CLIP_DATA, RESNET_DATA])
def test_openai_archives_are_read_without_running_them(tmp_path, data):
    theirs = rival_clip(data).half().float()
    path = tmp_path / "ViT-tiny.pt"
    traced = torch.jit.trace(AsOpenAI(theirs), torch.randn(1, 3, 32, 32))
    torch.jit.save(traced.half(), path)
    theirs.float()  # what is traced shares its weights
    config, tensors = import_clip(path, quick_gelu=True)
    assert config == ClipConfig.from_dict(data)
    for name, value in theirs.state_dict().items():
        assert torch.equal(tensors[name], value), name
    assert_features_alike(filled(config, tensors), theirs)


@pytest.mark.parametrize("data", [CLIP_DATA, RESNET_DATA])
@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"state_dict": s, "epoch": 3}])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_pac_checkpoints_give_open_clips_features(tmp_path, wrap, prefix, data):
    theirs = rival_clip(data)
    path = tmp_path / "clip_ViT-B-32.pth"
    torch.save(wrap({prefix + name: value for name, value in theirs.state_dict().items()}), path)
    config, tensors = import_clip(path, quick_gelu=True, sha256=sha256_file(path))
    assert_features_alike(filled(config, tensors), theirs)
    with pytest.raises(DataError, match="SHA-256"):
        import_clip(path, quick_gelu=True, sha256="0" * 64)


def test_low_rank_updates_are_merged_as_the_published_score_uses_them():
    torch.manual_seed(0)
    weights = {
        "visual.conv1.weight": torch.randn(6, 3, 4, 4),
        "visual.conv1.lora_A": torch.randn(2 * 4, 3 * 4),
        "visual.conv1.lora_B": torch.randn(6 * 4, 2 * 4),
        "a.attn.in_proj_weight": torch.randn(9, 3),
        "a.attn.in_proj_weight_lora_A": torch.randn(2, 3),
        "a.attn.in_proj_weight_lora_B": torch.randn(9, 2),
        "a.attn.out_proj.weight": torch.randn(3, 3),
        "a.attn.out_proj.lora_A": torch.randn(2, 3),
        "a.attn.out_proj.lora_B": torch.randn(3, 2),
        "a.mlp.c_fc.weight": torch.randn(5, 3),
        "a.mlp.c_fc.lora_A": torch.randn(2, 3),
        "a.mlp.c_fc.lora_B": torch.randn(5, 2),
        "a.ln_1.weight": torch.randn(3),
    }
    merged = merge_lora(dict(weights))
    x = torch.randn(7, 3)
    for name in ("a.attn.in_proj_weight", "a.attn.out_proj.weight"):
        stem = f"{name}_" if "in_proj" in name else name.removesuffix("weight")
        low = x @ weights[f"{stem}lora_A"].T @ weights[f"{stem}lora_B"].T / 2
        torch.testing.assert_close(x @ merged[name].T, x @ weights[name].T + low)
    update = (weights["visual.conv1.lora_B"] @ weights["visual.conv1.lora_A"]).view(6, 3, 4, 4) / 2
    torch.testing.assert_close(
        merged["visual.conv1.weight"], weights["visual.conv1.weight"] + update
    )
    assert torch.equal(merged["a.mlp.c_fc.weight"], weights["a.mlp.c_fc.weight"])
    added = merge_lora(dict(weights), "add")["a.mlp.c_fc.weight"]
    low = x @ weights["a.mlp.c_fc.lora_A"].T @ weights["a.mlp.c_fc.lora_B"].T / 2
    torch.testing.assert_close(x @ added.T, x @ weights["a.mlp.c_fc.weight"].T + low)
    assert sorted(merged) == sorted(name for name in weights if "lora" not in name)


RANK = 4


def low_rank(theirs: torch.nn.Module):
    """The updates of a PAC-S++ file, by its names: attention, MLP and patches of both towers."""
    updates = {
        "visual.conv1.lora_A": torch.randn(RANK * 8, 3 * 8),  # patches of 8 x 8 pixels
        "visual.conv1.lora_B": torch.randn(64 * 8, RANK * 8),
    }
    for tower in ("visual.transformer", "transformer"):
        for block in (f"{tower}.resblocks.0", f"{tower}.resblocks.1"):
            for name, num_in, num_out in [
                ("attn.in_proj_weight_", 64, 192),
                ("attn.out_proj.", 64, 64),
                ("mlp.c_fc.", 64, 256),
                ("mlp.c_proj.", 256, 64),
            ]:
                updates[f"{block}.{name}lora_A"] = torch.randn(RANK, num_in)
                updates[f"{block}.{name}lora_B"] = torch.randn(num_out, RANK)
    return {name: 0.1 * value for name, value in updates.items()}


@pytest.mark.parametrize("mlp_lora", ["stored", "add"])
def test_a_pac_plus_plus_file_gives_the_features_of_its_merged_weights(tmp_path, mlp_lora):
    theirs = rival_clip()
    state, updates = theirs.state_dict(), low_rank(theirs)
    assert len(updates) == 2 + 2 * 2 * 4 * 2
    path = tmp_path / "PAC++_clip_ViT-B-32.pth"
    torch.save({"state_dict": {**state, **updates}, "epoch": 3}, path)
    config, tensors = import_clip(path, quick_gelu=True, mlp_lora=mlp_lora)
    assert config == ClipConfig.from_dict(CLIP_DATA)
    assert tensors.keys() == state.keys()
    ours = filled(config, tensors)
    pixels = torch.randn(2, 3, 32, 32)
    stored = theirs.encode_image(pixels, normalize=True)
    assert (ours.encode_image(pixels) - stored).abs().max() > 0.01
    product = updates["visual.conv1.lora_B"] @ updates["visual.conv1.lora_A"] / 4
    state["visual.conv1.weight"] += product.view(64, 3, 8, 8)
    for tower in ("visual.transformer", "transformer"):
        for block in (f"{tower}.resblocks.0", f"{tower}.resblocks.1"):
            for weight in ("attn.in_proj_weight", "attn.out_proj.weight"):
                stem = f"{block}.{weight}_" if "in_proj" in weight else f"{block}.attn.out_proj."
                state[f"{block}.{weight}"] += (
                    updates[f"{stem}lora_B"] @ updates[f"{stem}lora_A"] / 4
                )
            for layer in ("mlp.c_fc", "mlp.c_proj") if mlp_lora == "add" else ():
                stem = f"{block}.{layer}."
                state[f"{stem}weight"] += updates[f"{stem}lora_B"] @ updates[f"{stem}lora_A"] / 4
    assert_features_alike(ours, theirs)  # whose weights the state dict is


@pytest.mark.parametrize("data", [CLIP_DATA, RESNET_DATA])
def test_open_clip_names_and_files(tmp_path, publish, data):
    theirs = rival_clip(data)
    publish("dico-test-tiny", data, theirs)
    for pretrained in ("own", str(tmp_path / "dico-test-tiny.pt")):
        config, tensors = load_open_clip("dico-test-tiny", pretrained)
        assert config == ClipConfig.from_dict(data)
        assert all(torch.equal(tensors[key], value) for key, value in theirs.state_dict().items())
        assert_features_alike(filled(config, tensors), theirs)
    with pytest.raises(ConfigError, match="known are"):
        load_open_clip("ViT-B-32", "nowhere")
    with pytest.raises(ConfigError, match="no model"):
        load_open_clip("ViT-X", "openai")


class Evil:
    """Would run a command if it were unpickled."""

    def __reduce__(self):
        return (print, ("unpickled",))


def test_files_that_carry_code_or_nothing_are_refused(tmp_path, capsys):
    torch.save({"state_dict": {"x": Evil()}}, tmp_path / "evil.pth")
    (tmp_path / "plain.bin").write_bytes(pickle.dumps(Evil()))
    (tmp_path / "text.safetensors").write_text("no")
    torch.save({"epoch": 3}, tmp_path / "empty.pt")
    (tmp_path / "folder").mkdir()
    for name in ("evil.pth", "plain.bin", "text.safetensors", "empty.pt", "folder", "absent.pt"):
        with pytest.raises(DataError, match=name):
            read_tensors(tmp_path / name)
    assert "unpickled" not in capsys.readouterr().out


def test_archives_that_name_other_classes_are_refused(tmp_path):
    import zipfile

    path = tmp_path / "evil.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("evil/data.pkl", pickle.dumps(Evil()))
        archive.writestr("evil/constants.pkl", b"")
    with pytest.raises(DataError, match="has no place"):
        read_tensors(path)


def test_weights_of_something_else_are_named(tmp_path):
    torch.save({"x": torch.ones(2)}, tmp_path / "other.pt")
    with pytest.raises(DataError, match="no CLIP"):
        import_clip(tmp_path / "other.pt", quick_gelu=False)
    (tmp_path / "config.json").write_text("{}")
    torch.save({"x": torch.ones(2)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(DataError, match="not a DiCO checkpoint"):
        import_dico(tmp_path)


@pytest.mark.parametrize("quick_gelu", [True, False])
def test_a_tag_tells_its_activation(publish, quick_gelu):
    data = CLIP_DATA | {"quick_gelu": False}
    theirs = rival_clip(data | {"quick_gelu": quick_gelu})
    publish("dico-test-tiny", data, theirs, quick_gelu=quick_gelu)
    config, tensors = load_open_clip("dico-test-tiny", "own")
    assert config.quick_gelu is quick_gelu
    assert_features_alike(filled(config, tensors), theirs)


def test_a_tag_that_cannot_be_fetched_is_told_in_a_line(publish, tmp_path):
    publish("dico-test-tiny", CLIP_DATA, rival_clip(), file=str(tmp_path / "absent.pt"))
    with pytest.raises(StorageError, match=r"dico-test-tiny:own: .*give a file") as wrong:
        load_open_clip("dico-test-tiny", "own")
    assert "\n" not in str(wrong.value)
