"""Tiny random models of transformers' own image-text-to-text types, by shrinking their configs."""

import inspect

import torch

from dico.models.huggingface.image_text import tower_call
from dico.models.huggingface.inputs import InputBatch
from dico.models.torchvision_compat import ensure_torchvision_imports

ensure_torchvision_imports()

WIDTH, VOCABULARY, IMAGE = 32, 128, 120
SIZES = {
    "hidden_size": WIDTH,
    "d_model": WIDTH,
    "word_embed_proj_dim": WIDTH,
    "embed_dim": WIDTH,
    "width": WIDTH,
    "hidden_dim": WIDTH,
    "n_embd": WIDTH,
    "out_hidden_size": WIDTH,
    "projection_dim": WIDTH,
    "encoder_hidden_size": WIDTH,
    "intermediate_size": 48,
    "intermediate_size_mlp": 48,
    "moe_intermediate_size": 24,
    "shared_expert_intermediate_size": 24,
    "moe_shared_expert_intermediate_size": 24,
    "ffn_dim": 48,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "d_ff": 48,
    "num_hidden_layers": 2,
    "num_layers": 2,
    "layers": 2,
    "depth": 2,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "n_layer": 2,
    "num_attention_heads": 2,
    "num_heads": 2,
    "attention_heads": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "global_head_dim": 16,
    "query_pre_attn_scalar": 16,
    "vocab_size": VOCABULARY,
    "vocab_size_per_layer_input": VOCABULARY,
    "hidden_size_per_layer_input": 8,
    "max_position_embeddings": 512,
    "image_size": 32,
    "patch_size": 8,
    "num_local_experts": 4,
    "num_experts": 4,
    "moe_num_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_k": 2,
    "n_group": 1,
    "topk_group": 1,
    "moe_topk": 2,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "image_token_id": IMAGE,
    "image_token_index": IMAGE,
    "video_token_id": 121,
    "video_token_index": 121,
    "audio_token_id": 122,
    "audio_token_index": 122,
    "vision_start_token_id": 123,
    "vision_end_token_id": 124,
    "boi_token_id": 123,
    "boi_token_index": 123,
    "eoi_token_id": 124,
    "eoi_token_index": 124,
    "image_start_token_id": 123,
    "image_end_token_id": 124,
    "video_start_token_id": 125,
    "video_end_token_id": 126,
}
"""What settings are set to wherever a config has them, whatever the type."""


def shrunk(data, changes=None, place=""):
    """A config's dict with small sizes, in all of its parts."""
    small = {}
    for name, value in data.items():
        if isinstance(value, dict) and "model_type" in value:
            small[name] = shrunk(value, changes, f"{place}{name}.")
        elif (name in SIZES and isinstance(value, int) and not isinstance(value, bool)) or (
            name in SIZES and value is None and name.endswith("token_id")
        ):
            small[name] = SIZES[name]
        else:
            small[name] = value
    layers = small.get("num_hidden_layers")
    for name, value in small.items():
        if name == "layer_types" and layers:
            kinds = list(dict.fromkeys(value))
            small[name] = (kinds * 2)[:2]
        elif name == "mlp_layer_types" and isinstance(value, list):
            small[name] = value[-2:]
    for name, value in (changes or {}).items():
        if name.startswith(place) and "." not in name[len(place) :]:
            if value is DROP:
                small.pop(name[len(place) :], None)
            else:
                small[name[len(place) :]] = value
    return small


