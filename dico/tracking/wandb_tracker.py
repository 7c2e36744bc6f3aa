"""Weights & Biases: a run a stage, in one group for the pipeline's run. WANDB_MODE=offline works."""

import hashlib
from collections.abc import Mapping, Sequence

from dico.tracking.callback import Callback, Sample, Stage
from dico.tracking.thumbnail import thumbnail

PROJECT = "dico"


class WandbTracker(Callback):
    """Logs by `wandb`; address and key are wandb's own, WANDB_BASE_URL and WANDB_API_KEY."""

    def __init__(self, project: str) -> None:
        """Logs to ``project``, or to WANDB_PROJECT or `PROJECT` where it is empty."""
        self._project = project

    def started(self, stage: Stage) -> int:
        """Starts the stage's run, or goes on with it where it was started before."""
        import os

        import wandb

        self._wandb = wandb
        identity = hashlib.sha256(f"{stage.run}/{stage.name}".encode()).hexdigest()[:16]
        self._run = wandb.init(
            project=self._project or os.environ.get("WANDB_PROJECT") or PROJECT,
            group=stage.run or None,
            job_type=stage.name,
            name=f"{stage.run}/{stage.name}" if stage.run else stage.name,
            id=identity if stage.run else None,
            resume="allow" if stage.run else None,
            config=dict(stage.settings),
            settings=wandb.Settings(console="off", silent=True, disable_git=True),
        )
        return int(self._run.step) - 1 if self._run.step else -1

    def values(self, step: int, values: Mapping[str, float]) -> None:
        """One row of history."""
        self._run.log(dict(values), step=step)

    def captions(self, step: int, samples: Sequence[Sample]) -> None:
        """Images with their captions below."""
        images = [
            self._wandb.Image(thumbnail(sample.image), caption=sample.caption) for sample in samples
        ]
        self._run.log({"captions": images}, step=step)

    def event(self, step: int, sentence: str) -> None:
        """An alert where the server sends them; a line of the summary everywhere."""
        self._run.summary[f"event.{step}"] = sentence

    def ended(self) -> None:
        """Writes what is left, and waits until it is on the disk or the server.

        `finish` alone may come back before wandb's own process has written an offline run; a pod that
        ends then would lose it.
        """
        self._run.finish()
        if self._wandb.run is None:  # no run of the user's own in this process
            self._wandb.teardown()
