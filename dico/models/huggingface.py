"""Hugging Face captioners as the policy: one interface over four families of models.

- ``vision-encoder-decoder``: VisionEncoderDecoderModel with any encoder and decoder;
- ``blip``: BlipForConditionalGeneration;
- ``git``: GitForCausalLM, whose image tokens are part of the sequence;
- ``llava``: LlavaForConditionalGeneration, a decoder-only language model after a prompt that holds
  the image's places.

Captions are ids BOS..EOS, PAD after, in the model's own vocabulary. BOS is the token a caption
begins with; where a prompt takes its place, BOS only marks it.

B images, K candidates per image, N = B * K captions, T tokens, V vocabulary.
"""

import importlib
from abc import abstractmethod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dico.errors import ConfigError, DataError
from dico.losses import sequence_logps
from dico.models.torchvision_compat import ensure_torchvision_imports
from dico.storage import verify_digests, write_digests


class HuggingFaceCaptioner(nn.Module):
    """A captioner that sees pixels; made by `wrap` or `load`."""

    bos_id: int
    eos_id: int
    pad_id: int

    def __init__(self, model: Any, prompt: list[int] | None = None) -> None:
        super().__init__()
        self.model, self.prompt = model, prompt or []

    @abstractmethod
    def image_states(self, pixels: Tensor) -> Tensor:
        """What is computed once per image (B, ...), of pixels (B, 3, H, W)."""

    @abstractmethod
    def next_logits(self, states: Tensor, tokens: Tensor) -> Tensor:
        """Logits (N, T - 1, V) that predict ``tokens[:, 1:]``, with one state per caption."""

    @abstractmethod
    def generate(self, states: Tensor, **options: Any) -> Tensor:
        """Captions (N, T) of transformers' search, BOS first."""

    def score_candidates(self, states: Tensor, tokens: Tensor) -> Tensor:
        """Log-probabilities (B, K), float32, of candidates (B, K, T); gradients as in grad mode."""
        flat = tokens.flatten(0, 1)
        logits = self.next_logits(states.repeat_interleave(tokens.shape[1], dim=0), flat)
        return sequence_logps(logits, flat[:, 1:], self.pad_id).view(tokens.shape[:2])

    def save(self, folder: str | Path) -> None:
        """Writes the model in its own Hugging Face layout, with digests."""
        self.model.save_pretrained(folder)
        write_digests(folder)


class _EncoderDecoder(HuggingFaceCaptioner):
    def __init__(self, model: Any, prompt: list[int] | None = None) -> None:
        super().__init__(model, prompt)
        config = model.config
        start = getattr(config, "decoder_start_token_id", None)
        self.bos_id = config.decoder.bos_token_id if start is None else start
        self.eos_id = config.decoder.eos_token_id
        self.pad_id = config.decoder.pad_token_id

    def image_states(self, pixels: Tensor) -> Tensor:
        states: Tensor = self.model.encoder(pixel_values=pixels)[0]
        return states

    def next_logits(self, states: Tensor, tokens: Tensor) -> Tensor:
        output = self.model(encoder_outputs=(states,), decoder_input_ids=tokens[:, :-1])
        logits: Tensor = output.logits
        return logits

    def generate(self, states: Tensor, **options: Any) -> Tensor:
        from transformers.modeling_outputs import BaseModelOutput

        captions: Tensor = self.model.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=states),
            decoder_start_token_id=self.bos_id,
            **options,
        )
        return captions


class _Blip(HuggingFaceCaptioner):
    def __init__(self, model: Any, prompt: list[int] | None = None) -> None:
        super().__init__(model, prompt)
        text = model.config.text_config
        self.bos_id, self.eos_id = text.bos_token_id, text.sep_token_id
        self.pad_id = text.pad_token_id

    def image_states(self, pixels: Tensor) -> Tensor:
        states: Tensor = self.model.vision_model(pixel_values=pixels)[0]
        return states

    def next_logits(self, states: Tensor, tokens: Tensor) -> Tensor:
        output = self.model.text_decoder(input_ids=tokens[:, :-1], encoder_hidden_states=states)
        logits: Tensor = output.logits
        return logits

    def generate(self, states: Tensor, **options: Any) -> Tensor:
        captions: Tensor = self.model.text_decoder.generate(
            input_ids=_column(self.bos_id, states), encoder_hidden_states=states, **options
        )
        return captions


