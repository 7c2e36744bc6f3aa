"""Weights of others on files of the very same layout, with rival implementations as oracles."""

import json
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dico.decoding import DecodingConfig, beam_search
from dico.errors import ConfigError, DataError, DigestError, StorageError
from dico.models.captioner import Captioner
from dico.models.captioner_config import CaptionerConfig
from dico.models.clip import ClipConfig, ClipModel
from dico.models.torchvision_compat import ensure_torchvision_imports
from dico.models.weights.clip import import_clip, load_open_clip, merge_lora
from dico.models.weights.files import read_tensors
from dico.models.weights.huggingface import export_dico, import_dico
from dico.storage import sha256_file

ensure_torchvision_imports()
CLIP_DATA = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 50, "width": 64, "heads": 1, "layers": 2},
    "quick_gelu": True,
}
RESNET_DATA = CLIP_DATA | {
    "vision_cfg": {"image_size": 32, "layers": [1, 2, 1, 1], "width": 16, "patch_size": None}
}
SIZES = {"width": 32, "layers": 2, "heads": 4, "vocab_size": 40, "feature_width": 64}


def perturb(model: torch.nn.Module) -> torch.nn.Module:
    torch.manual_seed(0)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.15 * torch.randn_like(value))
    return model.eval()


def rival_clip(data=CLIP_DATA) -> torch.nn.Module:
    from open_clip.model import CLIP

    model = perturb(CLIP(**ClipConfig.from_dict(data).to_dict()))
    for name, value in model.named_buffers():  # a ResNet's statistics, as after training
        if name.endswith(("running_mean", "running_var")):
            value.add_(0.3 * torch.rand_like(value))
        elif name.endswith("num_batches_tracked"):
            value.fill_(1000)
    return model


def assert_features_alike(ours: ClipModel, theirs: torch.nn.Module) -> None:
    """Image and text features equal to open_clip's within 1e-5."""
    pixels = torch.randn(2, 3, 32, 32)
    tokens = torch.tensor([[47, 3, 9, 49] + [0] * 12])
    with torch.no_grad():
        expected = theirs.encode_image(pixels, normalize=True)
        torch.testing.assert_close(ours.encode_image(pixels), expected, atol=1e-5, rtol=0)
        expected = theirs.encode_text(tokens, normalize=True)
        torch.testing.assert_close(ours.encode_text(tokens), expected, atol=1e-5, rtol=0)


def filled(config: ClipConfig, tensors) -> ClipModel:
    model = ClipModel(config).eval()
    model.load_state_dict(tensors, strict=True)
    return model


def rival_captioner():
    """The parts of an authors' checkpoint, in transformers' own classes."""
    from transformers import (
        BertConfig,
        BertModel,
        CLIPVisionConfig,
        CLIPVisionModel,
        GPT2Config,
        GPT2LMHeadModel,
    )

    width, vocab_size = SIZES["width"], SIZES["vocab_size"]
    bert = BertConfig(
        hidden_size=width,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=20,
        vocab_size=99,
    )
    gpt2 = GPT2Config(
        n_embd=width,
        n_layer=2,
        n_head=4,
        n_inner=64,
        n_positions=30,
        vocab_size=vocab_size,
        add_cross_attention=True,
        is_decoder=True,
        bos_token_id=vocab_size - 3,
        eos_token_id=vocab_size - 2,
        pad_token_id=vocab_size - 1,
    )
    vision = CLIPVisionConfig(
        hidden_size=64,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=1,
        image_size=32,
        patch_size=8,
    )
    parts = (CLIPVisionModel(vision), torch.nn.Linear(64, width), BertModel(bert))
    return (*(perturb(part) for part in parts), perturb(GPT2LMHeadModel(gpt2)))


