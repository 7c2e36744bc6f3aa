"""Any image-text-to-text model of transformers as a captioner: one class for all architectures.

The vision tower looks at an image once. What the language model makes of the prompt, the image's
places in it, is computed once per image and pass too, and read by all its captions, with gradients
to every weight. Nothing here knows an architecture: where a model cannot do it, `self_check` finds
out when the model is opened, and each caption goes through the whole of the model (``route`` full).

B images, N captions, P prompt tokens, T caption tokens, V vocabulary.
"""

import inspect
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from dico.losses import token_logps
from dico.models.huggingface.captioner import HuggingFaceCaptioner
from dico.models.huggingface.head import heard, led
from dico.models.huggingface.inputs import InputBatch, collate
from dico.models.huggingface.memory import ImageGroup, ImageMemory, mapped, read_part
from dico.models.huggingface.prompt_states import GrowingStates, RecordedStates, SharedStates
from dico.models.huggingface.special_ids import begin_id, end_ids
from dico.models.huggingface.word_search import WordSearch, WordsSoFar

Route = Literal["shared", "full"]
OF_WORDS: dict[str, int | None] = {
    "mm_token_type_ids": 0,
    "token_type_ids": 0,
    "image_embeds_position_mask": 0,
    "image_attention_mask": None,
    "cross_attention_mask": None,
}
"""Inputs that have an entry for each token, and what a caption's words have there; None for what the
prompt's last token has, which every pass over words is given."""
OF_WORDS_BY_TYPE = {("paligemma", "token_type_ids"): 1}
"""PaliGemma's 0 marks what the prompt looks at both ways."""
SPEAKERS = {
    "blip-2": "language_model",
    "instructblip": "language_model",
    "kosmos-2": "text_model",
    "kosmos-2.5": "text_model",
}
"""Types that ask for an image in every pass: the part that goes on from a prompt without one."""
ALONE = {"hunyuan_vl"}
"""Types whose images go through the model one by one: positions in an image depend on the
images before it in the batch."""


@dataclass(frozen=True)
class PromptStates:
    """What the language model made of the prompts of B images."""

    layers: list[Any]
    """Of a cache, never changed."""
    last: Tensor | None
    """(B, 1, D) that the head was given for the first word; None where it is not known."""
    logits: Tensor
    """(B, V) of the first word."""
    deltas: list[tuple[Any, Tensor]]
    """Modules that count positions from where an image's grid ended, and how far (B, 1)."""

    def place(self, rows: Tensor) -> None:
        """Lets positions of captions behind the prompts ``rows`` (N,) count from their grids."""
        for module, delta in self.deltas:
            module.rope_deltas = delta[rows]


