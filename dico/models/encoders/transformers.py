"""Dual encoders and vision towers of transformers: SigLIP, SigLIP 2, Chinese-CLIP, AltCLIP, and others.

Any model class with ``get_image_features`` and ``get_text_features`` is one; a model class with
neither is a captioner's tower. CLIP itself has a faster path, `dico.models.clip`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dico.errors import ConfigError, DataError, one_line
from dico.models.encoders.library import LibraryEncoder, as_tokens
from dico.models.encoders.protocol import TextTokenizer
from dico.models.encoders.text import PAD, LibraryTokenizer, raw_tokenizer
from dico.models.torchvision_compat import ensure_torchvision_imports

_READS_PADDING = ("siglip", "siglip2")
"""Models that were trained on texts filled up to the limit, without a mask."""


class TransformersEncoder(LibraryEncoder):
    """A dual encoder; image tokens are its vision model's last hidden states."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        if not isinstance(getattr(model, "logit_scale", None), nn.Parameter):
            model.logit_scale = nn.Parameter(torch.tensor(100.0).log())

    @property
    def logit_scale(self) -> nn.Parameter:
        scale: nn.Parameter = self.model.logit_scale
        return scale

    def encode_pixels(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        found = self.model.get_image_features(**_seen(self.model, pixels))
        tokens = found.last_hidden_state
        tokens = as_tokens(tokens)
        return tokens, F.normalize(found.pooler_output.flatten(1), dim=-1)  # (B, E, 1, 1) -> (B, E)

    def encode_text(self, tokens: Tensor) -> Tensor:
        mask = tokens != PAD
        asked = {"input_ids": tokens.masked_fill(~mask, 0)}
        if not bool(mask.all()):
            asked["attention_mask"] = mask.long()
        found = self.model.get_text_features(**asked)
        return F.normalize(found.pooler_output, dim=-1)

    def projections(self) -> list[nn.Parameter]:
        towers = [getattr(self.model, name, None) for name in ("vision_model", "text_model")]
        places = [(self.model, "visual_projection"), (self.model, "text_projection")]
        places += [(tower, "head") for tower in towers]
        found = [getattr(owner, name, None) for owner, name in places]
        return [p for module in found if module is not None for p in module.parameters()]

    def drop_vision(self) -> None:
        for name in ("vision_model", "visual_projection"):
            if hasattr(self.model, name):
                delattr(self.model, name)


class TransformersTower(nn.Module):
    """A vision model that reads no text; image tokens are its last hidden states."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def encode_pixels(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        found = self.model(pixel_values=pixels)
        tokens = found.last_hidden_state
        tokens = as_tokens(tokens)
        return tokens, F.normalize(tokens.mean(dim=1), dim=-1)


def build(settings: Mapping[str, Any]) -> TransformersEncoder | TransformersTower:
    """The encoder of ``settings``: ``config`` as in config.json.

    Raises:
        ConfigError: transformers has no such model here, or it needs code of its own.
    """
    ensure_torchvision_imports()
    import transformers

    data = dict(settings["config"])
    if data.get("auto_map"):
        raise ConfigError("encoder: it needs code of its own, which is not run here")
    try:
        config = transformers.AutoConfig.for_model(**data)
        model = transformers.AutoModel.from_config(config, dtype=torch.float32)
    except Exception as error:
        raise ConfigError(f"encoder: transformers cannot build it: {one_line(error)}") from None
    if not hasattr(model, "get_text_features"):
        return TransformersTower(model)
    return TransformersEncoder(model)


def tokenizer(settings: Mapping[str, Any], folder: Path, context_length: int) -> TextTokenizer:
    """The model's own tokenizer, filled and cut as in its training."""
    raw = raw_tokenizer(folder)
    fills = settings["config"].get("model_type") in _READS_PADDING

    def read(texts: list[str], max_tokens: int) -> Tensor:
        limit = context_length if fills else min(max_tokens, context_length)
        made = raw(
            texts,
            padding="max_length" if fills else True,
            truncation=True,
            max_length=limit,
            return_tensors="pt",
            return_attention_mask=True,
        )
        ids: Tensor = made.input_ids
        return ids if fills else ids.masked_fill(made.attention_mask == 0, PAD)

    return LibraryTokenizer(raw, read)


def save_tokenizer(source: Path, folder: Path) -> None:
    """Writes the tokenizer that `tokenizer` reads, from the folder of the model's files."""
    raw_tokenizer(source).save_pretrained(folder)


def read(settings: Mapping[str, Any], folder: Path) -> TransformersEncoder | TransformersTower:
    """The encoder with the weights of a folder, which must hold every one that is used.

    The library itself reads them, since the names in files are not those of its modules.

    Raises:
        ConfigError: as by `build`.
        DataError: a weight is missing or of another model.
    """
    ensure_torchvision_imports()
    import transformers

    if not any(folder.glob("*.safetensors")):
        raise DataError(
            f"{folder}: no safetensors; convert it: `from dico.weights.keeping import convert_bin; "
            "convert_bin(Path(FOLDER))`, which runs nothing that the file says"
        )
    build(settings)
    transformers.utils.logging.disable_progress_bar()
    try:
        model, found = transformers.AutoModel.from_pretrained(
            folder,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
            local_files_only=True,
            trust_remote_code=False,
        )
    except Exception as error:
        raise DataError(f"{folder}: no encoder of transformers: {one_line(error)}") from None
    missing = sorted(n for n in found["missing_keys"] if ".pooler." not in f".{n}")
    if missing:
        raise DataError(f"{folder}: weight {missing[0]} is missing; it is of another model")
    has_texts = hasattr(model, "get_text_features")
    encoder = TransformersEncoder(model) if has_texts else TransformersTower(model)
    return encoder.eval()


def _seen(model: Any, pixels: Tensor) -> dict[str, Tensor]:
    """Pixels as the model takes them: SigLIP 2 takes patches, row by row, and their number."""
    if model.config.model_type != "siglip2":
        return {"pixel_values": pixels}
    size = model.config.vision_config.patch_size
    grid = pixels.unfold(2, size, size).unfold(3, size, size)  # (B, 3, rows, columns, size, size)
    rows, columns = grid.shape[2:4]
    patches = grid.permute(0, 2, 3, 4, 5, 1).flatten(3).flatten(1, 2)  # (B, P, size * size * 3)
    shape = torch.tensor([[rows, columns]], device=pixels.device).expand(len(pixels), 2)
    mask = torch.ones(patches.shape[:2], dtype=torch.int64, device=pixels.device)
    return {"pixel_values": patches, "pixel_attention_mask": mask, "spatial_shapes": shape}


def text_limit(config: Mapping[str, Any], model: Any) -> int:
    """Longest text, tokens: positions of the text model, less the two that RoBERTa keeps free."""
    text = model.config.get_text_config() if hasattr(model.config, "get_text_config") else None
    length = int(getattr(text, "max_position_embeddings", 0) or 77)
    roberta = "roberta" in str(getattr(text, "model_type", "")) or config["model_type"] == "altclip"
    return length - 2 if roberta else length
