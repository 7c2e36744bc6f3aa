"""Searches of Hugging Face captioners, by transformers' own ``generate``.

B images, K candidates per image, T tokens.
"""

from typing import Any

import torch
from torch import Tensor

from dico.decoding.config import Candidates, DecodingConfig
from dico.errors import ConfigError
from dico.models.huggingface import HuggingFaceCaptioner


@torch.no_grad()
def generate(captioner: HuggingFaceCaptioner, states: Tensor, config: DecodingConfig) -> Candidates:
    """The K best captions found for each image; a caption cut at the limit ends in EOS there.

    Args:
        captioner: in eval mode.
        states: (B, ...) of ``captioner.encode``.
        config: with the rule of today's transformers.

    Raises:
        ConfigError: the rule of transformers 4.20 is asked for, or captions without an end.
    """
    if config.rule != "transformers5":
        raise ConfigError(f"rule: only transformers5 with this captioner, got {config.rule!r}")
    if config.eos_at_limit != "forced":
        raise ConfigError(f"eos_at_limit: only forced here, got {config.eos_at_limit!r}")
    num_beams = config.num_beams
    found = _search(captioner, states, config, num_beams, num_beams=num_beams, do_sample=False)
    scores = found.logps / (found.lengths - 1) ** config.length_penalty
    return Candidates(found.tokens, found.logps, scores, found.lengths)


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
    devices = [states.device] if states.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(generator.initial_seed())
        num_captions = config.num_beams
        return _search(captioner, states, config, num_captions, do_sample=True, top_k=0, top_p=1.0)


def _search(
    captioner: HuggingFaceCaptioner,
    states: Tensor,
    config: DecodingConfig,
    num_captions: int,
    **options: Any,
) -> Candidates:
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
    tokens = _end(found, captioner, config.max_tokens).view(len(states), num_captions, -1)
    lengths = _places_of_eos(tokens, captioner) + 1
    tokens = tokens[:, :, : int(lengths.max())]
    logps = captioner.score_candidates(states, tokens)
    return Candidates(tokens, logps, logps.clone(), lengths)


def _end(tokens: Tensor, captioner: HuggingFaceCaptioner, limit: int) -> Tensor:
    """Captions (N, T) with an EOS in each, PAD after it."""
    places = torch.arange(tokens.shape[1], device=tokens.device)
    is_end = (tokens == captioner.eos_id) & (places > 0)
    open_ends = ~is_end.any(dim=1)
    tokens = tokens.clone()
    if tokens.shape[1] == limit:
        tokens[open_ends, -1] = captioner.eos_id
    return tokens.masked_fill(places > _places_of_eos(tokens, captioner)[:, None], captioner.pad_id)


def _places_of_eos(tokens: Tensor, captioner: HuggingFaceCaptioner) -> Tensor:
    """(...) place of the first EOS after BOS."""
    return (tokens[..., 1:] == captioner.eos_id).to(torch.uint8).argmax(dim=-1) + 1
