"""Files of an evaluator's folder that a reward asks for, checked by their names alone."""

from collections.abc import Callable
from typing import NamedTuple

from dico.errors import ConfigError
from dico.rewards.names import parse_reward


class Need(NamedTuple):
    """What a reward asks of an evaluator."""

    file: str
    """In the evaluator's folder."""
    what: str
    """What the file is."""
    setting: str
    """Trains a new evaluator that has it."""


NEEDS = {
    "generative": Need(
        "generative/generative.json",
        "a generative one beside it, and release 0.1.0 trained none",
        "evaluator.caption_weight above 0",
    ),
    "self-retrieval": Need("folds.safetensors", "folds", "evaluator.reward_folds=4"),
}


def check_evaluator(reward: str, has: Callable[[str], bool]) -> None:
    """Checks that an evaluator's folder has what each term of ``reward`` asks for.

    Args:
        reward: as `dico.rewards.build_reward` takes it.
        has: whether the folder holds a file.

    Raises:
        ConfigError: it lacks one.
    """
    for _, name in parse_reward(reward):
        need = NEEDS.get(name)
        if need and not has(need.file):
            raise ConfigError(
                f"finetune.reward: {name!r} needs an evaluator that has {need.what}: train a new "
                f"evaluator with {need.setting} (not by a retraining, which keeps the champion's), "
                "or set finetune.reward=pac"
            )