DROP = object()
MROPE = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]}
TEXT_MROPE = {"text_config.rope_parameters": MROPE}
MROPE_OF_HALF = MROPE | {"mrope_section": [1, 1, 2], "partial_rotary_factor": 0.5}
CHANGES = {
    "aria": {"projector_patch_to_query_dict": {16: 4}},
    "blip-2": {"image_token_index": IMAGE, "num_query_tokens": 4},
    "instructblip": {"image_token_index": IMAGE, "num_query_tokens": 4},
    "cohere2_vision": {"alignment_intermediate_size": 64},
    "cohere_compass": {
        "text_config.rope_parameters": {"full_attention": MROPE},
        "text_config.layer_types": ["full_attention"] * 2,
        "vision_config.deepstack_visual_indexes": [0],
    },
    "cosmos3_edge": TEXT_MROPE,
    "cosmos3_omni": {"vision_config.deepstack_visual_indexes": [0]},
    "qwen3_vl": {"vision_config.deepstack_visual_indexes": [0]},
    "qwen3_vl_moe": {"vision_config.deepstack_visual_indexes": [0]},
    "ernie4_5_vl_moe": {"text_config.rope_parameters": MROPE | {"mrope_section": [3, 3, 2]}},
    "glm4v_moe": {"text_config.rope_parameters": MROPE_OF_HALF},
    "glm_ocr": {"text_config.rope_parameters": MROPE_OF_HALF},
    "glmga": {"text_config.rope_parameters": MROPE_OF_HALF},
    "florence2": {
        "vision_config.embed_dim": [8, 8, 16, 16],
        "vision_config.num_heads": [1, 1, 2, 2],
        "vision_config.num_groups": [1, 1, 2, 2],
        "vision_config.depths": [1, 1, 1, 1],
        "vision_config.window_size": 2,
        "vision_config.drop_path_rate": 0.0,
    },
    "pix2struct": {
        "vision_config.patch_embed_hidden_size": 192,
        "text_config.decoder_start_token_id": 0,
    },
    "kimi_k25": {
        "projection_hidden_size": WIDTH,
        "text_config.q_lora_rank": 16,
        "text_config.kv_lora_rank": 16,
    },
    "janus": {"vq_config.base_channels": 32, "vq_config.num_embeddings": 16},
    "hunyuan_vl": {
        "text_config.head_dim": 16,
        "text_config.num_key_value_heads": 2,
        "text_config.rope_parameters": MROPE | {"mrope_section": [2, 2, 2, 2]},
    },
    "lfm2_vl": {"vision_config.num_patches": 16},
    "lfm3_vl": {"vision_config.num_patches": 16},
    "llama4": {
        "vision_config.vision_output_dim": WIDTH,
        "vision_config.projector_input_dim": WIDTH,
        "vision_config.projector_output_dim": WIDTH,
        "vision_config.intermediate_size": 128,
        "text_config.no_rope_layers": [1, 0],
        "text_config.moe_layers": [1],
        "text_config.attention_chunk_size": 16,
    },
    "minicpmv4_6": {
        "insert_layer_id": 0,
        "vision_config.insert_layer_id": 0,
        "image_token_id": IMAGE,
    },
    "minicpmv4_7": {
        "insert_layer_id": 0,
        "vision_config.insert_layer_id": 0,
        "image_token_id": IMAGE,
    },
    "minicpm_ocr": {
        "insert_layer_id": 0,
        "vision_config.insert_layer_id": 0,
        "image_token_id": IMAGE,
    },
    "mllama": {
        "vision_config.vision_output_dim": 64,
        "vision_config.intermediate_layers_indices": [0],
        "vision_config.num_global_layers": 1,
        "vision_config.max_num_tiles": 2,
        "vision_config.supported_aspect_ratios": [[1, 1], [1, 2], [2, 1]],
        "text_config.cross_attention_layers": [1],
    },
    "muse_glimmer": {
        "projector_hidden_size": WIDTH,
        "vision_config.layer_types": ["window_attention", "full_attention"],
    },
    "step3p7": {
        "text_config.sliding_window": 64,
        "text_config.layer_types": ["full_attention"] * 2,
    },
    "vipllava": {"vision_feature_layers": [-2, -1]},
    "qwen2_5_omni_thinker": TEXT_MROPE,
    "t5gemma2": {"encoder.mm_tokens_per_image": 4},
    "gemma3": {"mm_tokens_per_image": 4},
    "shieldgemma2": {"mm_tokens_per_image": 4},
    "llava_next": {"image_grid_pinpoints": [[32, 64], [64, 32]]},
    "llava_next_video": {"image_grid_pinpoints": [[32, 64], [64, 32]]},
    "llava_onevision": {"image_grid_pinpoints": [[32, 64], [64, 32]]},
    "gemma4": {
        "text_config.per_layer_config": {"1": {"head_dim": 16}},
        "text_config.layer_types": ["sliding_attention", "full_attention"],
        "vision_config": {
            "model_type": "gemma4_vision",
            **{name: SIZES[name] for name in ("hidden_size", "intermediate_size", "head_dim")},
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "patch_size": 8,
            "pooling_kernel_size": 2,
            "position_embedding_size": 64,
        },
    },
    **dict.fromkeys(("qwen2_vl", "qwen2_5_vl", "glm4v", "glm46v", "paddleocr_vl"), TEXT_MROPE),
}