def checkpoint(folder, parts, name: str) -> None:
    """Writes an authors' checkpoint, with the buffers that transformers 4.20 stored."""
    vision, projection, bert, gpt2 = parts
    prefixed = {
        "encoder.vision_encoder.": vision.state_dict(),
        "encoder.vis_enc_to_enc_proj.": projection.state_dict(),
        "encoder.encoder.": bert.state_dict(),
        "decoder.": gpt2.state_dict(),
    }
    tensors = {
        prefix + key.removeprefix("vision_model."): value.clone()
        for prefix, state in prefixed.items()
        for key, value in state.items()
    }
    tensors["encoder.encoder.embeddings.position_ids"] = torch.arange(20)[None]
    for layer in range(2):
        attention = f"decoder.transformer.h.{layer}.attn"
        tensors[f"{attention}.bias"] = torch.ones(1, 1, 30, 30, dtype=torch.uint8).tril()
        tensors[f"{attention}.masked_bias"] = torch.tensor(-1e4)
    encoder = {"model_type": "vision-encoder-encoder", "encoder": bert.config.to_dict()}
    config = {
        "model_type": "vision-encoder-decoder",
        "encoder": encoder,
        "decoder": gpt2.config.to_dict(),
    }
    (folder / "config.json").write_text(json.dumps(config))
    if name.endswith(".bin"):
        torch.save(tensors, folder / name)
    else:
        save_file(tensors, folder / name)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_authors_checkpoint_gives_their_logits_and_captions(tmp_path, name):
    from transformers import EncoderDecoderModel
    from transformers.modeling_outputs import BaseModelOutput

    parts = rival_captioner()
    checkpoint(tmp_path, parts, name)
    captioner = import_dico(tmp_path)
    vision, projection, bert, gpt2 = parts
    torch.manual_seed(1)
    with torch.no_grad():
        pixels = torch.randn(4, 3, 32, 32)
        features = vision(pixels).last_hidden_state
        expected = bert(inputs_embeds=projection(features)).last_hidden_state
        memory = captioner.encode(features)
        torch.testing.assert_close(memory, expected, atol=1e-5, rtol=0)
        tokens = torch.randint(0, 37, (4, 9))
        logits = gpt2(tokens, encoder_hidden_states=expected).logits
        torch.testing.assert_close(captioner.logits(memory, tokens), logits, atol=1e-5, rtol=1e-5)
    found = beam_search(captioner, memory, DecodingConfig(max_tokens=12, eos_at_limit="open"))
    theirs = EncoderDecoderModel(encoder=bert, decoder=gpt2).eval()
    captions = theirs.generate(
        encoder_outputs=BaseModelOutput(last_hidden_state=expected),
        decoder_start_token_id=37,
        suppress_tokens=[37, 39],
        num_beams=5,
        num_return_sequences=5,
        max_length=12,
        do_sample=False,
    )
    width = captions.shape[1]
    assert torch.equal(found.tokens.flatten(0, 1)[:, :width], captions)


def test_export_is_read_back_exactly_and_by_the_rival(tmp_path):
    parts = rival_captioner()
    (tmp_path / "theirs").mkdir()
    checkpoint(tmp_path / "theirs", parts, "model.safetensors")
    captioner = import_dico(tmp_path / "theirs")
    clip = ClipConfig.from_dict(CLIP_DATA)
    export_dico(captioner, tmp_path / "ours", clip, ClipModel(clip).state_dict())
    again = import_dico(tmp_path / "ours")
    assert again.config == captioner.config
    for name, value in captioner.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    written = read_tensors(tmp_path / "ours")
    unknown = read_tensors(tmp_path / "theirs").keys() - written.keys()
    assert all(name.endswith(("bias", "position_ids")) for name in unknown)
    names = [name for name in written if name.startswith("decoder.")]
    parts[3].load_state_dict({n.removeprefix("decoder."): written[n] for n in names}, strict=True)


@pytest.mark.parametrize("quick_gelu", [True, False])
def test_an_exported_tower_is_built_from_its_config_alone(tmp_path, quick_gelu):
    from transformers import CLIPVisionConfig, CLIPVisionModel

    data = CLIP_DATA | {
        "quick_gelu": quick_gelu,
        "vision_cfg": {"image_size": 40, "layers": 3, "width": 48, "head_width": 12, "patch_size": 10,
                       "mlp_ratio": 2.0},
    }  # fmt: skip
    theirs, clip = rival_clip(data), ClipConfig.from_dict(data)
    captioner = Captioner(CaptionerConfig(feature_width=48, width=32, num_heads=4, vocab_size=40))
    export_dico(captioner, tmp_path, clip, theirs.state_dict())
    config = json.loads((tmp_path / "config.json").read_text())["encoder"]["vision_encoder"]
    vision = CLIPVisionModel(CLIPVisionConfig(**config)).eval()
    written, prefix = read_tensors(tmp_path), "encoder.vision_encoder."
    short = {n.removeprefix(prefix): v for n, v in written.items() if n.startswith(prefix)}
    full = {name.removeprefix("vision_model."): name for name in vision.state_dict()}
    vision.load_state_dict({full[name]: value for name, value in short.items()}, strict=True)
    pixels = torch.randn(2, 3, 40, 40)
    with torch.no_grad():
        expected = theirs.visual.transformer(theirs.visual._embeds(pixels))
        found = vision(pixels).last_hidden_state
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-5)


