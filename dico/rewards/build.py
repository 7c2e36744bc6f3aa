"""Rewards by name, sums of them, and rewards of other packages."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dico.errors import ConfigError
from dico.models.evaluator import Evaluator, Weights
from dico.models.folds import Folds
from dico.models.generative import GenerativeEvaluator
from dico.models.tokenizer import Tokenizer
from dico.plugins import REWARDS
from dico.rewards.cider import CiderReward
from dico.rewards.clip import ClipReward, Form, RefClipReward
from dico.rewards.generative import GenerativeReward
from dico.rewards.names import parse_reward
from dico.rewards.protocol import Reward, RewardBatch
from dico.rewards.self_retrieval import SelfRetrievalReward


def _no_generative() -> GenerativeEvaluator:
    raise ConfigError("reward: 'generative' asks for a generative evaluator, and none is given")


def _no_folds() -> Folds:
    raise ConfigError("reward: 'self-retrieval' asks for an evaluator's folds, and none are given")


@dataclass(frozen=True)
class RewardContext:
    """What a reward may be made from."""

    evaluator: Callable[[Weights], Evaluator]
    """Embeds captions, by its weights ``pac`` or ``clip``; loaded when first asked for."""
    tokenizer: Tokenizer
    """Of the ids that rewards are given: the evaluator's."""
    corpus: Sequence[Sequence[str]] = ()
    """References of all training images, for rarity of words."""
    generative: Callable[[], GenerativeEvaluator] = _no_generative
    """The generative evaluator beside the evaluator; loaded when asked for."""
    folds: Callable[[], Folds] = _no_folds
    """The evaluator's maps that have not seen an image; loaded when asked for."""


Factory = Callable[[RewardContext], Reward]


def _by_cosine(reward: type[ClipReward], weights: Weights, form: Form = "reward") -> Factory:
    return lambda context: reward(context.evaluator(weights), weights, form)


_BUILT_IN: dict[str, Factory] = {
    "pac": _by_cosine(ClipReward, "pac"),
    "pac-published": _by_cosine(ClipReward, "pac", "published"),
    "ref-pac": _by_cosine(RefClipReward, "pac"),
    "ref-pac-published": _by_cosine(RefClipReward, "pac", "published"),
    "clip": _by_cosine(ClipReward, "clip"),
    "clip-published": _by_cosine(ClipReward, "clip", "published"),
    "ref-clip": _by_cosine(RefClipReward, "clip"),
    "ref-clip-published": _by_cosine(RefClipReward, "clip", "published"),
    "cider-d": lambda context: CiderReward(context.corpus, context.tokenizer),
    "generative": lambda context: GenerativeReward(context.generative()),
    "self-retrieval": lambda context: SelfRetrievalReward(
        context.evaluator("pac"), context.folds()
    ),
}


class WeightedReward:
    """A sum of rewards, each with its weight."""

    def __init__(self, terms: Sequence[tuple[float, Reward]]) -> None:
        self.terms = tuple(terms)

    def __call__(self, batch: RewardBatch) -> Tensor:
        """Scores (B, K), float32; see `Reward`."""
        # (terms, B, K) -> (B, K)
        return torch.stack([weight * reward(batch) for weight, reward in self.terms]).sum(dim=0)


def build_reward(expression: str, context: RewardContext) -> Reward:
    """The reward of a name, or a sum such as ``0.7*pac + 0.3*cider-d``.

    Names are those of `dico.plugins.REWARDS`, where ``-published`` has the prompt and is at
    least 0, and those that installed packages offer under the entry-point group ``dico.rewards``:
    functions from a `RewardContext` to a `Reward`. PAC-S++ is ``pac`` on an evaluator with its
    weights. Weights that no named reward asks for are not loaded. Such a function, for a plain
    cosine::

        def cosine(context):
            embed = context.evaluator("clip").embed_candidates

            def reward(batch):
                images = batch.image_embeddings("clip")
                return torch.einsum("bke,be->bk", embed(batch.tokens), images)

            return reward

    Raises:
        ConfigError: an unknown name or not such a sum.
    """
    terms = [(weight, _factory(name)(context)) for weight, name in parse_reward(expression)]
    if len(terms) == 1 and terms[0][0] == 1.0:  # to the bit the reward itself
        return terms[0][1]
    return WeightedReward(terms)


def _factory(name: str) -> Factory:
    factory: Factory = _BUILT_IN[name] if name in _BUILT_IN else REWARDS.load(name)
    return factory
