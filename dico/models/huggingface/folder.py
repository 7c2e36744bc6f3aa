"""A transformers captioner on disk: the library's own layout, which it can read without dico.

    config.json  model.safetensors  tokenizer files  preprocessor_config.json
    policy.json  digests.json           (what dico adds)

Weights are read from safetensors alone, from a local folder, and no code of the folder is run.
"""

import dataclasses
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from dico.config_schema import from_dict, to_dict
from dico.errors import ConfigError, DataError, DicoError
from dico.models.captioner_config import HuggingFaceConfig
from dico.models.huggingface.adapters import merge_adapters
from dico.models.huggingface.captioner import HuggingFaceCaptioner
from dico.models.huggingface.families import wrap
from dico.models.huggingface.pixels import PREPROCESSOR_FILE, read_processor
from dico.models.huggingface.tokenizer import HuggingFaceTokenizer
from dico.models.torchvision_compat import ensure_torchvision_imports
from dico.storage import verify_digests, write_digests

FORMAT = 1
POLICY_FILE = "policy.json"
CLASSES = {
    "vision-encoder-decoder": "VisionEncoderDecoderModel",
    "blip": "BlipForConditionalGeneration",
    "git": "GitForCausalLM",
    "llava": "LlavaForConditionalGeneration",
    "paligemma": "PaliGemmaForConditionalGeneration",
}
_LOCAL = {"local_files_only": True, "trust_remote_code": False}


def open_checkpoint(config: HuggingFaceConfig) -> HuggingFaceCaptioner:
    """The captioner of ``config.checkpoint``, a folder in transformers' layout, in eval mode.

    Raises:
        ConfigError: a family, an image processor or a prompt that is not supported.
        DataError: not such a folder, or one without safetensors.
    """
    folder = Path(config.checkpoint)
    model = _read_model(folder)
    tokenizer = _read_tokenizer(folder)
    prompt = _prompt(config.prompt, model, tokenizer) if config.prompt else []
    return _assemble(folder, model, prompt, tokenizer, config)


def save(captioner: HuggingFaceCaptioner, folder: str | Path) -> None:
    """Writes the captioner with its digests; adapters are merged into its weights for good."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    merge_adapters(captioner.model)
    captioner.model.save_pretrained(folder, max_shard_size="1TB")
    if captioner.tokenizer is not None:
        captioner.tokenizer.save(folder)
    if captioner.processor is not None:
        text = json.dumps(captioner.processor, indent=1, sort_keys=True)
        (folder / PREPROCESSOR_FILE).write_text(text, encoding="utf-8")
    settings = to_dict(dataclasses.replace(captioner.settings, checkpoint=""))
    data = {"format": FORMAT, "prompt_ids": captioner.prompt, "settings": settings}
    text = json.dumps(data, indent=1, sort_keys=True)
    (folder / POLICY_FILE).write_text(text, encoding="utf-8")
    write_digests(folder)


def load(folder: str | Path) -> HuggingFaceCaptioner:
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
        if data["format"] != FORMAT:
            raise DataError(f"{path}: this version reads policies of format {FORMAT}")
        settings = from_dict(HuggingFaceConfig, data["settings"], "captioner")
        prompt = [int(token) for token in data["prompt_ids"]]
    except (OSError, ValueError, KeyError, TypeError, ConfigError) as error:
        raise DataError(f"{path}: not a captioner's settings: {error}") from None
    return _assemble(folder, _read_model(folder), prompt, _read_tokenizer(folder), settings)


def _assemble(
    folder: Path,
    model: Any,
    prompt: list[int],
    raw_tokenizer: Any,
    settings: HuggingFaceConfig,
) -> HuggingFaceCaptioner:
    captioner = wrap(model, prompt)
    if raw_tokenizer is not None:
        ids = (captioner.bos_id, captioner.eos_id, captioner.pad_id)
        captioner.tokenizer = HuggingFaceTokenizer(raw_tokenizer, *ids)
    captioner.processor, captioner.settings = read_processor(folder), settings
    return captioner.eval()


def _read_model(folder: Path) -> Any:
    """The model in float32, from safetensors, which must hold every weight that is used."""
    if not (folder / "config.json").is_file():
        raise DataError(f"{folder / 'config.json'}: missing; give a folder of a saved model")
    if not any(folder.glob("*.safetensors")):
        raise DataError(f"{folder}: no model.safetensors; weights in other formats are not read")
    ensure_torchvision_imports()
    import transformers

    transformers.utils.logging.disable_progress_bar()
    try:
        config = transformers.AutoConfig.from_pretrained(folder, **_LOCAL)
        if config.model_type not in CLASSES:
            known = ", ".join(CLASSES)
            raise ConfigError(
                f"captioner: {config.model_type!r} is not supported; known are {known}"
            )
        model, found = getattr(transformers, CLASSES[config.model_type]).from_pretrained(
            folder,
            config=config,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
            **_LOCAL,
        )
    except DicoError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise DataError(f"{folder}: not a captioner of transformers: {reason}") from None
    _require_whole(found["missing_keys"], folder)
    return model


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
        reason = " ".join(str(error).split())[:300]
        raise DataError(f"{folder}: not a tokenizer of transformers: {reason}") from None


def _prompt(text: str, model: Any, tokenizer: Any) -> list[int]:
    """Ids of the prompt, in which the image's place is as long as the image's states."""
    if tokenizer is None:
        raise ConfigError("captioner.prompt: needs a tokenizer in the checkpoint's folder")
    begins = tokenizer.bos_token is not None and tokenizer.bos_token in text
    ids: list[int] = tokenizer(text, add_special_tokens=not begins).input_ids
    image: int = getattr(model.config, "image_token_id", -1)
    if ids.count(image) != 1:
        name = tokenizer.convert_ids_to_tokens(image) if image >= 0 else "it has none"
        raise ConfigError(f"captioner.prompt: must hold the image's place ({name}) once: {text!r}")
    place = ids.index(image)
    return [*ids[:place], *[image] * _num_image_places(model, image), *ids[place + 1 :]]


def _num_image_places(model: Any, image: int) -> int:
    """States P of an image, by looking at a black one."""
    side = int(model.config.vision_config.image_size)
    with torch.no_grad():
        return wrap(model, [image]).encode(torch.zeros(1, 3, side, side)).shape[1]
