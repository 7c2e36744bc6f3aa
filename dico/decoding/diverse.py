"""Diverse beam search: groups of beams, each penalised for tokens that earlier groups just chose.

Vijayakumar et al. 2016 (arXiv 1610.02424), Hamming diversity: at each step the groups choose in
turn, and a token costs ``diversity_penalty`` nats for each beam of an earlier group that goes on
with it. Within a group the search is that of `dico.decoding.beam`, by its rule, on the penalised
sums.

B images, G groups, K beams in all, R = K / G beams in a group, T tokens, V vocabulary.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from dico.decoding.config import Candidates, DecodingConfig, ends_now
from dico.decoding.hypotheses import (
    Continuations,
    Hypotheses,
    advance,
    close,
    finish,
    gather_rows,
    is_done,
    start,
)
from dico.decoding.searched import Searched, WordByWord, only_choices
from dico.models.scoring import score_candidates


@torch.no_grad()
def diverse_beam_search(
    captioner: Any,
    memory: Any,
    config: DecodingConfig,
    score: Callable[[Any, Any, Tensor], Tensor] = score_candidates,
) -> Candidates:
    """K captions of each image from G groups of beams, best first.

    The captions of one group differ. Two groups may find the same caption, the more likely the
    smaller the penalty is.

    Args:
        captioner: in eval mode.
        memory: of B images, as ``captioner.begin_search`` takes it.
        config: ``num_beams`` is K and ``num_groups`` G; one group is plain beam search.
        score: exact log-probabilities of a captioner's candidates, as `score_candidates`.

    Returns:
        Captions with their exact log-probabilities; the scores include the penalties.

    Raises:
        ConfigError: the length is beyond the captioner's places.
    """
    num_groups, penalty = config.num_groups, config.diversity_penalty
    part = dataclasses.replace(config, num_beams=config.num_beams // num_groups, num_groups=1)
    groups = [start(captioner, memory, part) for _ in range(num_groups)]
    done = torch.zeros(num_groups, len(memory), dtype=torch.bool, device=memory.device)  # (G, B)
    cache = captioner.begin_search(memory, config.num_beams, part.max_tokens)
    fed = groups[0].tokens[:, 0, 0]  # (B,) BOS: one row per image before the first step
    for length in range(1, part.max_tokens):
        gains = _gains(captioner, cache, fed, ends_now(part, length))
        gains = gains.view(len(memory), -1, gains.shape[-1])  # (B, K, V); (B, 1, V) at first
        taken = gains.new_zeros(len(memory), gains.shape[-1])  # (B, V) beams that took a token
        rows = []
        for index, search in enumerate(groups):
            first = index * part.num_beams if length > 1 else 0
            own = gains[:, first : first + search.logps.shape[1]] - penalty * taken[:, None]
            beams = _step(search, own, done[index], length, part, captioner)
            rows.append(first + beams)
            going = search.logps.isfinite().to(taken)  # (B, R): 1 for a beam that goes on
            taken.scatter_add_(1, search.tokens[:, :, length], going)
        if bool(done.all()):
            break
        images = torch.arange(len(memory), device=memory.device)[:, None]
        # The cache counts rows over all images: G times (B, R) -> (B, K).
        cache.select(torch.cat(rows, dim=1) + images * gains.shape[1])
        fed = torch.cat([search.tokens[:, :, length] for search in groups], dim=1).flatten()  # (N,)
    found = _collect(captioner, groups)
    return dataclasses.replace(found, logps=score(captioner, memory, found.tokens))


def _gains(captioner: Searched, cache: WordByWord, fed: Tensor, ends: bool) -> Tensor:
    """Log-probabilities (N, V) of what may follow."""
    gains = cache.head.logits(cache.step(fed)).log_softmax(dim=-1)
    return only_choices(captioner, gains, ends)


def _step(
    search: Hypotheses,
    gains: Tensor,
    done: Tensor,
    length: int,
    config: DecodingConfig,
    captioner: Searched,
) -> Tensor:
    """One step of one group, given its penalised gains (B, R, V); returns its beams (B, R).

    ``done`` (B,) is updated; images that were done before stay as they are.
    """
    totals = (gains + search.logps[:, :, None]).flatten(1)  # (B, R, V) -> (B, R * V)
    logps, places = totals.topk(2 * config.num_beams, dim=1)  # (B, 2 R)
    logps = logps.masked_fill(done[:, None], -torch.inf)
    beams, tokens = places // gains.shape[-1], places % gains.shape[-1]
    found = Continuations(logps, beams, tokens, captioner.ends(tokens))
    finish(search, found, length, config)
    rows = advance(search, found, length)
    stopped = is_done(search, logps[:, 0], length, config)
    if length + 1 == config.max_tokens:
        close(search, ~(done | stopped), config)
        stopped = torch.ones_like(stopped)
    done |= stopped
    return rows


def _collect(captioner: Searched, groups: list[Hypotheses]) -> Candidates:
    scores = torch.cat([search.finished_scores for search in groups], dim=1)  # (B, K)
    tokens = torch.cat([search.finished_tokens for search in groups], dim=1)  # (B, K, T)
    scores, order = scores.sort(dim=1, descending=True, stable=True)
    tokens = gather_rows(tokens, order)
    lengths = (tokens != captioner.pad_id).sum(dim=-1)  # (B, K)
    tokens = tokens[:, :, : int(lengths.max())]
    return Candidates(tokens, scores.clone(), scores, lengths)
