"""Beam search with K results for many images at once.

Two rules, by name, on the same candidates: at each step the 2 K best continuations of an image's K
beams; those among the first K that end in EOS are finished hypotheses, of which the best K are
kept; the best K that do not end go on.

- ``transformers5`` (as ``generate`` of transformers 5): a hypothesis scores its log-probability
  over the number of tokens after BOS, and an image is done when its best *running* beam, at its
  present length, scores no better than its worst of K finished hypotheses.
- ``transformers4`` (as transformers 4.20): a hypothesis is divided by its length before EOS was
  added, BOS counted, and an image is done when the best continuation, EOS or not, scores no better.

Images that are done leave the batch. No gradient; run it on a captioner in eval mode.

B images, A images still active, K beams, T tokens, V vocabulary.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dico.decoding.config import Candidates, DecodingConfig, check_fits, ends_now
from dico.decoding.searched import Searched
from dico.models.packed import LMHead


@dataclass
class _Search:
    """State of the A active images; ``finished_*`` hold the best K hypotheses, -inf where none."""

    images: Tensor
    """(A,) index of each active image in the batch."""
    tokens: Tensor
    """(A, K, T) beams in the making."""
    logps: Tensor
    """(A, K)"""
    finished_tokens: Tensor
    """(A, K, T)"""
    finished_logps: Tensor
    """(A, K)"""
    finished_scores: Tensor
    """(A, K) best first."""

    def keep(self, chosen: Tensor) -> None:
        """Goes on with the images ``chosen``, by their places."""
        for name, value in vars(self).items():
            setattr(self, name, value[chosen])


@torch.no_grad()
def beam_search(captioner: Searched, memory: Any, config: DecodingConfig) -> Candidates:
    """The K best captions found for each image.

    Args:
        captioner: in eval mode.
        memory: of B images, as ``captioner.begin_search`` takes it.
        config: beams, length, penalty, rule.

    Raises:
        ConfigError: the length is beyond the captioner's places.
    """
    num_beams, limit = config.num_beams, config.max_tokens
    search = _start(captioner, memory, config)
    result = _finished(_start(captioner, memory, config))
    cache = captioner.begin_search(memory, num_beams, limit)
    fed = search.tokens[:, 0, 0]
    for length in range(1, limit):
        hidden = cache.step(fed)
        if ends_now(config, length):
            continuations = _endings(cache.head, hidden, search.logps, captioner.eos_id)
        else:
            excluded = captioner.excluded_ids
            continuations = _continuations(cache.head, hidden, search.logps, num_beams, excluded)
        logps, beams, words = continuations
        ends = captioner.ends(words)
        _finish(search, logps, beams, words, ends, length, config)
        best_any = logps[:, 0]
        rows = _advance(search, logps, beams, words, ends, length)
        done = _is_done(search, best_any, length, config)
        if length + 1 == limit:
            _close(search, ~done, config)
            done = torch.ones_like(done)
        if bool(done.any()):
            for into, value in zip(result, _finished(search), strict=True):
                into[search.images[done]] = value[done]
            if bool(done.all()):
                break
            alive = _closed_up(~done)
            search.keep(alive)
            cache.select(rows[alive], alive)
        else:
            cache.select(rows)
        fed = search.tokens[:, :, length].flatten()
    return _candidates(result, captioner)


def _start(captioner: Searched, memory: Any, config: DecodingConfig) -> _Search:
    """One beam per image, all others impossible."""
    check_fits(config, captioner.max_tokens)
    shape, device = (len(memory), config.num_beams), memory.device
    tokens = torch.full((*shape, config.max_tokens), captioner.pad_id, device=device)
    tokens[:, :, 0] = captioner.bos_id
    never = torch.full(shape, -torch.inf, device=device)
    return _Search(
        images=torch.arange(len(memory), device=memory.device),
        tokens=tokens,
        logps=torch.zeros((len(memory), 1), device=device),
        finished_tokens=tokens.clone(),
        finished_logps=never,
        finished_scores=never.clone(),
    )


def _continuations(
    head: LMHead, hidden: Tensor, running: Tensor, num_beams: int, excluded: list[int]
) -> tuple[Tensor, Tensor, Tensor]:
    """The 2 K best next tokens of each image, best first: logp, beam and token (A, 2 K)."""
    num_images, count = len(running), 2 * num_beams
    gains, words = head.best(hidden, count, excluded)
    merged = (gains + running.flatten()[:, None]).view(num_images, -1)
    logps, places = merged.topk(count, dim=1)
    return logps, places // count, words.view(num_images, -1).gather(1, places)


def _endings(
    head: LMHead, hidden: Tensor, running: Tensor, eos_id: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Every beam continued by EOS, best first, as `_continuations`."""
    gains = head.logps_of(hidden, eos_id).view(running.shape)
    logps, beams = (running + gains).sort(dim=1, descending=True, stable=True)
    return logps, beams, torch.full_like(beams, eos_id)


