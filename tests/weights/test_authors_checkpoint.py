"""Checkpoints of the DiCO authors, in and out, with transformers' own classes as the oracle."""

import json

import pytest
import torch
from safetensors.torch import save_file

from dico.decoding import DecodingConfig, beam_search
from dico.errors import ConfigError, DataError, DigestError
from dico.models.captioner import Captioner
from dico.models.captioner_config import CaptionerConfig
from dico.models.clip import ClipModel
from dico.models.clip_config import ClipConfig
from dico.models.tokenizer import Tokenizer
from dico.weights.files import read_tensors
from dico.weights.huggingface import export_dico, import_dico
from tests.models.clips import CLIP_DATA, RESNET_DATA, perturb, rival_clip
from tests.weights.command import main

SIZES = {"width": 32, "layers": 2, "heads": 4, "vocab_size": 40, "feature_width": 64}


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


@pytest.mark.parametrize(
    "config", ["[]", "{", '{"encoder": []}', '{"encoder": {"encoder": []}, "decoder": {}}']
)
def test_a_config_of_something_else_ends_in_one_line(tmp_path, config):
    checkpoint(tmp_path, rival_captioner(), "model.safetensors")
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(DataError, match="not a DiCO checkpoint") as wrong:
        import_dico(tmp_path)
    assert "\n" not in str(wrong.value)


def test_the_import_command_reads_a_checkpoint(tmp_path, capsys, monkeypatch):
    checkpoint(tmp_path, rival_captioner(), "pytorch_model.bin")
    assert main(["captioner", tmp_path, tmp_path / "out"]) == 65
    assert "one vocabulary" in capsys.readouterr().err
    monkeypatch.setattr(Tokenizer, "clip", lambda: None)
    assert main(["captioner", tmp_path, tmp_path / "out"]) == 0
    assert Captioner.load(tmp_path / "out").config.vocab_size == SIZES["vocab_size"]
