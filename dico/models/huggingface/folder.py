"""A captioner of transformers on disk: opened from a user's folder, saved with what it needs.

The saved folder is a plain transformers folder (weights, config, tokenizer, processor) with one more
file, ``policy.json``, and its digests: stock transformers reads it and captions the same. Weights
are read from safetensors alone, from a local folder, and no code of the folder is run.
"""

import dataclasses
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from dico.configuration.schema import from_dict, to_dict
from dico.errors import ConfigError, DataError, DicoError, one_line
from dico.models.captioner_config import HuggingFaceConfig
from dico.models.huggingface.adapters import (
    add_adapters,
    copy_adapters,
    has_adapters,
    merge_adapters,
)
from dico.models.huggingface.captioner import HuggingFaceCaptioner
from dico.models.huggingface.families import FAMILIES, wrap
from dico.models.huggingface.four_bit import four_bit_settings, is_four_bit, require_four_bits
from dico.models.huggingface.processor import (
    FILES,
    PromptedImages,
    prompt_text,
    read_processor,
    require_one_place,
    turn_end,
)
from dico.models.huggingface.tokenizer import HuggingFaceTokenizer
from dico.models.huggingface_files import read_image_processor
from dico.models.torchvision_compat import ensure_torchvision_imports
from dico.storage import verify_digests, write_digests

FORMATS = (1, 2)
POLICY_FILE = "policy.json"
_LOCAL = {"local_files_only": True, "trust_remote_code": False}
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def open_checkpoint(
    config: HuggingFaceConfig, device: str | torch.device = "cpu"
) -> HuggingFaceCaptioner:
    """The captioner of ``config.checkpoint``, a folder in transformers' layout, in eval mode.

    Raises:
        ConfigError: a type, an image processor or a prompt that is not supported.
        DataError: not such a folder, or one without safetensors.
    """
    if config.load_in_4bit:
        require_four_bits(device)
    return _assemble(Path(config.checkpoint), config, device)


def save(captioner: HuggingFaceCaptioner, folder: str | Path) -> None:
    """Writes the captioner with its digests; adapters are merged into its weights for good.

    Those of a captioner in 4 bits are merged into the weights that it was read from, and stay.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    model = _unquantised(captioner) if is_four_bit(captioner.model) else captioner.model
    merge_adapters(model)
    model.save_pretrained(folder, max_shard_size="1TB")
    if captioner.tokenizer is not None:
        captioner.tokenizer.save(folder)
    for name, content in captioner.files.items():
        (folder / name).write_bytes(content)
    settings = to_dict(dataclasses.replace(captioner.settings, checkpoint=""))
    data = {"format": FORMATS[-1], "settings": settings, "checked": captioner.checked}
    text = json.dumps(data, indent=1, sort_keys=True)
    (folder / POLICY_FILE).write_text(text, encoding="utf-8")
    write_digests(folder)


def load(folder: str | Path, device: str | torch.device = "cpu") -> HuggingFaceCaptioner:
    """Reads what `save` wrote, checked by its digests, in eval mode.

    Raises:
        DigestError: a file is not what was written.
        DataError: not such a folder.
    """
    folder = Path(folder)
    verify_digests(folder)
    path = folder / POLICY_FILE
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] not in FORMATS:
            raise DataError(f"{path}: this version reads policies of formats {FORMATS}")
        settings = from_dict(HuggingFaceConfig, data["settings"], "captioner")
        checked = dict(data.get("checked", {}))
    except (OSError, ValueError, KeyError, TypeError, ConfigError) as error:
        raise DataError(f"{path}: not a captioner's settings: {error}") from None
    return _assemble(folder, settings, device, checked)


def _assemble(
    folder: Path,
    settings: HuggingFaceConfig,
    device: str | torch.device,
    checked: dict[str, str] | None = None,
) -> HuggingFaceCaptioner:
    if settings.load_in_4bit and torch.device(device).type == "cuda":
        model = _read_model(folder, torch.bfloat16, **four_bit_settings(device))
    else:
        model = _read_model(folder, _dtype_of(settings)).to(device)
    captioner = wrap(model)
    captioner.settings, captioner.checked, captioner.place = settings, checked or {}, folder
    captioner.files = {
        name: (folder / name).read_bytes() for name in FILES if (folder / name).is_file()
    }
    captioner.eval()
    if captioner.model.config.model_type in FAMILIES:
        if settings.prompt or settings.instruction:
            kind = captioner.model.config.model_type
            raise ConfigError(f"captioner.prompt: captions of {kind} have none; leave it empty")
        raw_tokenizer, captioner.processor = _read_tokenizer(folder), read_image_processor(folder)
        _give_tokenizer(captioner, raw_tokenizer)
    else:
        _give_prompt(captioner, folder)
    return captioner


def _dtype_of(settings: HuggingFaceConfig) -> torch.dtype:
    return torch.bfloat16 if settings.load_in_4bit else _DTYPES[settings.dtype]


def _unquantised(captioner: HuggingFaceCaptioner) -> Any:
    """The model as its folder has it, in bfloat16 on the CPU, with the captioner's adapters."""
    whole = wrap(_read_model(captioner.place, torch.bfloat16))
    if has_adapters(captioner.model):
        add_adapters(whole.model, captioner.settings, whole.language_model)
        copy_adapters(captioner.model, whole.model)
    return whole.model


