"""Dual encoders and towers of other libraries, on tiny random models of their true configuration.

The oracle is each library itself on the files that it saved.
"""

import copy
import json
import math

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from dico.models.encoders import EncoderConfig
from dico.models.evaluator import Evaluator
from dico.models.torchvision_compat import ensure_torchvision_imports
from dico.weights.encoders import read_encoder
from dico.weights.prepare import ClipSource, prepare_evaluator
from tests.weights import words

ensure_torchvision_imports()

SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
VISION = SMALL | {"image_size": 32, "patch_size": 8}
TEXTS = ["a dog runs", "two red birds on a wire"]


def image(seed: int = 0) -> Image.Image:
    torch.manual_seed(seed)
    values = (torch.rand(40, 52, 3) * 255).byte().numpy()
    return Image.fromarray(values)


# ---------------------------------------------------------------- open_clip


def open_clip_data(name: str, timm: str = "", size: int = 32, embed_dim: int = 32, **vision):
    """open_clip's own JSON of ``name``, made small."""
    import open_clip

    data = copy.deepcopy(open_clip.get_model_config(name))
    data["embed_dim"] = embed_dim
    data["text_cfg"] |= {"width": 64, "heads": 2, "layers": 2}
    data["vision_cfg"] |= {"image_size": size} | vision
    if timm:
        data["vision_cfg"]["timm_model_name"] = timm
    if "multimodal_cfg" in data:
        data["multimodal_cfg"] |= {"width": 64, "heads": 2, "layers": 2}
    return data


SMALL_VIT = {"width": 64, "layers": 2, "head_width": 32}
OPEN_CLIP = {
    "siglip": lambda: open_clip_data("ViT-B-16-SigLIP", "test_vit", 64, 64),
    "siglip2": lambda: open_clip_data("ViT-B-16-SigLIP2", "test_vit", 64, 64),
    "eva": lambda: open_clip_data("EVA02-B-16", "eva02_tiny_patch14_224", 224),
    "mobileclip": lambda: open_clip_data("MobileCLIP-S1", "fastvit_mci0", 64),
    "coca": lambda: open_clip_data("coca_ViT-B-32", "", 64, attn_pooler_heads=2, **SMALL_VIT),
    "convnext": lambda: open_clip_data("convnext_base", "test_convnext", 64),
    "roberta": lambda: open_clip_data("roberta-ViT-B-32", "", 64, **SMALL_VIT),
    "clipa": lambda: open_clip_data("ViT-L-14-CLIPA", "", 56, **SMALL_VIT),
    "worldwide": lambda: (
        open_clip_data("ViT-B-32-worldwide", "", 64, **SMALL_VIT)
        if _knows("ViT-B-32-worldwide")
        else open_clip_data("ViT-B-32", "", 64, **SMALL_VIT)
    ),
}


def _knows(name: str) -> bool:
    import open_clip

    return open_clip.get_model_config(name) is not None


def save_open_clip(folder, data, preprocess=None):
    """A folder as `push_to_hf_hub` of open_clip writes it; returns the library's model."""
    import open_clip

    folder.mkdir()
    preprocess = preprocess or {"mean": [0.5] * 3, "std": [0.5] * 3, "resize_mode": "squash"}
    text = data["text_cfg"]
    if text.get("hf_tokenizer_name"):
        words.save(folder, text.get("vocab_size", 300))
    if text.get("hf_model_name"):
        (folder / "text_config.json").write_text(json.dumps(words.roberta_config()))
        data = copy.deepcopy(data)
        hidden = folder.parent / f"{folder.name}-text"
        hidden.mkdir()
        (hidden / "config.json").write_text(json.dumps(words.roberta_config()))
        data["text_cfg"]["hf_model_name"] = str(hidden)
    content = {"model_cfg": data, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(content))
    torch.manual_seed(1)
    model = open_clip.create_model(
        f"local-dir:{folder}", load_weights=False, pretrained_text=False
    ).eval()
    with torch.no_grad():
        for value in model.parameters():
            value.nan_to_num_(0.0, 0.0, 0.0).clamp_(-2.0, 2.0)  # CoCa leaves one as memory had it
            value.add_(0.05 * torch.randn_like(value))
    tensors = {name: value.clone().contiguous() for name, value in model.state_dict().items()}
    save_file(tensors, folder / "open_clip_model.safetensors")
    return model


