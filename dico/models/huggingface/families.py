"""Three families of transformers' captioners that see one square of pixels and have no prompt.

- ``vision-encoder-decoder``: VisionEncoderDecoderModel with any encoder and decoder;
- ``blip``: BlipForConditionalGeneration;
- ``git``: GitForCausalLM, whose image tokens stand before the caption.

All others are `image_text.ImageTextToText`.

B images, N captions, T tokens, P image tokens, D width, V vocabulary.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from dico.errors import ConfigError
from dico.models.huggingface.captioner import HuggingFaceCaptioner
from dico.models.huggingface.special_ids import begin_id, end_ids
from dico.models.huggingface.word_search import CrossAttentionStates, WordSearch


class _CrossAttending(HuggingFaceCaptioner):
    """Its decoder looks at the image's states in every layer."""

    def _decode(self, inputs: Tensor, states: Tensor, **cache: Any) -> Tensor:
        """Logits (N, T, V) of what follows each of ``inputs`` (N, T)."""
        raise NotImplementedError

    def next_logits(self, states: Tensor, inputs: Tensor) -> Tensor:
        return self._decode(inputs, states, use_cache=False)

    def begin_search(self, states: Tensor, num_rows: int, max_tokens: int) -> WordSearch:  # noqa: ARG002
        def begin(images: Tensor) -> CrossAttentionStates:
            return CrossAttentionStates(states[images])

        def step(tokens: Tensor, _images: Tensor, cache: CrossAttentionStates) -> Tensor:
            options = {"past_key_values": cache.pair, "use_cache": True}
            return self._decode(tokens[:, None], cache.encoded, **options)[:, -1]

        return WordSearch(len(states), self.pad_id, begin, step, device=states.device)


class _EncoderDecoder(_CrossAttending):
    def __init__(self, model: Any) -> None:
        super().__init__(model)
        config = model.config
        start = getattr(config, "decoder_start_token_id", None)
        self.bos_id = config.decoder.bos_token_id if start is None else start
        self.eos_ids = [config.decoder.eos_token_id]

    @property
    def image_encoder(self) -> nn.Module:
        tower: nn.Module = self.model.encoder
        return tower

    @property
    def language_model(self) -> nn.Module:
        decoder: nn.Module = self.model.decoder
        return decoder

    def _decode(self, inputs: Tensor, states: Tensor, **cache: Any) -> Tensor:
        logits: Tensor = self.model(
            encoder_outputs=(states,), decoder_input_ids=inputs, **cache
        ).logits
        return logits


class _Blip(_CrossAttending):
    def __init__(self, model: Any) -> None:
        super().__init__(model)
        text = model.config.text_config
        self.bos_id, self.eos_ids = text.bos_token_id, [text.sep_token_id]

    @property
    def image_encoder(self) -> nn.Module:
        tower: nn.Module = self.model.vision_model
        return tower

    @property
    def language_model(self) -> nn.Module:
        decoder: nn.Module = self.model.text_decoder
        return decoder

    def _decode(self, inputs: Tensor, states: Tensor, **cache: Any) -> Tensor:
        logits: Tensor = self.model.text_decoder(
            input_ids=inputs, encoder_hidden_states=states, **cache
        ).logits
        return logits