def _finish(
    search: _Search,
    logps: Tensor,
    beams: Tensor,
    words: Tensor,
    ends: Tensor,
    length: int,
    config: DecodingConfig,
) -> None:
    """Puts the EOS among the first K continuations beside the K finished hypotheses."""
    divisor = float(length) ** config.length_penalty
    num_beams = config.num_beams
    logps, beams, ends = logps[:, :num_beams], beams[:, :num_beams], ends[:, :num_beams]
    scores = (logps / divisor).masked_fill(~ends, -torch.inf)
    tokens = _gather(search.tokens, beams)
    tokens[:, :, length] = words[:, :num_beams]
    _merge(search, tokens, logps, scores)


def _merge(search: _Search, tokens: Tensor, logps: Tensor, scores: Tensor) -> None:
    """Keeps the best K of the finished hypotheses and of these."""
    num_beams = search.finished_scores.shape[1]
    merged = torch.cat([search.finished_scores, scores], dim=1)
    search.finished_scores, best = merged.topk(num_beams, dim=1)
    search.finished_logps = torch.cat([search.finished_logps, logps], dim=1).gather(1, best)
    search.finished_tokens = _gather(torch.cat([search.finished_tokens, tokens], dim=1), best)


def _advance(
    search: _Search, logps: Tensor, beams: Tensor, words: Tensor, ends: Tensor, length: int
) -> Tensor:
    """Goes on with the best K continuations that do not end; returns their cache rows (A, K)."""
    num_beams = search.finished_scores.shape[1]
    num_rows = search.logps.shape[1]
    search.logps, best = logps.masked_fill(ends, -torch.inf).topk(num_beams, dim=1)
    beams = beams.gather(1, best)
    search.tokens = _gather(search.tokens, beams)
    search.tokens[:, :, length] = words.gather(1, best)
    return beams + num_rows * torch.arange(len(beams), device=beams.device)[:, None]


def _is_done(search: _Search, best_any: Tensor, length: int, config: DecodingConfig) -> Tensor:
    """(A,) whether no running beam can still enter the K finished hypotheses, by the rule."""
    best = best_any if config.rule == "transformers4" else search.logps[:, 0]
    attainable = best / float(length) ** config.length_penalty
    done: Tensor = search.finished_scores[:, -1] >= attainable
    return done


def _closed_up(going: Tensor) -> Tensor:
    """Places of the images that go on, those at the end in the gaps: the others need not move."""
    places = going.nonzero()[:, 0]
    chosen = torch.arange(len(places), device=going.device)
    chosen[~going[: len(places)]] = places[places >= len(places)]
    return chosen


def _close(search: _Search, undone: Tensor, config: DecodingConfig) -> None:
    """At the limit, beams that are still open become hypotheses of images that were not done."""
    length = config.max_tokens if config.rule == "transformers4" else config.max_tokens - 1
    scores = search.logps / float(length) ** config.length_penalty
    _merge(search, search.tokens, search.logps, scores.masked_fill(~undone[:, None], -torch.inf))


def _gather(values: Tensor, rows: Tensor) -> Tensor:
    """(A, K, T) rows of ``values`` (A, K', T) by index (A, K)."""
    return values.gather(1, rows[:, :, None].expand(-1, -1, values.shape[2]))


def _finished(search: _Search) -> tuple[Tensor, Tensor, Tensor]:
    return search.finished_tokens, search.finished_logps, search.finished_scores


def _candidates(result: tuple[Tensor, Tensor, Tensor], captioner: Searched) -> Candidates:
    tokens, logps, scores = result
    lengths = (tokens != captioner.pad_id).sum(dim=-1)
    return Candidates(tokens[:, :, : int(lengths.max())], logps, scores, lengths)
