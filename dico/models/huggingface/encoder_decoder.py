"""An image-text-to-text model whose encoder reads image and prompt, and whose decoder captions.

Florence-2, Pix2Struct, T5Gemma 2, BLIP-2 with a T5, and the like: what the encoder made of an image
is computed once and looked at by all its captions.

B images, N captions, P encoder states, D width, T tokens, V vocabulary.
"""

from typing import Any

import torch
from torch import Tensor

from dico.errors import ConfigError
from dico.models.huggingface.image_text import SPEAKERS, ImageTextToText, chosen
from dico.models.huggingface.inputs import collate
from dico.models.huggingface.memory import ImageGroup, ImageMemory
from dico.models.huggingface.word_search import CrossAttentionStates, WordSearch


class EncoderDecoder(ImageTextToText):
    """See the module; ``features`` of a group are the encoder's states (B, P, D)."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        start = _first(model, "decoder_start_token_id")
        if start is None:
            raise ConfigError(
                f"captioner: the {self._kind} model's config gives no decoder_start_token_id; "
                "set it there"
            )
        forced = _first(model, "forced_bos_token_id")
        self._start = [start] if forced is None else [start, forced]
        self.bos_id = start

    def read_prompts(self, memory: ImageMemory) -> ImageMemory:  # type: ignore[override]
        """As it is: decoders read no prompt."""
        return memory

    def begin_search(self, states: ImageMemory, num_rows: int, max_tokens: int) -> WordSearch:
        """As of every captioner; ``states`` are of one group."""
        if self.route == "full":
            return super().begin_search(states, num_rows, max_tokens)
        (group,) = states.groups

        def begin(images: Tensor) -> CrossAttentionStates:
            cache = CrossAttentionStates(group.features[images])
            for token in self._start[:-1]:
                step(torch.full_like(images, token), images, cache)
            return cache

        def step(tokens: Tensor, images: Tensor, cache: CrossAttentionStates) -> Tensor:
            options = {"past_key_values": cache.pair, "use_cache": True}
            return self._decode(group, images, cache.encoded, tokens[:, None], **options)[:, -1]

        last = self._start[-1]
        return WordSearch(len(group), self.pad_id, begin, step, device=states.device, start=last)

    def _image_features(self, inputs: dict[str, Tensor]) -> Any:
        """The encoder's states, which the model gives beside the logits of a first word."""
        if self.route == "full":
            return None
        found = self.model(**self._whole_inputs(inputs, inputs["input_ids"][:, :0]))
        found = found.get("language_model_outputs") or found
        return found["encoder_last_hidden_state"]

    def _logits(self, group: ImageGroup, words: Tensor, real: Tensor) -> Tensor:
        per_image = len(words) // len(group)
        rows = torch.arange(len(group), device=words.device).repeat_interleave(per_image)  # (n,)
        words = words.masked_fill(words == self.pad_id, self.eos_id)
        if self.route == "full":
            logits = self._whole(group, rows, words)
        else:
            inputs = self._started(words)
            logits = self._decode(group, rows, group.features[rows], inputs, use_cache=False)
            logits = logits[:, -words.shape[1] - 1 :]
        return chosen(logits, real)

    def _decode(
        self, group: ImageGroup, rows: Tensor, encoded: Tensor, inputs: Tensor, **cache: Any
    ) -> Tensor:
        """Logits (N, T, V) of what follows each of ``inputs`` (N, T)."""
        from transformers.modeling_outputs import BaseModelOutput

        masks = collate(group.images, ["attention_mask"])
        logits: Tensor = self.model.get_submodule(SPEAKERS.get(self._kind, ""))(
            encoder_outputs=BaseModelOutput(last_hidden_state=encoded),
            decoder_input_ids=inputs,
            **{name: x[rows] for name, x in masks.items() if x.shape[1] == encoded.shape[1]},
            **cache,
        ).logits
        return logits

    def _whole(self, group: ImageGroup, rows: Tensor, words: Tensor) -> Tensor:
        inputs = collate([group.images[row] for row in rows.tolist()])
        logits: Tensor = self.model(**self._whole_inputs(inputs, words)).logits
        return logits[:, -words.shape[1] - 1 :]

    def _whole_inputs(self, inputs: dict[str, Tensor], words: Tensor) -> dict[str, Any]:
        taken = {name: x for name, x in inputs.items() if name in self._takes}
        return taken | {"decoder_input_ids": self._started(words), "use_cache": False}

    def _started(self, words: Tensor) -> Tensor:
        """Words (N, T) behind what a decoder begins with."""
        start = torch.tensor(self._start, device=words.device).expand(len(words), -1)
        return torch.cat([start, words], dim=1)  # (N, S + T), S ids at the beginning


def _first(model: Any, name: str) -> int | None:
    """An id of the generation config, the config or its text part."""
    text = model.config.get_text_config(decoder=True)
    for config in (getattr(model, "generation_config", None), model.config, text):
        value = getattr(config, name, None)
        if isinstance(value, int):
            return value
    return None