def build(kind, dtype=torch.float32, seed=0):
    """A random model of one type, in eval mode, whose captions listen to the image."""
    from transformers import CONFIG_MAPPING, AutoModelForImageTextToText

    torch.manual_seed(seed)
    make = CONFIG_MAPPING[kind]
    data = shrunk(make().to_dict(), CHANGES.get(kind))
    data.pop("transformers_version")
    model = AutoModelForImageTextToText.from_config(make(**data), dtype=dtype).eval()
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    if model.config.is_encoder_decoder:
        ids["decoder_start_token_id"] = 2
    ids["forced_eos_token_id"] = None
    for name, value in ids.items():
        setattr(model.generation_config, name, value)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.1 * torch.randn_like(value))
    return model


def naive_logps(model, batch, tokens, pad_id):
    """Log-probabilities (B, K): each caption by a pass of its own over pixels, prompt and words."""
    rows = [
        _of_one(model, image, [token for token in caption.tolist() if token != pad_id])
        for image, captions in zip(batch, tokens, strict=True)
        for caption in captions
    ]
    return torch.stack(rows).view(tokens.shape[:2])


def _of_one(model, image, caption):
    words, inputs = caption[1:], dict(image)
    if model.config.is_encoder_decoder:
        start = [2]
        inputs["decoder_input_ids"] = torch.tensor([start + words[:-1]])
    else:
        given = torch.tensor([words[:-1]], dtype=torch.long)
        inputs["input_ids"] = torch.cat([inputs["input_ids"], given], dim=1)
        for name in OF_TOKENS & inputs.keys():
            last = inputs[name][:, -1:]
            if name not in ("cross_attention_mask", "image_attention_mask"):
                last = torch.full_like(last, int(model.config.model_type == "paligemma"))
            more = last.expand(-1, given.shape[1], *last.shape[2:])
            inputs[name] = torch.cat([inputs[name], more], dim=1)
    logps = model(**inputs, use_cache=False).logits[0, -len(words) :].log_softmax(dim=-1)
    return sum(logps[place, word] for place, word in enumerate(words))


OF_TOKENS = {
    "mm_token_type_ids",
    "token_type_ids",
    "image_embeds_position_mask",
    "image_attention_mask",
    "cross_attention_mask",
}


def captions(pad_id):
    """Captions (2, 3, 7) of random words, of 2 to 7 tokens."""
    generator = torch.Generator().manual_seed(3)
    rows = []
    for length in (5, 4, 7, 3, 6, 2):
        words = torch.randint(13, 110, (length - 2,), generator=generator).tolist()
        rows.append([1, *words, 2] + [pad_id] * (7 - length))
    return torch.tensor(rows).view(2, 3, 7)


