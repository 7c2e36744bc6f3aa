"""Trackers by name: what the environment variable ``DICO_TRACK`` asks for.

``DICO_TRACK="tensorboard:runs/tensorboard mlflow:sqlite:///runs/mlflow.db wandb:captions"``; what
follows the first colon is the folder, the tracking URI or the project. Other installed packages add
names under the entry-point group ``dico.callbacks``: functions from that text to a `Callback`.
"""

import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from dico.errors import ConfigError, UsageError
from dico.plugins import CALLBACKS
from dico.process.extras import advice
from dico.process.run_name import current_run
from dico.tracking.callback import Callback, Stage
from dico.tracking.listening import listening

TRACK_VARIABLE = "DICO_TRACK"


def check_trackers(text: str) -> None:
    """Checks the names in ``text``, and that what they need is installed.

    Raises:
        UsageError: an unknown name, or a package is missing.
    """
    for name, _ in _parts(text):
        try:
            CALLBACKS.check(name)
        except ConfigError as error:
            raise UsageError(f"{TRACK_VARIABLE}: {error}") from None
        if name in CALLBACKS.built_in and importlib.util.find_spec(name) is None:
            raise UsageError(f"{TRACK_VARIABLE}: {advice(name)}")


@contextmanager
def tracked(stage: str, settings: Mapping[str, Any], main: bool = True) -> Iterator[None]:
    """Tells the trackers that the environment asks for of the training inside the block.

    Args:
        stage: name of the step.
        settings: what it was started with; nested settings get dotted names.
        main: whether this process speaks for all ranks.
    """
    text = os.environ.get(TRACK_VARIABLE, "") if main else ""
    check_trackers(text)
    callbacks = [_made(name, where) for name, where in _parts(text)]
    with listening(Stage(stage, current_run(), dict(_flat(settings))), callbacks):
        yield


def _made(name: str, where: str) -> Callback:
    if name == "tensorboard":
        from dico.tracking.tensorboard_tracker import TensorBoardTracker

        return TensorBoardTracker(where or "runs/tensorboard")
    if name == "mlflow":
        from dico.tracking.mlflow_tracker import MlflowTracker

        return MlflowTracker(where)
    if name == "wandb":
        from dico.tracking.wandb_tracker import WandbTracker

        return WandbTracker(where)
    factory: Callable[[str], Callback] = CALLBACKS.load(name)
    return factory(where)


def _parts(text: str) -> Iterator[tuple[str, str]]:
    for part in text.split():
        name, _, where = part.partition(":")
        yield name, where


def _flat(settings: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value
