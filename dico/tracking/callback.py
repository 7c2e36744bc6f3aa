"""The callback's interface: what a training loop tells whoever listens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Stage:
    """One step of a pipeline, or one training from Python."""

    name: str
    """Name of the step, such as ``finetune_captioner``."""
    run: str = ""
    """Name of the pipeline run that it is a part of; empty where it is none."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What it was started with, by dotted name."""


@dataclass(frozen=True)
class Sample:
    """A validation image and what the captioner says now."""

    image: str
    """Where the image is, a path or URI."""
    caption: str
    """The captioner's caption."""
    references: Sequence[str] = ()
    """Human captions."""


class Callback:
    """Hears of a stage's start, values, captions and end; override what is of interest.

    It is called in the process and between two steps of the loop, by the main rank alone. An
    exception ends its calls, not the training.
    """

    def started(self, stage: Stage) -> int:
        """The stage starts; returns the last step that is recorded already, -1 for none.

        A stage that goes on from a checkpoint is told again of no step up to that one.
        """
        del stage
        return -1

    def values(self, step: int, values: Mapping[str, float]) -> None:
        """Values of a step, such as ``loss`` and, after a validation, ``validation_cider``."""

    def captions(self, step: int, samples: Sequence[Sample]) -> None:
        """Captions of a few validation images at ``step``."""

    def event(self, step: int, sentence: str) -> None:
        """Something happened that a reader must know, such as a return to a checkpoint."""

    def ended(self) -> None:
        """The stage is over, or was stopped."""
