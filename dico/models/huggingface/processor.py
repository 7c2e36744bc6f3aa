"""An image and the prompt to a model's inputs, by the model's own processor.

Tiles, dynamic resolution, the places of an image in the prompt and the chat template are the
processor's; how large an image is when it comes there is bounded by ``captioner.image_px``.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from dico.errors import ConfigError, DataError, one_line
from dico.images.frame import Frame
from dico.models.captioner_config import HuggingFaceConfig
from dico.models.huggingface.inputs import InputBatch, Inputs
from dico.models.huggingface_checks import PLACED_BY_PROCESSOR

INSTRUCTION = "Describe the image in one sentence."
"""What a model with a chat template is asked where the settings say nothing."""
FILES = (
    "preprocessor_config.json",
    "processor_config.json",
    "video_preprocessor_config.json",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
)
"""Files beside weights and tokenizer, kept as they are so that transformers captions the same."""
_NOT_INPUTS = ("attention_mask", "labels")
_BICUBIC = 3


class PromptedImages:
    """Called with an image, gives its `Inputs`; safe in several threads."""

    def __init__(self, processor: Any, prompt: str, image_px: int = 0) -> None:
        self._processor, self.prompt, self._image_px = processor, prompt, image_px
        if image_px:
            _bound(processor, image_px)
        tokenizer = getattr(processor, "tokenizer", processor)
        begin = getattr(tokenizer, "bos_token", None)
        self._options: dict[str, Any] = {"text": prompt} if prompt else {}
        if begin and prompt.startswith(begin):
            self._options["add_special_tokens"] = False

    @property
    def frame(self) -> Frame:
        """All of an image, no side longer than the bound."""
        return Frame(_BICUBIC, longest_px=self._image_px or None)

    def __call__(self, image: Image.Image) -> Inputs:
        """Inputs of an image of any mode and size.

        Raises:
            ConfigError: the processor does not take the prompt.
        """
        cut = self.frame.cut(image)
        try:
            made = self._processor(images=cut, return_tensors="pt", **self._options)
        except (TypeError, ValueError, IndexError) as error:
            raise ConfigError(f"captioner.prompt: {self.prompt!r}: {one_line(error)}") from None
        found = {
            name: x
            for name, x in made.items()
            if isinstance(x, Tensor) and (name not in _NOT_INPUTS or "input_ids" not in made)
        }
        found.setdefault("input_ids", torch.empty(1, 0, dtype=torch.int64))
        return found

    def of_frames(self, frames: Sequence[Image.Image]) -> InputBatch:
        """The batch of images that `frame` cut."""
        return InputBatch([self(one) for one in frames])


def read_processor(folder: Path) -> Any:
    """The processor of a model's folder.

    Raises:
        ConfigError: it needs a package that is not installed.
        DataError: the folder has none.
    """
    import transformers

    try:
        return transformers.AutoProcessor.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except ImportError as error:
        raise ConfigError(f"captioner: its processor: {_line(error)}") from None
    except Exception as error:
        raise DataError(f"{folder}: not a processor of transformers: {_line(error)}") from None


def prompt_text(processor: Any, config: HuggingFaceConfig) -> str:
    """What stands before a caption: the literal prompt, or the instruction in the chat template.

    Raises:
        ConfigError: an instruction for a model that has no template.
    """
    if config.prompt:
        return config.prompt
    template = getattr(processor, "chat_template", None)
    if not template:
        if config.instruction:
            raise ConfigError(
                "captioner.instruction: the model has no chat template; give captioner.prompt"
            )
        return ""
    content = [
        {"type": "image"},
        {"type": "text", "text": config.instruction or INSTRUCTION},
    ]
    text: str = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
    )
    return text


def require_one_place(processor: Any, config: Any, text: str) -> None:
    """Checks that a prompt has the image's place once, unless the processor puts it there itself.

    Raises:
        ConfigError: it has none, or several.
    """
    token = getattr(processor, "image_token", None)
    token = token if isinstance(token, str) else getattr(token, "content", None)
    if token is None or config.model_type in PLACED_BY_PROCESSOR or text.count(token) == 1:
        return
    raise ConfigError(f"captioner.prompt: must hold the image's place {token} once: {text!r}")


def turn_end(processor: Any, ids: Iterable[int]) -> int | None:
    """Which of the ids that end a caption the chat template closes an assistant's turn with."""
    if not getattr(processor, "chat_template", None):
        return None
    turns = [
        {"role": "user", "content": [{"type": "text", "text": "a"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "b"}]},
    ]
    text: str = processor.apply_chat_template(turns, tokenize=False)
    answer = processor.tokenizer(text.rpartition("b")[2], add_special_tokens=False).input_ids
    return next((one for one in answer if one in set(ids)), None)


def _bound(processor: Any, image_px: int) -> None:
    """Keeps a processor from enlarging an image beyond ``image_px``, or from more tiles of it."""
    images = getattr(processor, "image_processor", processor)
    size: Any = getattr(images, "size", None)
    size = size if hasattr(size, "get") else {}
    longest = size.get("longest_edge") or 0
    if hasattr(images, "merge_size"):  # its edges are numbers of pixels, as Qwen's
        most = min(longest, image_px**2)
        least = min(size.get("shortest_edge") or 0, most)
        images.size = {"shortest_edge": least, "longest_edge": most}
    elif longest > image_px:
        images.size = {"longest_edge": image_px}
    if hasattr(images, "do_image_splitting"):
        tile = (getattr(images, "max_image_size", None) or {}).get("longest_edge", 0)
        images.do_image_splitting = bool(images.do_image_splitting) and image_px > tile
    if hasattr(images, "max_patches") and hasattr(images, "crop_to_patches"):
        side = max(size.get("height", 1), size.get("width", 1))
        images.max_patches = min(images.max_patches, max(1, (image_px // side) ** 2))


def _line(error: Exception) -> str:
    return one_line(error, 300)
