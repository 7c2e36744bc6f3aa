"""Five families of transformers' captioners behind one interface.

- ``vision-encoder-decoder``: VisionEncoderDecoderModel with any encoder and decoder;
- ``blip``: BlipForConditionalGeneration;
- ``git``: GitForCausalLM, whose image tokens are part of the sequence;
- ``llava``: LlavaForConditionalGeneration, a decoder-only language model after a prompt that holds
  the image's places;
- ``paligemma``: PaliGemmaForConditionalGeneration, alike, but the tokens of the prompt and of the
  image look at each other.

N captions, P image tokens, D width.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from dico.errors import ConfigError
from dico.models.huggingface.captioner import HuggingFaceCaptioner


class _EncoderDecoder(HuggingFaceCaptioner):
    def __init__(self, model: Any, prompt: list[int]) -> None:
        super().__init__(model, prompt)
        config = model.config
        start = getattr(config, "decoder_start_token_id", None)
        self.bos_id = config.decoder.bos_token_id if start is None else start
        self.eos_id = config.decoder.eos_token_id

    @property
    def image_encoder(self) -> nn.Module:
        tower: nn.Module = self.model.encoder
        return tower

    def next_logits(self, states: Tensor, inputs: Tensor) -> Tensor:
        logits: Tensor = self.model(
            encoder_outputs=(states,), decoder_input_ids=inputs, use_cache=False
        ).logits
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
    def __init__(self, model: Any, prompt: list[int]) -> None:
        super().__init__(model, prompt)
        text = model.config.text_config
        self.bos_id, self.eos_id = text.bos_token_id, text.sep_token_id

    @property
    def image_encoder(self) -> nn.Module:
        tower: nn.Module = self.model.vision_model
        return tower

    def next_logits(self, states: Tensor, inputs: Tensor) -> Tensor:
        logits: Tensor = self.model.text_decoder(
            input_ids=inputs, encoder_hidden_states=states, use_cache=False
        ).logits
        return logits

    def generate(self, states: Tensor, **options: Any) -> Tensor:
        first = _column(self.bos_id, states)
        captions: Tensor = self.model.text_decoder.generate(
            input_ids=first,
            attention_mask=torch.ones_like(first),
            encoder_hidden_states=states,
            **options,
        )
        return captions


class _Git(HuggingFaceCaptioner):
    def __init__(self, model: Any, prompt: list[int]) -> None:
        super().__init__(model, prompt)
        self.bos_id, self.eos_id = model.config.bos_token_id, model.config.eos_token_id

    @property
    def image_encoder(self) -> nn.Module:
        tower: nn.Module = self.model.git.image_encoder
        return tower

    def next_logits(self, states: Tensor, inputs: Tensor) -> Tensor:
        with self._given(states) as given:
            output = self.model(input_ids=inputs, pixel_values=given, use_cache=False)
        logits: Tensor = output.logits
        return logits[:, -inputs.shape[1] :]

    def generate(self, states: Tensor, **options: Any) -> Tensor:
        first = _column(self.bos_id, states)
        with self._given(states) as given:
            captions: Tensor = self.model.generate(
                input_ids=first,
                attention_mask=torch.ones_like(first),
                pixel_values=given,
                **options,
            )
        return captions

    @contextmanager
    def _given(self, states: Tensor) -> Iterator[Tensor]:
        """Lets the model take states for pixels: it has no other way in for what is computed."""
        git = self.model.git
        encoder, git.image_encoder = git.image_encoder, _AsGiven()
        try:
            yield states[:, None]  # the model expects four dimensions
        finally:
            git.image_encoder = encoder


class _AsGiven(nn.Module):
    """An image encoder whose pixels (N, 1, P, D) are its states already."""

    def forward(self, pixels: Tensor, **_options: Any) -> SimpleNamespace:
        return SimpleNamespace(last_hidden_state=pixels[:, 0])


class _Llava(HuggingFaceCaptioner):
    def __init__(self, model: Any, prompt: list[int]) -> None:
        super().__init__(model, prompt)
        text = model.config.text_config
        self.bos_id, self.eos_id = text.bos_token_id, text.eos_token_id
        if model.config.image_token_id not in self.prompt:
            raise ConfigError(
                f"prompt: must hold the image's places (id {model.config.image_token_id}), "
                f"got {self.prompt}"
            )

    @property
    def image_encoder(self) -> nn.Module:
        tower: nn.Module = self.model.model.vision_tower
        return tower

    @property
    def excluded_ids(self) -> list[int]:
        """The image's place: in a caption it would ask for an image that there is not."""
        return [self.model.config.image_token_id]

    def encode(self, pixels: Tensor) -> Tensor:
        config = self.model.config
        found = self.model.model.get_image_features(
            pixel_values=pixels,
            vision_feature_layer=config.vision_feature_layer,
            vision_feature_select_strategy=config.vision_feature_select_strategy,
        )
        return torch.stack(list(getattr(found, "pooler_output", found)))

    def next_logits(self, states: Tensor, inputs: Tensor) -> Tensor:
        embedded = self._embedded(states, inputs[:, 1:])
        options = self._options(embedded)
        logits: Tensor = self.model(inputs_embeds=embedded, use_cache=False, **options).logits
        return logits[:, len(self.prompt) - 1 :]

    def generate(self, states: Tensor, **options: Any) -> Tensor:
        first = _column(self.bos_id, states)
        embedded = self._embedded(states, first[:, 1:])
        mask = torch.ones(embedded.shape[:2], dtype=torch.int64, device=states.device)
        options |= self._options(embedded)
        captions = self.model.generate(inputs_embeds=embedded, attention_mask=mask, **options)
        num_captions = len(captions) // len(states)
        return torch.cat([first.repeat_interleave(num_captions, dim=0), captions], dim=1)

    def _embedded(self, states: Tensor, tokens: Tensor) -> Tensor:
        """Embeddings of the prompt, with the image's states in their places, and of tokens."""
        prompt = torch.tensor([self.prompt], device=states.device).expand(len(states), -1)
        ids = torch.cat([prompt, tokens], dim=1)
        embedded: Tensor = self.model.get_input_embeddings()(ids)
        places = (ids == self.model.config.image_token_id)[:, :, None]
        return embedded.masked_scatter(places, states.to(embedded.dtype))

    def _options(self, embedded: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """What else the model takes beside a prompt and a caption (N, T, D)."""
        return {}


class _PaliGemma(_Llava):
    def encode(self, pixels: Tensor) -> Tensor:
        found = self.model.model.get_image_features(pixel_values=pixels)
        return torch.stack(list(getattr(found, "pooler_output", found)))

    def generate(self, states: Tensor, **options: Any) -> Tensor:
        """Its search takes no embeddings: it gets the states in place of what it would compute."""
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        def given(pixel_values: Tensor, **_options: Any) -> Any:
            return BaseModelOutputWithPooling(pooler_output=pixel_values)

        prompt = torch.tensor([self.prompt], device=states.device).expand(len(states), -1)
        core = self.model.model
        core.get_image_features = given
        try:
            made = self.model.generate(
                input_ids=prompt,
                attention_mask=torch.ones_like(prompt),
                token_type_ids=torch.zeros_like(prompt),
                pixel_values=states,
                **options,
            )
        finally:
            del core.get_image_features
        captions: Tensor = made[:, prompt.shape[1] - 1 :].clone()
        captions[:, 0] = self.bos_id
        return captions

    def _options(self, embedded: Tensor) -> dict[str, Tensor]:
        """0 where the tokens of the prompt look at each other, 1 for the caption."""
        kinds = torch.ones(embedded.shape[:2], dtype=torch.int64, device=embedded.device)
        kinds[:, : len(self.prompt)] = 0
        return {"token_type_ids": kinds}


FAMILIES: dict[str, type[HuggingFaceCaptioner]] = {
    "vision-encoder-decoder": _EncoderDecoder,
    "blip": _Blip,
    "git": _Git,
    "llava": _Llava,
    "paligemma": _PaliGemma,
}


def wrap(model: Any, prompt: list[int] | None = None) -> HuggingFaceCaptioner:
    """The captioner around a transformers model.

    The model's own defaults of generation are dropped: a search follows `DecodingConfig` alone.

    Args:
        model: of a class named above.
        prompt: ids before the caption, the image's places among them (``llava``, ``paligemma``).

    Raises:
        ConfigError: a family that is not known, a prompt that it does not take, or ids of BOS or
            EOS are not set.
    """
    kind = model.config.model_type
    if kind not in FAMILIES:
        raise ConfigError(f"captioner: {kind!r} is not supported; known are {', '.join(FAMILIES)}")
    if prompt and not issubclass(FAMILIES[kind], _Llava):
        raise ConfigError(f"prompt: captions of {kind} have none, got {prompt}")
    captioner = FAMILIES[kind](model, prompt or [])
    for name in ("bos_id", "eos_id"):
        if not isinstance(getattr(captioner, name), int):
            raise ConfigError(f"captioner: the {kind} model's config gives no {name}; set it there")
    for module in model.modules():
        if getattr(module, "generation_config", None) is not None:
            module.generation_config = type(module.generation_config)()
    return captioner


def _column(token: int, like: Tensor) -> Tensor:
    return torch.full((len(like), 1), token, dtype=torch.int64, device=like.device)