def images(model, seed):
    """Inputs of two images of noise."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(2, 3, 32, 32, generator=generator) * 2 - 1
    dtype = next(model.parameters()).dtype
    return InputBatch([inputs_of(model, image.to(dtype)) for image in noise])


LLAVA_TILES = ("llava_next", "llava_next_video", "llava_onevision")


def pixel_inputs(model, image):
    """What processors make of one image (3, H, W), without the prompt."""
    names = inspect.signature(model.forward).parameters
    config = model.config
    vision = getattr(config, "vision_config", None)
    pixels, (_, height, width) = image[None], image.shape
    if "image_grid_thw" in names:
        patch, merge = vision.patch_size, getattr(vision, "spatial_merge_size", 1)
        frames = getattr(vision, "temporal_patch_size", getattr(vision, "patch_temporal", 1))
        grid = (height // (patch * merge), merge, patch, width // (patch * merge), merge, patch)
        cut = image.reshape(3, *grid).permute(1, 4, 2, 5, 0, 3, 6)[:, :, :, :, :, None]
        cut = cut.expand(*cut.shape[:5], frames, patch, patch)
        flat = cut.reshape(-1, 3 * frames * patch * patch)
        if config.model_type in ("paddleocr_vl", "kimi_k25"):
            flat = flat.unflatten(1, (3, patch, patch))
        shape = torch.tensor([[1, height // patch, width // patch]])
        more = {"image_merge_sizes": torch.tensor([merge])} if "image_merge_sizes" in names else {}
        return {"pixel_values": flat, "image_grid_thw": shape, **more}
    if "image_position_ids" in names:
        patch = vision.patch_size
        rows = image.unfold(1, patch, patch).unfold(2, patch, patch).permute(1, 2, 3, 4, 0)
        down, across = (torch.arange(size // patch) for size in (height, width))
        places = torch.stack(torch.meshgrid(across, down, indexing="xy"), dim=-1)
        rows, places = rows.reshape(1, -1, 3 * patch * patch), places.reshape(1, -1, 2)
        return {"pixel_values": rows, "image_position_ids": places}
    if "spatial_shapes" in names:
        patch = vision.patch_size
        rows = image.unfold(1, patch, patch).unfold(2, patch, patch).permute(1, 2, 3, 4, 0)
        rows = rows.reshape(1, -1, 3 * patch * patch)
        shape = torch.tensor([[height // patch, width // patch]])
        mask = torch.ones(rows.shape[:2], dtype=torch.long)
        return {"pixel_values": rows, "spatial_shapes": shape, "pixel_attention_mask": mask}
    if config.model_type == "idefics":
        return {"pixel_values": pixels[:, None]}
    if config.model_type == "granite_docling":
        return {
            "pixel_values": pixels[:, None],
            "pixel_attention_mask": torch.ones(1, 1, dtype=torch.bool),
        }
    if config.model_type == "mllama":
        tiles = torch.stack([image, image.flip(2)])[None, None]
        return {
            "pixel_values": tiles,
            "aspect_ratio_ids": torch.tensor([[2]]),
            "aspect_ratio_mask": torch.ones(1, 1, 2, dtype=torch.long),
        }
    if config.model_type == "instructblip":
        return {"pixel_values": pixels, "qformer_input_ids": torch.tensor([[5, 6]])}
    if "target_sizes" in names:
        patch = vision.patch_size
        cut = image.unfold(1, patch, patch).permute(0, 3, 1, 2).reshape(1, 3, patch, -1)
        return {
            "pixel_values": cut,
            "target_sizes": torch.tensor([[height // patch, width // patch]]),
        }
    if "pixel_attention_mask" in names:
        mask = torch.ones(1, 1, height, width, dtype=torch.long)
        return {"pixel_values": pixels[:, None], "pixel_attention_mask": mask}
    if config.model_type in LLAVA_TILES:
        tiles = torch.stack([image, image.flip(1), image.flip(2)])
        return {"pixel_values": tiles[None], "image_sizes": torch.tensor([[height, 2 * width]])}
    if getattr(vision, "model_type", "") == "pixtral":
        return {"pixel_values": pixels, "image_sizes": torch.tensor([[height, width]])}
    if "pixel_values_images" in names:
        return {"pixel_values_images": pixels}
    return {"pixel_values": pixels}


def num_places(model, seen):
    """Places of one image in the prompt."""
    if model.config.model_type in ("mllama", "idefics"):
        return 1
    if model.config.model_type.startswith("kosmos"):
        return model.config.latent_query_num
    if model.config.model_type in ("blip-2", "instructblip"):
        return model.config.num_query_tokens
    if model.config.is_encoder_decoder and model.config.model_type not in ("florence2", "t5gemma2"):
        return 1
    features_of, wanted = tower_call(model)
    seen = {name.replace("pixel_values_images", "pixel_values"): x for name, x in seen.items()}
    with torch.no_grad():
        out = features_of(**{k: v for k, v in seen.items() if k in wanted}, return_dict=True)
        out = out.last_hidden_state if out.get("pooler_output") is None else out.pooler_output
    if isinstance(out, torch.Tensor):
        return out.numel() // out.shape[-1]
    return sum(part.numel() // part.shape[-1] for part in out)


def inputs_of(model, image):
    """Inputs of one image, its prompt among them."""
    seen = pixel_inputs(model, image)
    names = inspect.signature(model.forward).parameters
    ids = torch.tensor([[1, 10, *[IMAGE] * num_places(model, seen), 11, 12]])
    inputs = {"input_ids": ids, **seen}
    for name in ("mm_token_type_ids", "token_type_ids"):
        if name in names:
            kinds = (ids == IMAGE).long()
            inputs[name] = (
                torch.zeros_like(ids) if model.config.model_type == "paligemma" else kinds
            )
    if "image_embeds_position_mask" in names:
        inputs["image_embeds_position_mask"] = (ids == IMAGE).long()
    if "image_attention_mask" in names:
        inputs["image_attention_mask"] = torch.ones(1, ids.shape[1], 1, dtype=torch.long)
    if "cross_attention_mask" in names:
        mask = torch.ones(1, ids.shape[1], 1, 2, dtype=torch.long)
        mask[:, :2] = 0
        inputs["cross_attention_mask"] = mask
    return inputs