class _Git(HuggingFaceCaptioner):
    def __init__(self, model: Any, prompt: list[int] | None = None) -> None:
        super().__init__(model, prompt)
        self.bos_id, self.eos_id = model.config.bos_token_id, model.config.eos_token_id
        self.pad_id = model.config.pad_token_id

    def image_states(self, pixels: Tensor) -> Tensor:
        return pixels

    def next_logits(self, states: Tensor, tokens: Tensor) -> Tensor:
        inputs = tokens[:, :-1]
        logits: Tensor = self.model(input_ids=inputs, pixel_values=states).logits
        return logits[:, -inputs.shape[1] :]

    def generate(self, states: Tensor, **options: Any) -> Tensor:
        first = _column(self.bos_id, states)
        captions: Tensor = self.model.generate(input_ids=first, pixel_values=states, **options)
        return captions


class _Llava(HuggingFaceCaptioner):
    def __init__(self, model: Any, prompt: list[int] | None = None) -> None:
        super().__init__(model, prompt)
        text = model.config.text_config
        self.bos_id, self.eos_id = text.bos_token_id, text.eos_token_id
        self.pad_id = text.pad_token_id
        if model.config.image_token_id not in self.prompt:
            raise ConfigError(
                f"prompt: must hold the image's places (id {model.config.image_token_id}), "
                f"got {self.prompt}"
            )

    def image_states(self, pixels: Tensor) -> Tensor:
        return pixels

    def next_logits(self, states: Tensor, tokens: Tensor) -> Tensor:
        prompt = self._prompts(states)
        inputs = torch.cat([prompt, tokens[:, 1:-1]], dim=1)
        logits: Tensor = self.model(input_ids=inputs, pixel_values=states).logits
        return logits[:, prompt.shape[1] - 1 :]

    def generate(self, states: Tensor, **options: Any) -> Tensor:
        prompt = self._prompts(states)
        options["max_length"] += prompt.shape[1] - 1
        made: Tensor = self.model.generate(
            input_ids=prompt,
            attention_mask=torch.ones_like(prompt),
            pixel_values=states,
            **options,
        )
        captions = made[:, prompt.shape[1] :]
        return torch.cat([_column(self.bos_id, captions), captions], dim=1)

    def _prompts(self, states: Tensor) -> Tensor:
        return torch.tensor([self.prompt], device=states.device).expand(len(states), -1)


FAMILIES: dict[str, type[HuggingFaceCaptioner]] = {
    "vision-encoder-decoder": _EncoderDecoder,
    "blip": _Blip,
    "git": _Git,
    "llava": _Llava,
}


def wrap(model: Any, prompt: list[int] | None = None) -> HuggingFaceCaptioner:
    """The captioner around a transformers model.

    Args:
        model: of a class named above, also one that peft has wrapped.
        prompt: ids before the caption, the image's places among them (``llava``).

    Raises:
        ConfigError: a family that is not known, or ids of BOS, EOS or PAD are not set.
    """
    kind = model.config.model_type
    if kind not in FAMILIES:
        raise ConfigError(f"captioner: {kind!r} is not supported; known are {', '.join(FAMILIES)}")
    captioner = FAMILIES[kind](model, prompt)
    for name in ("bos_id", "eos_id", "pad_id"):
        if not isinstance(getattr(captioner, name), int):
            raise ConfigError(f"captioner: the {kind} model's config gives no {name}; set it there")
    return captioner


def load(folder: str | Path, prompt: list[int] | None = None) -> HuggingFaceCaptioner:
    """Reads what `HuggingFaceCaptioner.save` wrote, checked by its digests, in eval mode.

    Raises:
        DataError: not such a folder.
    """
    verify_digests(folder)
    ensure_torchvision_imports()
    import transformers

    config = transformers.AutoConfig.from_pretrained(folder)
    classes = {
        "vision-encoder-decoder": "VisionEncoderDecoderModel",
        "blip": "BlipForConditionalGeneration",
        "git": "GitForCausalLM",
        "llava": "LlavaForConditionalGeneration",
    }
    if config.model_type not in classes:
        raise DataError(f"{folder}: a {config.model_type} model, known are {', '.join(classes)}")
    model = getattr(transformers, classes[config.model_type]).from_pretrained(folder)
    return wrap(model.eval(), prompt)


def with_lora(model: Any, rank: int, target_modules: list[str]) -> Any:
    """The model with low-rank updates (LoRA) to the named modules, alone trainable.

    Raises:
        ConfigError: peft is not installed.
    """
    try:
        peft: Any = importlib.import_module("peft")
    except ImportError:
        raise ConfigError("captioner: LoRA needs the package peft; install it") from None
    return peft.get_peft_model(model, peft.LoraConfig(r=rank, target_modules=target_modules))


def _column(token: int, like: Tensor) -> Tensor:
    return torch.full((len(like), 1), token, dtype=torch.int64, device=like.device)
