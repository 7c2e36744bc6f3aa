"""Beam search of Hugging Face captioners, by transformers' own ``generate``.

B images, K candidates per image, T tokens.
"""

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
        states: (B, ...) of ``captioner.image_states``.
        config: with the rule of today's transformers.

    Raises:
        ConfigError: the rule of transformers 4.20 is asked for.
    """
    if config.rule != "transformers5":
        raise ConfigError(f"rule: only transformers5 with this captioner, got {config.rule!r}")
    found = captioner.generate(
        states,
        eos_token_id=captioner.eos_id,
        pad_token_id=captioner.pad_id,
        num_beams=config.num_beams,
        num_return_sequences=config.num_beams,
        max_length=config.max_tokens,
        length_penalty=config.length_penalty,
        do_sample=False,
    )
    tokens = _end(found, captioner, config.max_tokens).view(len(states), config.num_beams, -1)
    lengths = _places_of_eos(tokens, captioner) + 1
    tokens = tokens[:, :, : int(lengths.max())]
    logps = captioner.score_candidates(states, tokens)
    scores = logps / (lengths - 1) ** config.length_penalty
    return Candidates(tokens, logps, scores, lengths)


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