def test_towers_that_the_layout_cannot_hold_are_refused(tmp_path):
    captioner = Captioner(CaptionerConfig(feature_width=512, width=32, num_heads=4, vocab_size=40))
    resnet = ClipConfig.from_dict(RESNET_DATA)
    with pytest.raises(ConfigError, match=r"ResNet of layers \(1, 2, 1, 1\)"):
        export_dico(captioner, tmp_path / "out", resnet, ClipModel(resnet).state_dict())
    clip = ClipConfig.from_dict(CLIP_DATA)
    with pytest.raises(ConfigError, match="tokens are 64 wide, and the captioner sees 512"):
        export_dico(captioner, tmp_path / "out", clip, ClipModel(clip).state_dict())
    assert not (tmp_path / "out").exists()


def test_one_flipped_bit_of_an_export_is_noticed(tmp_path):
    clip = ClipConfig.from_dict(CLIP_DATA)
    captioner = Captioner(CaptionerConfig(feature_width=64, width=32, num_heads=4, vocab_size=40))
    export_dico(captioner, tmp_path, clip, ClipModel(clip).state_dict())
    data = bytearray((tmp_path / "model.safetensors").read_bytes())
    data[-5] ^= 4
    (tmp_path / "model.safetensors").write_bytes(data)
    with pytest.raises(DigestError, match=r"model\.safetensors"):
        import_dico(tmp_path)
    (tmp_path / "digests.json").unlink()
    assert isinstance(import_dico(tmp_path), Captioner)


def test_a_head_that_is_not_the_word_table_is_refused(tmp_path):
    parts = rival_captioner()
    checkpoint(tmp_path, parts, "model.safetensors")
    tensors = read_tensors(tmp_path)
    name = "decoder.lm_head.weight"
    other = tensors[name].clone()
    other[3, 5] += 1e-3
    for wrong in (other, other[1:]):
        save_file(tensors | {name: wrong}, tmp_path / "model.safetensors")
        with pytest.raises(DataError, match=rf"{name} differs from .*wte\.weight"):
            import_dico(tmp_path)
    del tensors[name]
    save_file(tensors, tmp_path / "model.safetensors")
    assert isinstance(import_dico(tmp_path), Captioner)


@pytest.mark.parametrize(
    ("part", "setting", "value"),
    [
        ("encoder", "hidden_act", "relu"),
        ("encoder", "layer_norm_eps", 1e-5),
        ("decoder", "activation_function", "gelu"),
        ("decoder", "layer_norm_epsilon", 1e-6),
    ],
)
def test_other_activations_and_norms_are_refused(tmp_path, part, setting, value):
    checkpoint(tmp_path, rival_captioner(), "model.safetensors")
    config = json.loads((tmp_path / "config.json").read_text())
    settings = config["encoder"]["encoder"] if part == "encoder" else config["decoder"]
    del settings[setting]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert isinstance(import_dico(tmp_path), Captioner)
    settings[setting] = value
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(DataError, match=rf"{setting} is {value!r}"):
        import_dico(tmp_path)


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


@pytest.fixture
def publish(tmp_path, monkeypatch):
    """Makes a model known to open_clip by a name, and its weights by the tag ``own``."""
    import open_clip
    from open_clip.pretrained import _PRETRAINED

    def make(name: str, data, model: torch.nn.Module, **facts) -> None:
        (tmp_path / f"{name}.json").write_text(json.dumps(data))
        open_clip.add_model_config(tmp_path / f"{name}.json")
        torch.save(model.state_dict(), tmp_path / f"{name}.pt")
        usual = open_clip.get_pretrained_cfg("ViT-B-32", "openai")
        told = usual | {"file": str(tmp_path / f"{name}.pt")} | facts
        monkeypatch.setitem(_PRETRAINED, name, {"own": told})

    return make


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


