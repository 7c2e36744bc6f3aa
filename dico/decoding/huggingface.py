"""Searches of Hugging Face captioners, by transformers' own ``generate``.

B images, K candidates per image, N rows of a search, T tokens, V vocabulary.
"""

from typing import Any

import torch
from torch import Tensor

from dico.decoding.config import Candidates, DecodingConfig, check_fits
from dico.errors import ConfigError
from dico.models.huggingface import HuggingFaceCaptioner


@torch.no_grad()
def generate(captioner: HuggingFaceCaptioner, states: Tensor, config: DecodingConfig) -> Candidates:
    """The K best captions found for each image, all different.

    Args:
        captioner: in eval mode.
        states: (B, ...) of ``captioner.encode``.
        config: with the rule of today's transformers and one group of beams.

    Raises:
        ConfigError: the rule of transformers 4.20 or several groups are asked for, or the length
            is beyond the captioner's places.
    """
    if config.rule != "transformers5":
        raise ConfigError(f"rule: only transformers5 with this captioner, got {config.rule!r}")
    if config.num_groups > 1:
        raise ConfigError(f"num_groups: only 1 with this captioner, got {config.num_groups}")
    num_beams = config.num_beams
    found = _search(captioner, states, config, num_beams, num_beams=num_beams, do_sample=False)
    scores = found.logps / (found.lengths - 1) ** config.length_penalty
    # The search's own sums, of cached passes, are rounded otherwise, by much in bfloat16.
    scores, order = scores.sort(dim=1, descending=True, stable=True)
    tokens = found.tokens.gather(1, order[:, :, None].expand_as(found.tokens))
    return Candidates(tokens, found.logps.gather(1, order), scores, found.lengths.gather(1, order))


@torch.no_grad()
def greedy(captioner: HuggingFaceCaptioner, states: Tensor, config: DecodingConfig) -> Candidates:
    """One caption per image (K = 1), each token the likeliest; see `generate`."""
    return _search(captioner, states, config, 1, num_beams=1, do_sample=False)


@torch.no_grad()
def sample(
    captioner: HuggingFaceCaptioner,
    states: Tensor,
    config: DecodingConfig,
    generator: torch.Generator,
) -> Candidates:
    """``config.num_beams`` captions per image, drawn independently; see `generate`.

    Args:
        captioner: in eval mode.
        states: (B, ...) of ``captioner.encode``.
        config: number of captions and length limit.
        generator: source of chance; torch's global generators are as before afterwards.
    """
    seed = torch.randint(2**63 - 1, (), generator=generator, device=generator.device)
    devices = [states.device] if states.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(int(seed))
        return _search(
            captioner,
            states,
            config,
            config.num_beams,
            do_sample=True,
            top_k=0,
            top_p=1.0,
            remove_invalid_values=True,  # NaN can't be drawn by; the captions' logps tell of it
        )


def _search(
    captioner: HuggingFaceCaptioner,
    states: Tensor,
    config: DecodingConfig,
    num_captions: int,
    **options: Any,
) -> Candidates:
    check_fits(config, captioner.max_tokens)
    if config.eos_at_limit == "forced":
        options["logits_processor"] = [_EndAtLimit(captioner.eos_id, config.max_tokens - 1)]
    found = captioner.generate(
        states,
        bos_token_id=captioner.bos_id,
        eos_token_id=captioner.eos_id,
        pad_token_id=captioner.eos_id,
        suppress_tokens=captioner.excluded_ids or None,
        num_return_sequences=num_captions,
        max_new_tokens=config.max_tokens - 1,
        length_penalty=config.length_penalty,
        **options,
    )
    tokens = _padded(found, captioner).view(len(states), num_captions, -1)
    lengths = (tokens != captioner.pad_id).sum(dim=-1)
    tokens = tokens[:, :, : int(lengths.max())]
    logps = captioner.score_candidates(states, tokens)
    return Candidates(tokens, logps, logps.clone(), lengths)


class _EndAtLimit:
    """Leaves only EOS at the last place of captions, at its true log-probability.

    A logits processor of ``generate``, which in a beam search adds what it gets back to the beams'
    sums and does not normalise it anew. (transformers' own forced EOS would be free.)
    """

    def __init__(self, eos_id: int, num_new_tokens: int) -> None:
        """Of one search, which adds ``num_new_tokens`` at most to what it starts from."""
        self._eos_id, self._num_new_tokens = eos_id, num_new_tokens
        self._num_given: int | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores (N, V) of what may follow ``input_ids`` (N, T)."""
        if self._num_given is None:  # BOS, a prompt, or nothing where that is embedded
            self._num_given = input_ids.shape[1]
        if input_ids.shape[1] - self._num_given + 1 < self._num_new_tokens:
            return scores
        only = torch.full_like(scores, -torch.inf)
        only[:, self._eos_id] = scores[:, self._eos_id]
        return only


def _padded(tokens: Tensor, captioner: HuggingFaceCaptioner) -> Tensor:
    """Captions (N, T) with PAD after the first EOS that is not their BOS."""
    ends = tokens == captioner.eos_id
    ends[:, 0] = False
    return tokens.masked_fill(ends.cumsum(dim=1) - ends.long() > 0, captioner.pad_id)
