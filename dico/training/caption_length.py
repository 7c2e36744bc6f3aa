"""Captions that are longer than a captioner's positions: cut without an end, and counted.

A caption that is cut and given EOS would teach the captioner to end in the middle of a phrase.
"""

import logging
from collections.abc import Sequence

from torch import Tensor

from dico.policy import Policy

_BATCH = 10_000

logger = logging.getLogger(__name__)


def encode_without_false_ends(policy: Policy, captions: Sequence[str]) -> Tensor:
    """Ids (N, T) of captions; one that is cut has a word where its EOS would be."""
    longer = policy.tokenizer.encode_batch(captions, policy.max_tokens + 1)
    return longer[:, : policy.max_tokens].contiguous()


def num_cut(policy: Policy, captions: Sequence[str]) -> int:
    """How many captions have more ids than the captioner has positions, BOS and EOS included."""
    count = 0
    for start in range(0, len(captions), _BATCH):
        batch = captions[start : start + _BATCH]
        tokens = policy.tokenizer.encode_batch(batch, policy.max_tokens + 1)
        if tokens.shape[1] > policy.max_tokens:
            ends = tokens[:, policy.max_tokens] != policy.pad_id
            if not ends.any():  # PAD is EOS, so the word before it tells
                ends = tokens[:, policy.max_tokens - 1] != policy.pad_id
            count += int(ends.sum())
    return count


def warn_of_cut_captions(policy: Policy, captions: Sequence[str]) -> None:
    """Says how many captions are cut, where any is."""
    count = num_cut(policy, captions)
    if count:
        logger.warning(
            "%d of %d captions are longer than the captioner's %d tokens and are cut, without an "
            "end; use a preset with more positions (captioner.max_tokens), or shorten them",
            count,
            len(captions),
            policy.max_tokens - 2,
        )