def test_an_evaluator_is_made_of_three_files(tmp_path):
    from dico.models.evaluator import Evaluator
    from dico.models.weights.prepare import ClipSource, prepare_evaluator

    sources = {}
    for seed, (name, width) in enumerate([("clip", 64), ("pac", 64), ("tower", 128)]):
        torch.manual_seed(seed)
        vision = CLIP_DATA["vision_cfg"] | {"width": width}
        data = CLIP_DATA | {"vision_cfg": vision}
        torch.save(ClipModel(ClipConfig.from_dict(data)).state_dict(), tmp_path / f"{name}.pt")
        sources[name] = ClipSource(str(tmp_path / f"{name}.pt"))
    folder = tmp_path / "evaluator"
    prepare_evaluator(folder, sources["clip"], sources["pac"], sources["tower"])
    loaded = {name: Evaluator.load(folder, name) for name in sources}
    assert loaded["pac"].tokenizer.vocab_size == 49409
    widths = {name: e.config.clip.vision_cfg.width for name, e in loaded.items()}
    assert widths == {"clip": 64, "pac": 64, "tower": 128}
    assert len({evaluator.digest for evaluator in loaded.values()}) == 3
    prepare_evaluator(tmp_path / "two", sources["clip"], sources["pac"])
    assert Evaluator.load(tmp_path / "two", "tower").config.clip.vision_cfg.width == 64
    with pytest.raises(ConfigError, match="one architecture"):
        prepare_evaluator(folder, sources["clip"], sources["tower"])
    with pytest.raises(ConfigError, match="no file"):
        ClipSource("nowhere.pt").load()


def test_a_resnet_is_a_tower_of_an_evaluator(tmp_path, publish):
    from dico.models.evaluator import Evaluator
    from dico.models.weights.prepare import ClipSource, prepare_evaluator

    theirs = rival_clip(RESNET_DATA)
    publish("dico-test-resnet", RESNET_DATA, theirs)
    torch.save(rival_clip().state_dict(), tmp_path / "clip.pt")
    base = ClipSource(str(tmp_path / "clip.pt"))
    prepare_evaluator(tmp_path / "folder", base, base, ClipSource("dico-test-resnet:own"))
    tower = Evaluator.load(tmp_path / "folder", "tower")
    assert_features_alike(tower.model, theirs)
    pixels = torch.randn(2, 3, 32, 32)
    tokens, embeddings = tower.image_tokens(pixels)
    assert tokens.shape == (2, 1, 512)
    torch.testing.assert_close(embeddings, theirs.encode_image(pixels, normalize=True))


HALVES = {"image_mean": (0.5, 0.5, 0.5), "image_std": (0.5, 0.5, 0.5)}
OPENAI = {
    "image_mean": (0.48145466, 0.4578275, 0.40821073),
    "image_std": (0.26862954, 0.26130258, 0.27577711),
}


@pytest.mark.parametrize(
    ("name", "tag", "pixels"),
    [
        ("ViT-B-32", "openai", OPENAI),
        ("RN50", "openai", OPENAI),
        ("ViT-B-32", "laion2b_s34b_b79k", OPENAI),
        ("ViT-L-14", "laion2b_s32b_b82k", HALVES),
    ],
)
def test_pixels_are_those_that_a_tag_was_trained_on(name, tag, pixels):
    from dico.models.preprocessing import ClipPixels
    from dico.models.weights.clip import open_clip_pixels

    assert open_clip_pixels(name, tag) == ClipPixels(**pixels, interpolation="bicubic")


def test_tags_that_squash_pictures_are_refused():
    from dico.models.weights.clip import open_clip_pixels

    with pytest.raises(ConfigError, match=r"ViT-H-14:dfn5b .*'squash'"):
        open_clip_pixels("ViT-H-14", "dfn5b")


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


def prepare(arguments: list[str]) -> int:
    from dico.models.weights.__main__ import main

    return main(["evaluator", *map(str, arguments)])


