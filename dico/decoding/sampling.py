"""Greedy decoding and ancestral sampling.

B images, K captions per image, N = B * K rows, T tokens, V vocabulary.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from dico.configuration.schema import check
from dico.decoding.config import Candidates, DecodingConfig, check_fits, ends_now
from dico.decoding.searched import Searched, only_choices


@torch.no_grad()
def greedy(captioner: Searched, memory: Any, config: DecodingConfig) -> Candidates:
    """One caption per image (K = 1), each token the likeliest.

    Args:
        captioner: in eval mode.
        memory: of B images, as ``captioner.begin_search`` takes it.
        config: length limit; beams are not used.

    Raises:
        ConfigError: the limit is beyond the captioner's places.
    """
    return _generate(captioner, memory, config, 1, lambda logits: logits.argmax(dim=-1))


@torch.no_grad()
def sample(
    captioner: Searched,
    memory: Any,
    config: DecodingConfig,
    generator: torch.Generator,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
) -> Candidates:
    """``config.num_beams`` captions per image, drawn independently.

    Args:
        captioner: in eval mode.
        memory: of B images, as ``captioner.begin_search`` takes it.
        config: number of captions and length limit.
        generator: source of chance, on the device of ``memory``.
        temperature: divides the logits, above 0; below 1 sharpens.
        top_k: draws among this many likeliest tokens; 0 for all.
        top_p: draws among the likeliest tokens that together have this probability, above 0 to 1.

    Returns:
        Captions with their log-probabilities under the model itself: before temperature and cuts.

    Raises:
        ConfigError: a temperature or a cut is out of range, or the limit is beyond the captioner's
            places.
    """
    _check_ranges(temperature, top_k, top_p)

    def draw(logits: Tensor) -> Tensor:
        logits = logits.sub(logits.amax(dim=-1, keepdim=True)).div_(temperature)  # none overflows
        weights = _cut(logits, top_k, top_p).softmax(dim=-1)
        return torch.multinomial(weights, 1, generator=generator)[:, 0]

    return _generate(captioner, memory, config, config.num_beams, draw)


def _generate(
    captioner: Searched,
    memory: Any,
    config: DecodingConfig,
    num_captions: int,
    choose: Callable[[Tensor], Tensor],
) -> Candidates:
    check_fits(config, captioner.max_tokens)
    num_images, limit = len(memory), config.max_tokens
    device = memory.device
    num_rows = num_images * num_captions
    tokens = torch.full((num_rows, limit), captioner.pad_id, device=device)
    tokens[:, 0] = captioner.bos_id
    logps = torch.zeros(num_rows, device=device)
    ended = torch.zeros(num_rows, dtype=torch.bool, device=device)
    cache = captioner.begin_search(memory, num_captions, limit)
    # (B, K): all K rows of an image begin from its one row.
    cache.select(torch.arange(num_images, device=device)[:, None].expand(-1, num_captions))
    for length in range(1, limit):
        logits = cache.head.logits(cache.step(tokens[:, length - 1]))  # (N, V)
        normalisers = logits.logsumexp(dim=-1)
        # Where the model gives NaN any token will do: the captions' log-probabilities show it.
        logits.nan_to_num_(nan=0.0)
        only_choices(captioner, logits, ends_now(config, length))
        chosen = choose(logits)  # (N,)
        gained = logits.gather(1, chosen[:, None])[:, 0] - normalisers
        logps += gained.masked_fill(ended, 0.0)
        tokens[:, length] = chosen.masked_fill(ended, captioner.pad_id)
        ended |= captioner.ends(chosen)
        if bool(ended.all()):
            break
    shape = (num_images, num_captions)
    lengths = (tokens != captioner.pad_id).sum(dim=-1)
    tokens = tokens[:, : int(lengths.max())].reshape(*shape, -1)  # (N, T) -> (B, K, T)
    logps = logps.view(shape)  # (N,) -> (B, K)
    return Candidates(tokens, logps, logps.clone(), lengths.view(shape))


def _check_ranges(temperature: float, top_k: int, top_p: float) -> None:
    least = torch.finfo(torch.float32).tiny
    positive = "must be finite and above 0 (greedy takes the likeliest tokens)"
    check(least <= temperature < math.inf, "temperature", temperature, positive)
    check(top_k >= 0, "top_k", top_k, "must be 0 (all tokens) or more")
    check(0 < top_p <= 1, "top_p", top_p, "must be above 0, to 1")


def _cut(logits: Tensor, top_k: int, top_p: float) -> Tensor:
    """Logits (N, V) with -inf where a token may not be drawn; the likeliest always may."""
    if 0 < top_k < logits.shape[-1]:
        least = logits.topk(top_k, dim=-1).values[:, -1:]  # (N, 1)
        logits = logits.masked_fill(logits < least, -torch.inf)
    if top_p < 1.0:
        ordered, places = logits.sort(dim=-1, descending=True)
        beyond = _sums_before(ordered.softmax(dim=-1)) >= top_p  # (N, V), likeliest first
        beyond[:, 0] = False
        # scatter puts each verdict back at its token's id.
        logits = logits.masked_fill(torch.zeros_like(beyond).scatter(1, places, beyond), -torch.inf)
    return logits


def _sums_before(shares: Tensor) -> Tensor:
    """Sums (N, V) of all shares of 1 to the left of each."""
    if shares.is_cuda:
        return _exact_sums_before(shares)
    return shares.cumsum(dim=-1) - shares


def _exact_sums_before(shares: Tensor) -> Tensor:
    """`_sums_before`, float64, in whole 2**-52, which add up alike in any order.

    A GPU's running sum of floats depends on the order of its threads, and torch refuses it where
    results must not vary between runs.
    """
    whole = (shares.double() * 2**52).long()
    return (whole.cumsum(dim=-1) - whole).double() / 2**52