def _give_tokenizer(captioner: HuggingFaceCaptioner, raw: Any) -> None:
    if raw is not None:
        ids = (captioner.bos_id, captioner.eos_ids, captioner.pad_id)
        captioner.tokenizer = HuggingFaceTokenizer(raw, *ids)


def _give_prompt(captioner: Any, folder: Path) -> None:
    """Gives a captioner its processor, its prompt and its way through the model."""
    from dico.models.huggingface.self_check import check

    processor, settings = read_processor(folder), captioner.settings
    ends = captioner.eos_ids
    if (first := turn_end(processor, ends)) is not None:
        captioner.eos_ids = [first, *(one for one in ends if one != first)]
    _give_tokenizer(captioner, getattr(processor, "tokenizer", None))
    text = prompt_text(processor, settings)
    require_one_place(processor, captioner.model.config, text)
    captioner.pixels = PromptedImages(processor, text, settings.image_px)
    check(captioner)


def _read_model(folder: Path, dtype: torch.dtype, **more: Any) -> Any:
    """The model, from safetensors, which must hold every weight that is used."""
    if not (folder / "config.json").is_file():
        raise DataError(f"{folder / 'config.json'}: missing; give a folder of a saved model")
    if not any(folder.glob("*.safetensors")):
        raise DataError(f"{folder}: no model.safetensors; weights in other formats are not read")
    ensure_torchvision_imports()
    import transformers

    transformers.utils.logging.disable_progress_bar()
    try:
        config = transformers.AutoConfig.from_pretrained(folder, **_LOCAL)
        model, found = class_of(config).from_pretrained(
            folder,
            config=config,
            use_safetensors=True,
            dtype=dtype,
            output_loading_info=True,
            **more,
            **_LOCAL,
        )
    except DicoError:
        raise
    except Exception as error:
        raise DataError(
            f"{folder}: not a captioner of transformers: {one_line(error, 300)}"
        ) from None
    _require_whole(found["missing_keys"], folder)
    return model


def class_of(config: Any) -> Any:
    """The class that reads a model of this config.

    Raises:
        ConfigError: it does not turn images into text.
    """
    import transformers

    for auto in (transformers.AutoModelForImageTextToText, transformers.AutoModelForMultimodalLM):
        if type(config) in auto._model_mapping:
            return auto
    raise ConfigError(
        f"captioner: {config.model_type!r} is not an image-text-to-text model of transformers "
        f"{transformers.__version__}"
    )


def _require_whole(missing: Collection[str], folder: Path) -> None:
    """Refuses a model of which weights would be left at random; a pooler is not used here."""
    needed = sorted(name for name in missing if ".pooler." not in name)
    if needed:
        raise DataError(f"{folder}: weight {needed[0]} is missing; it is of another model")


def _read_tokenizer(folder: Path) -> Any:
    """The tokenizer; None where the folder has none."""
    if not (folder / "tokenizer_config.json").is_file():
        return None
    import transformers

    try:
        return transformers.AutoTokenizer.from_pretrained(folder, **_LOCAL)
    except Exception as error:
        raise DataError(
            f"{folder}: not a tokenizer of transformers: {one_line(error, 300)}"
        ) from None
