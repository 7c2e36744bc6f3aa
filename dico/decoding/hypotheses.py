"""Hypotheses of a beam search: how they grow, finish and are kept, for plain and diverse search.

A images still active, K beams, T tokens, J >= K continuations given best first.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dico.decoding.config import DecodingConfig, check_fits
from dico.decoding.searched import Searched


@dataclass
class Hypotheses:
    """State of the A active images; ``finished_*`` hold the best K hypotheses, -inf where none."""

    images: Tensor
    """(A,) index of each active image in the batch."""
    tokens: Tensor
    """(A, K, T) running beams."""
    logps: Tensor
    """(A, K) of the running beams; (A, 1) before the first step."""
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

    def finished(self) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens, log-probabilities and scores of the finished hypotheses."""
        return self.finished_tokens, self.finished_logps, self.finished_scores


@dataclass(frozen=True)
class Continuations:
    """Ways for each image's beams to go on by one token, best first."""

    logps: Tensor
    """(A, J) sums over the caption, this token included."""
    beams: Tensor
    """(A, J) beam that each goes on from."""
    tokens: Tensor
    """(A, J) ids."""
    ends: Tensor
    """(A, J) whether the token ends the caption."""


def start(captioner: Searched, memory: Any, config: DecodingConfig) -> Hypotheses:
    """One running beam per image, BOS alone, and nothing finished."""
    check_fits(config, captioner.max_tokens)
    shape, device = (len(memory), config.num_beams), memory.device
    tokens = torch.full((*shape, config.max_tokens), captioner.pad_id, device=device)  # (B, K, T)
    tokens[:, :, 0] = captioner.bos_id
    never = torch.full(shape, -torch.inf, device=device)  # (B, K)
    return Hypotheses(
        images=torch.arange(len(memory), device=memory.device),
        tokens=tokens,
        logps=torch.zeros((len(memory), 1), device=device),
        finished_tokens=tokens.clone(),
        finished_logps=never,
        finished_scores=never.clone(),
    )


def finish(search: Hypotheses, found: Continuations, length: int, config: DecodingConfig) -> None:
    """Puts the EOS among the first K continuations beside the K finished hypotheses."""
    divisor = float(length) ** config.length_penalty
    num_beams = config.num_beams
    logps = found.logps[:, :num_beams]  # (A, K)
    scores = (logps / divisor).masked_fill(~found.ends[:, :num_beams], -torch.inf)
    tokens = gather_rows(search.tokens, found.beams[:, :num_beams])  # (A, K, T)
    tokens[:, :, length] = found.tokens[:, :num_beams]
    _merge(search, tokens, logps, scores)


def _merge(search: Hypotheses, tokens: Tensor, logps: Tensor, scores: Tensor) -> None:
    """Keeps the best K of the finished hypotheses and of these."""
    num_beams = search.finished_scores.shape[1]
    # What was finished stands first, so that it wins a tie.
    merged = torch.cat([search.finished_scores, scores], dim=1)  # (A, 2 K)
    search.finished_scores, best = merged.topk(num_beams, dim=1)  # (A, K)
    logps = torch.cat([search.finished_logps, logps], dim=1)  # (A, 2 K)
    search.finished_logps = logps.gather(1, best)  # (A, K)
    both = torch.cat([search.finished_tokens, tokens], dim=1)  # (A, 2 K, T)
    search.finished_tokens = gather_rows(both, best)


def advance(search: Hypotheses, found: Continuations, length: int) -> Tensor:
    """Goes on with the best K continuations that do not end; returns their beams (A, K)."""
    num_beams = search.finished_scores.shape[1]
    running = found.logps.masked_fill(found.ends, -torch.inf)  # (A, J)
    search.logps, best = running.topk(num_beams, dim=1)  # (A, K): at most K of 2 K can end
    beams = found.beams.gather(1, best)  # (A, K)
    search.tokens = gather_rows(search.tokens, beams)  # (A, K, T)
    search.tokens[:, :, length] = found.tokens.gather(1, best)  # (A, K)
    return beams


def is_done(search: Hypotheses, best_any: Tensor, length: int, config: DecodingConfig) -> Tensor:
    """(A,) whether no running beam can still enter the K finished hypotheses, by the rule."""
    best = best_any if config.rule == "transformers4" else search.logps[:, 0]
    attainable = best / float(length) ** config.length_penalty
    done: Tensor = search.finished_scores[:, -1] >= attainable
    return done


def close(search: Hypotheses, undone: Tensor, config: DecodingConfig) -> None:
    """At the limit, running beams become hypotheses of images ``undone`` (A,)."""
    length = config.max_tokens if config.rule == "transformers4" else config.max_tokens - 1
    scores = search.logps / float(length) ** config.length_penalty  # (A, K)
    _merge(search, search.tokens, search.logps, scores.masked_fill(~undone[:, None], -torch.inf))


def gather_rows(values: Tensor, rows: Tensor) -> Tensor:
    """(A, K, T) rows of ``values`` (A, K', T) by index (A, K)."""
    index = rows[:, :, None].expand(-1, -1, values.shape[2])  # (A, K, T)
    return values.gather(1, index)  # (A, K, T)
