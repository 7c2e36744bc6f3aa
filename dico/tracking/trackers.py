"""Trackers by name: what the environment variable ``DICO_TRACK`` asks for.

``DICO_TRACK="tensorboard:runs/tensorboard mlflow:sqlite:///runs/mlflow.db wandb:captions"``; what
follows the first colon is the folder, the tracking URI or the project. Other installed packages add
names under the entry-point group ``dico.callbacks``: functions from that text to a `Callback`.
"""

import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from dico.errors import UsageError
from dico.process.extras import advice
from dico.process.run_name import current_run
from dico.tracking.callback import Callback, Stage
from dico.tracking.listening import listening

TRACK_VARIABLE = "DICO_TRACK"
ENTRY_POINTS = "dico.callbacks"
_PACKAGES = {"tensorboard": "tensorboard", "mlflow": "mlflow", "wandb": "wandb"}
"""The names that are built in, with the package that each needs."""


def check_trackers(text: str) -> None:
    """Checks the names in ``text``, and that what they need is installed.

    Raises:
        UsageError: an unknown name, or a package is missing.
    """
    for name, _ in _parts(text):
        if name in _PACKAGES and importlib.util.find_spec(_PACKAGES[name]) is None:
            raise UsageError(f"{TRACK_VARIABLE}: {advice(_PACKAGES[name])}")
        if name not in _PACKAGES and name not in _offered():
            known = ", ".join([*_PACKAGES, *sorted(_offered())])
            raise UsageError(f"{TRACK_VARIABLE}: unknown tracker {name!r}; known are {known}")


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
    factory: Callable[[str], Callback] = _offered()[name].load()
    return factory(where)


def _parts(text: str) -> Iterator[tuple[str, str]]:
    for part in text.split():
        name, _, where = part.partition(":")
        yield name, where


def _offered() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINTS)}


def _flat(settings: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value