@pytest.mark.parametrize("name", OPEN_CLIP)
@pytest.mark.filterwarnings("ignore")
def test_models_of_open_clip_embed_as_the_library_does(tmp_path, name):
    import open_clip

    data = OPEN_CLIP[name]()
    theirs = save_open_clip(tmp_path / "model", data)
    prepare_evaluator(tmp_path / "evaluator", ClipSource(str(tmp_path / "model")))
    ours = Evaluator.load(tmp_path / "evaluator")
    with torch.no_grad():
        transform = open_clip.image_transform(
            data["vision_cfg"]["image_size"], False, (0.5,) * 3, (0.5,) * 3, "squash", "bicubic"
        )
        pixels = transform(image()).unsqueeze(0)
        torch.testing.assert_close(ours.preprocess(image()), pixels[0], atol=1e-6, rtol=0)
        expected = theirs.encode_image(pixels, normalize=True)
        torch.testing.assert_close(ours.embed_images(pixels), expected, atol=1e-5, rtol=0)
        tokens, embeddings = ours.image_tokens(pixels)
        torch.testing.assert_close(embeddings, expected, atol=1e-5, rtol=0)
        assert tokens.shape == (1, ours.config.clip.num_tokens, ours.config.clip.token_width)
        read = open_clip.get_tokenizer(f"local-dir:{tmp_path / 'model'}")
        expected = theirs.encode_text(read(TEXTS), normalize=True)
        torch.testing.assert_close(ours.embed_texts(TEXTS), expected, atol=1e-5, rtol=0)
        ids = ours.tokenizer.encode_batch([*TEXTS, *TEXTS], 40).view(2, 2, -1)
        torch.testing.assert_close(ours.embed_candidates(ids)[1], expected, atol=1e-5, rtol=0)
    assert (expected[0] @ expected[1]).abs() < 0.99999
    assert ours.vocabulary.vocab_size == 49409
    assert ours.model.projections()


# ------------------------------------------------------------- transformers


def transformers_configs():
    import transformers as t

    text = SMALL | {"vocab_size": words.SIZE}
    bert = t.BertConfig(**text)
    vit = t.ViTConfig(**VISION)
    return {
        "siglip": t.SiglipConfig(
            text_config=text | {"max_position_embeddings": 16, "projection_size": 32},
            vision_config=VISION,
        ),
        "siglip2": t.Siglip2Config(
            text_config=text | {"max_position_embeddings": 16, "projection_size": 32},
            vision_config=SMALL | {"patch_size": 8, "num_patches": 16},
        ),
        "chinese_clip": t.ChineseCLIPConfig(
            text_config=text, vision_config=VISION, projection_dim=16
        ),
        "altclip": t.AltCLIPConfig(
            text_config=text | {"project_dim": 32, "pad_token_id": 1},
            vision_config=VISION,
            projection_dim=16,
        ),
        "dual": t.VisionTextDualEncoderConfig.from_vision_text_configs(
            vit, bert, projection_dim=16
        ),
    }