class ImageTextToText(HuggingFaceCaptioner):
    """Made by `wrap`; a batch is an `InputBatch`, what is kept of it an `ImageMemory`."""

    route: Route = "shared"
    longest_prompt = 0
    """Tokens of the prompts that were looked at."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        parameters = inspect.signature(model.forward).parameters
        self._takes = set(parameters)
        required = inspect.Parameter.empty
        self._asks_for_pixels = any(
            name == "pixel_values" and one.default is required for name, one in parameters.items()
        )
        self._kind = model.config.model_type
        self.eos_ids = end_ids(model)
        begin = begin_id(model)
        self.bos_id = next(iter(self.eos_ids), -1) if begin is None else begin  # it only marks

    @property
    def num_prompt_tokens(self) -> int:
        return self.longest_prompt

    @property
    def image_encoder(self) -> nn.Module:
        found = self.model.get_encoder(modality="image")
        return found if found is not self.model else self._named_tower()

    @property
    def language_model(self) -> nn.Module:
        decoder: nn.Module = self.model.get_decoder()
        return decoder

    @property
    def excluded_ids(self) -> list[int]:
        """Places of images: in a caption they would ask for one that there is not."""
        names = ("image_token_id", "image_token_index", "video_token_id", "video_token_index")
        found = {getattr(self.model.config, name, None) for name in names}
        return sorted(i for i in found if isinstance(i, int) and 0 <= i < self.vocab_size)

    def encode(self, images: InputBatch) -> ImageMemory:
        """What is computed once per image."""
        groups = [
            ImageGroup(tuple(places), tuple(inputs), self._image_features(collate(inputs)))
            for places, inputs in images.groups(alone=self._kind in ALONE)
        ]
        return ImageMemory(tuple(groups))

    def next_logits(self, states: ImageMemory, inputs: Tensor) -> Tensor:
        """Logits (N, T, V) of what follows each of ``inputs`` (N, T), the N images' one each."""
        logits = []
        order = []
        for group, rows in states.rows(1):
            words = inputs[rows]
            found = self._logits(group, words[:, 1:], torch.ones_like(words, dtype=torch.bool))
            logits.append(found.view(*words.shape, -1))  # (n, T, V) of a group
            order.append(rows)
        return torch.cat(logits)[torch.cat(order).argsort()]  # (N, T, V) in the images' order

    def caption_logits(self, states: ImageMemory, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """As of every captioner; the tokens come group by group."""
        logits, targets = [], []
        for group, rows in states.rows(len(tokens) // len(states)):
            words = self._words(tokens[rows])
            real = words != self.pad_id
            logits.append(self._logits(group, words[:, :-1], real))
            targets.append(words[real])
        return joined(logits), joined(targets)  # (M, V), (M,)

    def score_candidates(self, states: ImageMemory, tokens: Tensor) -> Tensor:
        """Log-probabilities (B, K), float32, of candidates (B, K, T); gradients as in grad mode."""
        flat = tokens.flatten(0, 1)  # (B * K, T)
        logps = torch.zeros(len(flat), device=tokens.device)
        for group, rows in states.rows(tokens.shape[1]):
            words = self._words(flat[rows])
            real = words != self.pad_id
            of_real = token_logps(self._logits(group, words[:, :-1], real), words[real])
            gained = torch.zeros(real.shape, device=tokens.device)
            gained = gained.masked_scatter(real, of_real)  # (M,) -> (n, T), PAD as 0
            logps = logps.index_add(0, rows, gained.sum(dim=-1))
        return logps.view(tokens.shape[:2])  # (B * K,) -> (B, K)

    def read_prompts(self, memory: ImageMemory) -> ImageMemory:  # type: ignore[override]
        """``memory`` with what the language model makes of the prompts, for several uses of it."""
        if self.route == "full":
            return memory
        groups = [replace(group, states=self._read(group)) for group in memory.groups]
        return ImageMemory(tuple(groups))

    def begin_search(self, states: ImageMemory, num_rows: int, max_tokens: int) -> WordSearch:  # noqa: ARG002
        """As of every captioner; ``states`` are of one group."""
        (group,) = states.groups
        if self.route == "full":
            return self._begin_whole_search(group)
        read = self._states(group)

        def begin(places: Tensor) -> GrowingStates:
            return GrowingStates(read.layers, places, max_tokens)

        def step(tokens: Tensor, places: Tensor, cache: GrowingStates) -> Tensor:
            return self._go_on(group, read, places, tokens[:, None], cache)[:, -1]

        return WordSearch(len(group), self.pad_id, begin, step, read.logits, states.device)

    def _begin_whole_search(self, group: ImageGroup) -> WordSearch:
        """A search in which each word takes a pass over the image, the prompt and the caption."""
        images = torch.arange(len(group), device=group.images[0]["input_ids"].device)

        def begin(rows: Tensor) -> WordsSoFar:
            return WordsSoFar(rows.new_empty(len(rows), 0))

        def step(tokens: Tensor, rows: Tensor, so_far: WordsSoFar) -> Tensor:
            so_far.words = torch.cat([so_far.words, tokens[:, None]], dim=1)  # (n, T) -> (n, T + 1)
            return self._whole(group, rows, so_far.words)[:, -1]

        first = self._whole(group, images, images.new_empty(len(images), 0))[:, -1]
        return WordSearch(len(group), self.pad_id, begin, step, first, images.device)

    def _image_features(self, inputs: dict[str, Tensor]) -> Any:
        """The tower's output for a group; None where the model takes no such thing."""
        if "mm_encoder_outputs" not in self._takes or self.route == "full":
            return None
        if (call := tower_call(self.model)) is None:
            return None
        features_of, wanted = call
        seen = {name: x for name, x in inputs.items() if name in wanted and name not in OF_WORDS}
        if "pixel_values" in wanted and "pixel_values_images" in inputs:
            seen["pixel_values"] = inputs["pixel_values_images"]
            seen.pop("pixel_values_images", None)  # of the core, whose name for them it is
        return read_part(features_of(**seen, return_dict=True))

    def _states(self, group: ImageGroup) -> PromptStates:
        found: PromptStates = group.states or self._read(group)
        return found

    def _read(self, group: ImageGroup) -> PromptStates:
        """The pass of the language model over the prompts of a group."""
        inputs = self._inputs(group)
        counters: list[Any] = [m for m in self.model.modules() if hasattr(m, "rope_deltas")]
        for module in counters:
            module.rope_deltas = None
        cache = RecordedStates(self.model.config)
        with heard(self._speaker) as into_head:
            logits = self._forward(1, past_key_values=cache, use_cache=True, **inputs)
        deltas = [(m, m.rope_deltas) for m in counters if m.rope_deltas is not None]
        last = into_head[0][:, -1:] if len(into_head) == 1 else None
        return PromptStates(cache.recorded, last, logits[:, 0], deltas)

    def _inputs(self, group: ImageGroup) -> dict[str, Any]:
        """What the forward pass takes of a group's prompts."""
        inputs: dict[str, Any] = collate(group.images)
        inputs = {name: x for name, x in inputs.items() if name in self._takes}
        if group.features is not None:
            inputs = {name: x for name, x in inputs.items() if not name.startswith("pixel_")}
            if self._asks_for_pixels:
                inputs["pixel_values"] = None
            # A copy, because generate and some passes write into what they are given.
            inputs["mm_encoder_outputs"] = {"image": mapped(lambda x: x, group.features)}
        return inputs

    def _logits(self, group: ImageGroup, words: Tensor, real: Tensor) -> Tensor:
        """Logits (M, V) of the real ones (n, T + 1) of first words and those after ``words`` (n, T)."""
        per_image = len(words) // len(group)
        # (n,): the captions of an image stand side by side.
        rows = torch.arange(len(group), device=words.device).repeat_interleave(per_image)
        words = words.masked_fill(words == self.pad_id, self.eos_id)
        if self.route == "full":
            return chosen(self._whole(group, rows, words), real)
        states = self._states(group)
        if not words.shape[1]:
            return chosen(states.logits[rows][:, None], real)
        cache, last = SharedStates(states.layers, rows), states.last
        if last is None:
            with cache.copies.left_out():
                logits = self._go_on(group, states, rows, words, cache)
            both = torch.cat([states.logits[rows][:, None], logits], dim=1)  # (n, T + 1, V)
            return chosen(both, real)

        def all_real(hidden: Tensor) -> Tensor:  # (N, T, D) -> (1, M, D)
            return chosen(torch.cat([last[rows], hidden], dim=1), real)[None]

        # One call of the head, over what first words follow too.
        with cache.copies.left_out(), led(self._speaker, all_real):
            return self._go_on(group, states, rows, words, cache)[0]

    def _go_on(
        self, group: ImageGroup, states: PromptStates, rows: Tensor, words: Tensor, cache: Any
    ) -> Tensor:
        """Logits (N, T, V) after words (N, T) behind the prompts ``rows`` (N,)."""
        states.place(rows)
        more = {name: x[rows] for name, x in self._of_last(group, words.shape[1]).items()}
        logits: Tensor = self._speaker(
            input_ids=words, past_key_values=cache, use_cache=True, **more
        ).logits
        return logits

    @property
    def _speaker(self) -> Any:
        """What goes on from a prompt."""
        return self.model.get_submodule(SPEAKERS.get(self._kind, ""))

    def _of_last(self, group: ImageGroup, num_words: int) -> dict[str, Tensor]:
        """Inputs (B, T, ...) that every pass over words is given."""
        names = [name for name, of_words in OF_WORDS.items() if of_words is None]
        return {
            name: _grown(x, num_words)[:, -num_words:]
            for name, x in collate(group.images, names).items()
        }

    def _whole(self, group: ImageGroup, rows: Tensor, words: Tensor) -> Tensor:
        """Logits (n, T + 1, V) by the model's own pass over pixels, prompt and words, for each."""
        inputs = collate([group.images[row] for row in rows.tolist()])
        inputs = {name: x for name, x in inputs.items() if name in self._takes}
        inputs["input_ids"] = torch.cat([inputs["input_ids"], words], dim=1)  # (n, P + T)
        for name in OF_WORDS.keys() & inputs.keys():
            value = OF_WORDS_BY_TYPE.get((self._kind, name), OF_WORDS[name])
            inputs[name] = _grown(inputs[name], words.shape[1], value)
        return self._forward(words.shape[1] + 1, use_cache=False, **inputs)

    def _forward(self, num_last: int, **inputs: Any) -> Tensor:
        """Logits (N, T, V) of the last tokens."""
        if "logits_to_keep" in self._takes:
            inputs["logits_to_keep"] = num_last
        logits: Tensor = self.model(**inputs).logits
        return logits[:, -num_last:]

    def _words(self, tokens: Tensor) -> Tensor:
        """Words (n, T) after BOS of captions, as wide as the longest of them."""
        longest = int((tokens[:, 1:] != self.pad_id).sum(dim=1).max())
        return tokens[:, 1 : 1 + longest]

    def _named_tower(self) -> nn.Module:
        core = self.model.base_model
        names = ("visual", "vision_tower", "vision_model", "vision_encoder", "vision")
        return next(getattr(core, name) for name in names if hasattr(core, name))  # type: ignore[no-any-return]


def tower_call(model: Any) -> tuple[Any, set[str]] | None:
    """What turns pixels into image features, and the names of its inputs; None where there is none.

    Some models hand what they do not name on to their core, which does.
    """
    parts, wanted = (model, model.base_model), set[str]()
    calls = [call for part in parts if (call := getattr(part, "get_image_features", None))]
    for call in calls:
        parameters = inspect.signature(call).parameters.values()
        wanted |= {one.name for one in parameters}
        if not any(one.kind is one.VAR_KEYWORD for one in parameters):
            break
    return (calls[0], wanted) if calls else None


def chosen(values: Tensor, real: Tensor) -> Tensor:
    """The real ones (M, ...) of ``values`` (n, T, ...); no copy where all are."""
    return values.flatten(0, 1) if real.all() else values[real]  # (n * T, ...) or (M, ...)


def joined(parts: list[Tensor]) -> Tensor:
    """All of ``parts``, one behind the other; no copy of a single one."""
    return parts[0] if len(parts) == 1 else torch.cat(parts)  # (sum of n, ...)


def _grown(values: Tensor, num_words: int, value: int | None = None) -> Tensor:
    """``values`` (B, P, ...) with entries for words: ``value``, or the last again."""
    more = values[:, -1:].expand(-1, num_words, *values.shape[2:])  # (B, T, ...)
    if value is not None:
        more = torch.full_like(more, value)
    return torch.cat([values, more], dim=1)  # (B, P + T, ...)