def test_each_set_of_weights_sees_its_own_pixels(tmp_path, publish):
    from PIL import Image

    from dico.models.evaluator import Evaluator
    from dico.models.preprocessing import ClipPixels

    publish("dico-test-tiny", CLIP_DATA, rival_clip(), mean=(0.5,) * 3, std=(0.5,) * 3)
    path = tmp_path / "weights.pt"
    torch.save(rival_clip().state_dict(), path)
    other = {"image_mean": (0.1, 0.2, 0.3), "image_std": (0.4, 0.5, 0.6)}
    own = ["--pac-mean", 0.1, 0.2, 0.3, "--pac-std", 0.4, 0.5, 0.6]
    runs = {
        "files": (["--clip", path, "--pac", path], OPENAI, OPENAI, OPENAI),
        "tower": (["--clip", path, "--pac", path, "--tower", "dico-test-tiny:own"], OPENAI, OPENAI, HALVES),
        "base": (["--clip", "dico-test-tiny:own", "--pac", path, "--tower", path], HALVES, HALVES, OPENAI),
        "pac": (["--clip", "dico-test-tiny:own", "--pac", path, *own], HALVES, other, HALVES),
    }  # fmt: skip
    picture = Image.effect_noise((50, 40), 90).convert("RGB")
    for name, (arguments, *expected) in runs.items():
        assert prepare([tmp_path / name, *arguments]) == 0
        for weights, pixels in zip(("clip", "pac", "tower"), expected, strict=True):
            evaluator = Evaluator.load(tmp_path / name, weights)
            config, pixels = evaluator.config, ClipPixels(**pixels)
            found = ClipPixels(config.image_mean, config.image_std, config.interpolation)
            assert found == pixels, (name, weights)
            square = torch.from_numpy(np.array(config.frame.cut(picture))).permute(2, 0, 1) / 255
            mean, std = (
                torch.tensor(v)[:, None, None] for v in (pixels.image_mean, pixels.image_std)
            )
            torch.testing.assert_close(evaluator.preprocess(picture), (square - mean) / std)
    written = json.loads((tmp_path / "files" / "config.json").read_text())
    assert written.keys().isdisjoint({"pac_pixels", "tower_pixels", "tower"})


def test_options_of_files_reach_the_file_they_name(tmp_path, capsys):
    from dico.models.evaluator import Evaluator

    plain, quick = tmp_path / "plain.pt", tmp_path / "quick.pt"
    torch.save(rival_clip(CLIP_DATA | {"quick_gelu": False}).state_dict(), plain)
    torch.save(rival_clip(RESNET_DATA).state_dict(), quick)
    files = [tmp_path / "out", "--clip", plain, "--pac", plain, "--tower", quick]
    assert prepare([*files, "--pac-gelu", "--clip-gelu"]) == 0
    found = [Evaluator.load(tmp_path / "out", w).config.clip for w in ("clip", "pac", "tower")]
    assert [config.quick_gelu for config in found] == [False, False, True]
    assert prepare([*files, "--tower-gelu", "--tower-interpolation", "bilinear"]) == 0
    tower = Evaluator.load(tmp_path / "out", "tower").config
    assert (tower.clip.quick_gelu, tower.interpolation) == (False, "bilinear")
    for kind, path in (("clip", plain), ("pac", plain), ("tower", quick)):
        assert prepare([*files, f"--{kind}-sha256", "0" * 64]) == 65
        assert f"{path}: SHA-256" in capsys.readouterr().err
        assert prepare([*files, f"--{kind}-sha256", sha256_file(path)]) == 0
    assert prepare([*files, "--clip-gelu"]) == 2
    assert "one architecture" in capsys.readouterr().err
    named = [tmp_path / "out", "--clip", "ViT-B-32:openai", "--pac", plain]
    for option in (["--clip-gelu"], ["--clip-sha256", "0" * 64]):
        assert prepare([*named, *option]) == 2
        assert "itself" in capsys.readouterr().err


def test_the_import_command_reads_a_checkpoint(tmp_path, capsys, monkeypatch):
    from dico.models.weights import __main__ as command

    checkpoint(tmp_path, rival_captioner(), "pytorch_model.bin")
    assert command.main(["captioner", str(tmp_path), str(tmp_path / "out")]) == 65
    assert "one vocabulary" in capsys.readouterr().err
    monkeypatch.setattr(command.Tokenizer, "clip", lambda: None)
    assert command.main(["captioner", str(tmp_path), str(tmp_path / "out")]) == 0
    assert Captioner.load(tmp_path / "out").config.vocab_size == SIZES["vocab_size"]