def save_transformers(folder, config, kind="CLIP"):
    """A folder as save_pretrained writes it; returns the library's model."""
    import transformers

    torch.manual_seed(2)
    model = transformers.AutoModel.from_config(config).eval()
    with torch.no_grad():
        for value in model.parameters():
            value.nan_to_num_(0.0, 0.0, 0.0).clamp_(-2.0, 2.0)  # CoCa leaves one as memory had it
            value.add_(0.05 * torch.randn_like(value))
    model.save_pretrained(folder)
    words.save(folder, words.SIZE)
    processor = {
        "image_processor_type": f"{kind}ImageProcessor",
        "size": {"height": 32, "width": 32},
        "do_center_crop": False,
        "image_mean": [0.4] * 3,
        "image_std": [0.3] * 3,
        "resample": 3,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return model


@pytest.mark.parametrize("name", ["siglip", "siglip2", "chinese_clip", "altclip", "dual"])
@pytest.mark.filterwarnings("ignore")
def test_dual_encoders_of_transformers_embed_as_the_library_does(tmp_path, name):
    import transformers

    folder = tmp_path / "model"
    theirs = save_transformers(folder, transformers_configs()[name], "Siglip")
    prepare_evaluator(tmp_path / "evaluator", ClipSource(str(folder)))
    ours = Evaluator.load(tmp_path / "evaluator")
    assert isinstance(ours.config.clip, EncoderConfig)
    pixels = ours.preprocess(image()).unsqueeze(0)
    fills = name.startswith("siglip")
    raw = transformers.AutoTokenizer.from_pretrained(folder)
    read = raw(
        TEXTS,
        padding="max_length" if fills else True,
        max_length=16,
        truncation=True,
        return_tensors="pt",
        return_attention_mask=not fills,
    )
    with torch.no_grad():
        seen = theirs.get_image_features(**pixel_arguments(name, pixels)).pooler_output
        expected = torch.nn.functional.normalize(seen, dim=-1)
        torch.testing.assert_close(ours.embed_images(pixels), expected, atol=1e-5, rtol=0)
        said = theirs.get_text_features(
            input_ids=read.input_ids, attention_mask=read.get("attention_mask")
        )
        expected = torch.nn.functional.normalize(said.pooler_output, dim=-1)
        torch.testing.assert_close(ours.embed_texts(TEXTS), expected, atol=1e-5, rtol=0)
    tokens, _ = ours.image_tokens(pixels)
    assert tokens.shape[1:] == (ours.config.clip.num_tokens, ours.config.clip.token_width)
    if name != "siglip2":  # for which transformers insists on Gemma's own words
        assert ours.tokenizer.decode_batch(ours.tokenizer.encode_batch(TEXTS, 16)) == TEXTS
    assert ours.model.projections()


def pixel_arguments(name, pixels):
    """What the library is given: SigLIP 2 takes patches, row by row."""
    if name != "siglip2":
        return {"pixel_values": pixels}
    size, patch = pixels.shape[-1], 8
    side = size // patch
    rows = [
        pixels[0, :, y * patch : (y + 1) * patch, x * patch : (x + 1) * patch]
        .permute(1, 2, 0)
        .flatten()
        for y in range(side)
        for x in range(side)
    ]
    return {
        "pixel_values": torch.stack(rows)[None],
        "pixel_attention_mask": torch.ones(1, side * side),
        "spatial_shapes": torch.tensor([[side, side]]),
    }


@pytest.mark.filterwarnings("ignore")
def test_any_vision_backbone_is_a_captioners_tower(tmp_path):
    import timm
    import transformers

    base = tmp_path / "base"
    save_open_clip(base, open_clip_data("ViT-B-16-SigLIP", "test_vit", 64, 64))
    dino = transformers.Dinov2Config(**SMALL, image_size=28, patch_size=14)
    model = transformers.AutoModel.from_config(dino).eval()
    model.save_pretrained(tmp_path / "dino")
    backbone = timm.create_model("test_efficientnet", num_classes=10).eval()
    (tmp_path / "timm").mkdir()
    save_file(backbone.state_dict(), tmp_path / "timm" / "model.safetensors")
    told = {"input_size": [3, 160, 160], "crop_pct": 0.95, "interpolation": "bicubic",
            "mean": [0.5] * 3, "std": [0.5] * 3}  # fmt: skip
    (tmp_path / "timm" / "config.json").write_text(
        json.dumps({"architecture": "test_efficientnet", "pretrained_cfg": told})
    )
    config = json.loads((tmp_path / "dino" / "config.json").read_text())
    assert config["model_type"] == "dinov2"
    for name, expected in (
        ("dino", lambda pixels: model(pixels).last_hidden_state),
        ("timm", lambda pixels: backbone.forward_features(pixels).flatten(2).transpose(1, 2)),
    ):
        folder = tmp_path / f"with-{name}"
        prepare_evaluator(folder, ClipSource(str(base)), tower=ClipSource(str(tmp_path / name)))
        tower = Evaluator.load(folder, "tower")
        pixels = tower.preprocess(image()).unsqueeze(0)
        with torch.no_grad():
            tokens, embeddings = tower.image_tokens(pixels)
            torch.testing.assert_close(tokens, expected(pixels), atol=1e-5, rtol=0)
        assert math.isclose(float(embeddings.norm()), 1.0, abs_tol=1e-5)
        assert tower.config.image_size_px == pixels.shape[-1]
    with pytest.raises(Exception, match="reads no text"):
        prepare_evaluator(tmp_path / "none", ClipSource(str(tmp_path / "dino")))


# ------------------------------------------- CLIP in transformers' layout


def transformers_clip(folder, heads=2):
    import transformers

    text = SMALL | {"num_attention_heads": heads, "vocab_size": 49408}
    config = transformers.CLIPConfig(
        text_config=text | {"eos_token_id": 49407, "bos_token_id": 49406},
        vision_config=VISION | {"num_attention_heads": heads},
        projection_dim=16,
    )
    torch.manual_seed(3)
    model = transformers.CLIPModel(config).eval()
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.1 * torch.randn_like(value))
    model.save_pretrained(folder)
    processor = {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 32},
                 "crop_size": {"height": 32, "width": 32}, "do_center_crop": True}  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return model


