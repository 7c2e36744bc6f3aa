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

from typing import Any

import torch
from torch import Tensor

from dico.decoding.config import Candidates, DecodingConfig, ends_now
from dico.decoding.hypotheses import Continuations, advance, close, finish, is_done, start
from dico.decoding.searched import Searched
from dico.models.packed import LMHead


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
    search = start(captioner, memory, config)
    result = start(captioner, memory, config).finished()  # of all B images, filled as they are done
    cache = captioner.begin_search(memory, num_beams, limit)
    fed = search.tokens[:, 0, 0]  # (B,) BOS: one row per image before the first step
    for length in range(1, limit):
        hidden = cache.step(fed)
        found = _continuations(captioner, cache.head, hidden, search.logps, config, length)
        num_rows = search.logps.shape[1]
        finish(search, found, length, config)
        beams = advance(search, found, length)
        done = is_done(search, found.logps[:, 0], length, config)
        if length + 1 == limit:
            close(search, ~done, config)
            done = torch.ones_like(done)
        # The cache counts rows over all images: (A, K).
        rows = beams + num_rows * torch.arange(len(beams), device=beams.device)[:, None]
        if bool(done.any()):
            for into, value in zip(result, search.finished(), strict=True):
                into[search.images[done]] = value[done]
            if bool(done.all()):
                break
            # Images that are done leave the batch; those at its end take their places.
            alive = _closed_up(~done)
            search.keep(alive)
            cache.select(rows[alive], alive)
        else:
            cache.select(rows)
        fed = search.tokens[:, :, length].flatten()  # (A, K) -> (A * K,)
    tokens, logps, scores = result
    lengths = (tokens != captioner.pad_id).sum(dim=-1)  # (B, K)
    return Candidates(tokens[:, :, : int(lengths.max())], logps, scores, lengths)


def _continuations(
    captioner: Searched,
    head: LMHead,
    hidden: Tensor,
    running: Tensor,
    config: DecodingConfig,
    length: int,
) -> Continuations:
    """What may follow beams of log-probability ``running`` (A, K) and states ``hidden`` (A * K, D)."""
    if ends_now(config, length):
        logps, beams, tokens = _endings(head, hidden, running, captioner.eos_id)
    else:
        excluded = captioner.excluded_ids
        logps, beams, tokens = _best(head, hidden, running, 2 * config.num_beams, excluded)
    return Continuations(logps, beams, tokens, captioner.ends(tokens))


def _best(
    head: LMHead, hidden: Tensor, running: Tensor, count: int, excluded: list[int]
) -> tuple[Tensor, Tensor, Tensor]:
    """The ``count`` = 2 K best next tokens of each image: logp, beam and token (A, 2 K).

    An image's best 2 K are among the best 2 K of each of its beams, so no more are looked through.
    """
    num_images = len(running)
    gains, tokens = head.best(hidden, count, excluded)  # (A * K, 2 K)
    merged = (gains + running.flatten()[:, None]).view(num_images, -1)  # (A, K * 2 K)
    logps, places = merged.topk(count, dim=1)  # (A, 2 K)
    return logps, places // count, tokens.view(num_images, -1).gather(1, places)


def _endings(
    head: LMHead, hidden: Tensor, running: Tensor, eos_id: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Every beam continued by EOS: logp, beam and token (A, K)."""
    gains = head.logps_of(hidden, eos_id).view(running.shape)  # (A * K,) -> (A, K)
    logps, beams = (running + gains).sort(dim=1, descending=True, stable=True)
    return logps, beams, torch.full_like(beams, eos_id)


def _closed_up(going: Tensor) -> Tensor:
    """Places of the images that go on, those at the end in the gaps: the others need not move."""
    places = going.nonzero()[:, 0]  # (A',) of the (A,)
    chosen = torch.arange(len(places), device=going.device)
    chosen[~going[: len(places)]] = places[places >= len(places)]
    return chosen
