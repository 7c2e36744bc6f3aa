"""MLflow tracking: a run for the pipeline's run, and in it a nested run for each stage."""

from collections.abc import Mapping, Sequence
from typing import Any

from dico.tracking.callback import Callback, Sample, Stage
from dico.tracking.thumbnail import thumbnail

EXPERIMENT = "dico"
_RUN_TAG, _STAGE_TAG = "dico.run", "dico.stage"
_MOST_PARAMETER_CHARS, _MOST_TAG_CHARS = 500, 5000


class MlflowTracker(Callback):
    """Logs by `mlflow.MlflowClient`, so that no global run of the process is touched."""

    def __init__(self, uri: str) -> None:
        """Logs to the tracking server at ``uri``, or to MLFLOW_TRACKING_URI where it is empty."""
        self._uri = uri or None

    def started(self, stage: Stage) -> int:
        """Finds or makes the runs of the pipeline and of the stage."""
        from mlflow import MlflowClient

        self._client = MlflowClient(tracking_uri=self._uri)
        found = self._client.get_experiment_by_name(EXPERIMENT)
        experiment = found.experiment_id if found else self._client.create_experiment(EXPERIMENT)
        parent = self._find(experiment, stage.run, "") if stage.run else ""
        self._run = self._find(experiment, stage.run, stage.name, parent)
        known = self._client.get_run(self._run).data
        for name, value in stage.settings.items():
            if name not in known.params:
                self._client.log_param(self._run, name, str(value)[:_MOST_PARAMETER_CHARS])
        steps = [
            metric.step
            for name in known.metrics
            for metric in self._client.get_metric_history(self._run, name)
        ]
        return max(steps, default=-1)

    def values(self, step: int, values: Mapping[str, float]) -> None:
        """One request for all values of the step."""
        import time

        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, step) for name, value in values.items()]
        self._client.log_batch(self._run, metrics=metrics)

    def captions(self, step: int, samples: Sequence[Sample]) -> None:
        """A text file a step, and the images once."""
        lines = [
            f"{number}: {sample.caption}\n" + "".join(f"   {text}\n" for text in sample.references)
            for number, sample in enumerate(samples)
        ]
        self._client.log_text(self._run, "\n".join(lines), f"captions/step-{step:07d}.txt")
        known = {file.path for file in self._client.list_artifacts(self._run, "images")}
        for number, sample in enumerate(samples):
            if (path := f"images/{number}.png") not in known:
                self._client.log_image(self._run, thumbnail(sample.image), path)

    def event(self, step: int, sentence: str) -> None:
        """A tag of the run."""
        self._client.set_tag(self._run, f"dico.event.{step}", sentence[:_MOST_TAG_CHARS])

    def ended(self) -> None:
        """Marks the stage's run as finished."""
        self._client.set_terminated(self._run)

    def _find(self, experiment: str, run: str, stage: str, parent: str = "") -> str:
        """The id of the run with these tags; a new one where there is none.

        Two stages that start at once may both make the pipeline's run: the older one is taken.
        """
        tags: dict[str, Any] = {_RUN_TAG: run, _STAGE_TAG: stage}
        if run and (known := self._oldest(experiment, tags)):
            return known
        nested = {"mlflow.parentRunId": parent} if parent else {}
        made = self._client.create_run(experiment, tags=tags | nested, run_name=stage or run)
        own = str(made.info.run_id)
        oldest = self._oldest(experiment, tags) if run else own
        if oldest != own:
            self._client.delete_run(own)
        return oldest

    def _oldest(self, experiment: str, tags: Mapping[str, str]) -> str:
        """The id of the oldest run with these tags; empty where there is none."""
        wanted = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
        order = ["attributes.start_time ASC"]
        found = self._client.search_runs([experiment], wanted, max_results=1, order_by=order)
        return str(found[0].info.run_id) if found else ""