@pytest.mark.parametrize("heads", [1, 2])
def test_clip_in_transformers_layout_becomes_ours(tmp_path, heads):
    from dico.models.clip_config import ClipConfig

    theirs = transformers_clip(tmp_path / "hf", heads)
    prepare_evaluator(tmp_path / "evaluator", ClipSource(str(tmp_path / "hf")))
    ours = Evaluator.load(tmp_path / "evaluator")
    assert isinstance(ours.config.clip, ClipConfig)
    assert not ours.config.tuned
    pixels = torch.randn(2, 3, 32, 32)
    ids = ours.tokenizer.encode_batch(TEXTS, 20)
    theirs_ids = ids.masked_fill(ids == ours.tokenizer.pad_id, 49407)
    with torch.no_grad():
        seen = theirs.get_image_features(pixel_values=pixels).pooler_output
        said = theirs.get_text_features(input_ids=theirs_ids).pooler_output
    unit = torch.nn.functional.normalize
    torch.testing.assert_close(ours.embed_images(pixels), unit(seen, dim=-1), atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.embed_texts(TEXTS), unit(said, dim=-1), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: {"model_state_dict": s, "epoch": 1},
        lambda s: {f"module.{k}": v for k, v in s.items()},
        lambda s: {f"_orig_mod.{k}": v for k, v in s.items()},
        lambda s: {"state_dict": {f"model.{k}": v for k, v in s.items()} | {"loss.w": torch.ones(1)},
                   "pytorch-lightning_version": "2.0", "hyper_parameters": {}},
    ],
    ids=["model_state_dict", "module", "_orig_mod", "lightning"],
)  # fmt: skip
def test_what_wrappers_put_around_weights_is_taken_off(tmp_path, wrap):
    theirs = transformers_clip(tmp_path / "hf", 1)
    torch.save(wrap(theirs.state_dict()), tmp_path / "epoch.pth")
    plain = read_encoder(tmp_path / "hf")
    wrapped = read_encoder(tmp_path / "epoch.pth")
    assert wrapped.tensors.keys() == plain.tensors.keys()
    assert all(torch.equal(v, wrapped.tensors[k]) for k, v in plain.tensors.items())


def test_a_model_saved_whole_is_read_without_its_code(tmp_path):
    theirs = transformers_clip(tmp_path / "hf", 1)
    torch.save(theirs, tmp_path / "whole.pt")
    found = read_encoder(tmp_path / "whole.pt")
    expected = read_encoder(tmp_path / "hf")
    assert all(torch.equal(v, found.tensors[k]) for k, v in expected.tensors.items())