class _Git(HuggingFaceCaptioner):
    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.bos_id = begin_id(model)  # type: ignore[assignment]
        self.eos_ids = end_ids(model)

    @property
    def image_encoder(self) -> nn.Module:
        tower: nn.Module = self.model.git.image_encoder
        return tower

    @property
    def language_model(self) -> nn.Module:
        decoder: nn.Module = self.model.git.encoder
        return decoder

    def caption_logits(self, states: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """As of every captioner; the image's tokens and BOS go through the model once per image."""
        from dico.models.huggingface.prompt_states import SharedStates

        words = tokens[:, 1:]
        real = words != self.pad_id
        layers, first = self._read(states)
        rows = torch.arange(len(states), device=states.device)
        rows = rows.repeat_interleave(len(tokens) // len(states))  # (N,) image of each caption
        inputs = words[:, :-1].masked_fill(words[:, :-1] == self.pad_id, self.eos_id)
        logits = first[rows][:, None]
        if inputs.shape[1]:
            cache = SharedStates(layers, rows)
            with cache.copies.left_out():
                logits = torch.cat([logits, self._go_on(inputs, 1, cache)], dim=1)  # (N, T - 1, V)
        return logits[real], words[real]

    def next_logits(self, states: Tensor, inputs: Tensor) -> Tensor:
        with self._given(states) as given:
            output = self.model(input_ids=inputs, pixel_values=given, use_cache=False)
        logits: Tensor = output.logits
        return logits[:, -inputs.shape[1] :]

    def begin_search(self, states: Tensor, num_rows: int, max_tokens: int) -> WordSearch:  # noqa: ARG002
        from dico.models.huggingface.prompt_states import GrowingStates

        layers, first = self._read(states)
        length = layers[0].get_seq_length() - 1

        def begin(images: Tensor) -> GrowingStates:
            return GrowingStates(layers, images, max_tokens)

        def step(tokens: Tensor, _images: Tensor, cache: GrowingStates) -> Tensor:
            place = cache.get_seq_length() - length
            return self._go_on(tokens[:, None], place, cache)[:, -1]

        return WordSearch(len(states), self.pad_id, begin, step, first, states.device)

    def _read(self, states: Tensor) -> tuple[list[Any], Tensor]:
        """States of the image's tokens and of BOS behind them, and logits (B, V) of a word."""
        from dico.models.huggingface.prompt_states import RecordedStates

        cache = RecordedStates(self.model.config)
        begin = torch.full((len(states), 1), self.bos_id, device=states.device)
        with self._given(states) as given:
            output = self.model(
                input_ids=begin, pixel_values=given, past_key_values=cache, use_cache=True
            )
        return cache.recorded, output.logits[:, -1]

    def _go_on(self, inputs: Tensor, place: int, cache: Any) -> Tensor:
        """Logits (N, T, V) after words (N, T), the first of which is the caption's ``place``-th.

        Left to itself the model would count the image's tokens among the places of words.
        """
        places = torch.arange(place, place + inputs.shape[1], device=inputs.device)
        logits: Tensor = self.model(
            input_ids=inputs,
            position_ids=places.expand_as(inputs),
            past_key_values=cache,
            use_cache=True,
        ).logits
        return logits[:, -inputs.shape[1] :]

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


FAMILIES: dict[str, type[HuggingFaceCaptioner]] = {
    "vision-encoder-decoder": _EncoderDecoder,
    "blip": _Blip,
    "git": _Git,
}


def wrap(model: Any) -> HuggingFaceCaptioner:
    """The captioner around a transformers model of any image-text-to-text type.

    The model's own defaults of generation are dropped: a search follows `DecodingConfig` alone.

    Raises:
        ConfigError: ids of BOS or EOS are not set.
    """
    kind = model.config.model_type
    captioner = FAMILIES[kind](model) if kind in FAMILIES else _with_prompt(model)
    for name, ids in (("bos_id", [captioner.bos_id]), ("eos_id", captioner.eos_ids)):
        if not ids or not all(isinstance(one, int) for one in ids):
            raise ConfigError(f"captioner: the {kind} model's config gives no {name}; set it there")
    for module in model.modules():
        if getattr(module, "generation_config", None) is not None:
            module.generation_config = type(module.generation_config)()
    return captioner


def _with_prompt(model: Any) -> HuggingFaceCaptioner:
    """Loads transformers' caches, which take their time, where they are used."""
    from dico.models.huggingface.encoder_decoder import EncoderDecoder
    from dico.models.huggingface.image_text import ImageTextToText

    text = model.config.get_text_config(decoder=True)
    paired = model.config.is_encoder_decoder or getattr(text, "is_encoder_decoder", False)
    return (EncoderDecoder if paired else ImageTextToText)(model)
