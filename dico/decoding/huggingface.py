"""Searches of Hugging Face captioners, by the searches of all captioners.

Log-probabilities are those of a pass over whole captions: the sums of a search word by word are
rounded otherwise, by much in bfloat16. Images whose prompts are equally long are searched
together, from what the prompt's one pass left.

B images, K candidates per image, T tokens.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch.nn import functional as F

from dico.decoding import sampling
from dico.decoding.beam import beam_search
from dico.decoding.config import Candidates, DecodingConfig
from dico.decoding.diverse import diverse_beam_search
from dico.models.huggingface import HuggingFaceCaptioner, Memory


@torch.no_grad()
def search(captioner: HuggingFaceCaptioner, memory: Memory, config: DecodingConfig) -> Candidates:
    """The K best captions found for each image, best first.

    Args:
        captioner: in eval mode.
        memory: of ``captioner.encode``, of B images.
        config: beams, groups, length, penalty, rule.

    Raises:
        ConfigError: the length is beyond the captioner's places.
    """

    def find(part: Any) -> Candidates:
        if config.num_groups > 1:
            return diverse_beam_search(captioner, part, config, _score)
        found = beam_search(captioner, part, config)
        return replace(found, logps=captioner.score_candidates(part, found.tokens))

    return _by_group(captioner, memory, find)


@torch.no_grad()
def greedy(captioner: HuggingFaceCaptioner, memory: Memory, config: DecodingConfig) -> Candidates:
    """One caption per image (K = 1), each token the likeliest; see `search`."""
    return _generate(captioner, memory, lambda part: sampling.greedy(captioner, part, config))


@torch.no_grad()
def sample(
    captioner: HuggingFaceCaptioner,
    memory: Memory,
    config: DecodingConfig,
    generator: torch.Generator,
    temperature: float = 1.0,
) -> Candidates:
    """``config.num_beams`` captions per image, drawn independently.

    Args:
        captioner: in eval mode.
        memory: of ``captioner.encode``, of B images.
        config: number of captions and length limit.
        generator: source of chance, on the device of ``memory``.
        temperature: divides the logits, above 0; below 1 sharpens.
    """
    return _generate(
        captioner,
        memory,
        lambda part: sampling.sample(captioner, part, config, generator, temperature),
    )


def _score(captioner: HuggingFaceCaptioner, memory: Any, tokens: torch.Tensor) -> torch.Tensor:
    return captioner.score_candidates(memory, tokens)


def _generate(
    captioner: HuggingFaceCaptioner, memory: Memory, find: Callable[[Any], Candidates]
) -> Candidates:
    def scored(part: Any) -> Candidates:
        found = find(part)
        logps = captioner.score_candidates(part, found.tokens)
        return replace(found, logps=logps, scores=logps.clone())

    return _by_group(captioner, memory, scored)


def _by_group(
    captioner: HuggingFaceCaptioner, memory: Memory, find: Callable[[Any], Candidates]
) -> Candidates:
    """What ``find`` finds in each group of images that go through the model together."""
    ready = captioner.read_prompts(memory)
    if isinstance(ready, torch.Tensor):
        return find(ready)
    found = [find(part) for part in ready.parts()]
    places = torch.tensor([place for group in ready.groups for place in group.places])
    order = places.argsort().to(ready.device)
    longest = max(part.tokens.shape[2] for part in found)
    tokens = [
        F.pad(part.tokens, (0, longest - part.tokens.shape[2]), value=captioner.pad_id)
        for part in found
    ]
    return Candidates(
        torch.cat(tokens)[order],  # (B, K, T) in the images' order
        *(torch.cat([getattr(part, name) for part in found])[order] for name in _OF_CAPTIONS),
    )


_OF_CAPTIONS = ("logps", "scores", "lengths")
