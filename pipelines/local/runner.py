"""Runs a compiled pipeline on this machine: no cluster, no container, each step a process.

The same YAML that is submitted to Kubeflow is run by kfp.local. What is wrong with the arguments is
said before kfp is imported and before anything is written.
"""

import contextlib
import dataclasses
import importlib.metadata
import importlib.util
import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import dico
from dico.errors import DicoError, TryAgainError, UsageError
from dico.process.exits import EXIT_CODES
from dico.process.progress import format_seconds
from dico.process.provenance import code_digest
from dico.process.run_name import RUN_VARIABLE
from dico.process.signals import on_sigterm
from dico.tracking.trackers import TRACK_VARIABLE
from dico_components.image import IMAGE
from dico_pipelines.local.containers import RUN_ARGUMENTS, Containers, find_engine, folders_of
from dico_pipelines.local.run_folder import RunFolder, new_name
from dico_pipelines.local.screen import WIDTH_OF_LOGS, Screen
from dico_pipelines.local.specification import Specification, parse_arguments, read_specification
from dico_pipelines.local.subprocesses import Step, environment, steps_as_processes
from dico_pipelines.presets import settle


class StepFailedError(DicoError):
    """A step of the run failed; ``exit_code`` is the step's own."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code if exit_code in EXIT_CODES else 70


def run(
    pipeline: Path,
    arguments: list[str],
    runs: Path,
    name: str = "",
    containers: bool = False,
    user: str = "",
) -> Path:
    """Runs ``pipeline`` and returns the run's folder.

    Args:
        pipeline: compiled YAML.
        arguments: ``key=value`` texts, one per parameter.
        runs: folder of all runs, of the cache, and of the store and registry unless named.
        name: name of the run's folder; from the time by default.
        containers: whether every step runs in its own container of the pipeline's image.
        user: user and group of the containers, by number; by default this process's.

    Raises:
        UsageError: a wrong argument, or no container engine; nothing has been written.
        DataError: the dataset is not there; nothing has been written.
        StepFailedError: a step failed; the folder holds what was made before.
    """
    specification = read_specification(pipeline)
    values = prepare(parse_arguments(specification, arguments), runs, containers)
    _require_kfp()
    how = None
    if containers:
        find_engine()
        how = Containers(str(values.get("image", IMAGE)), folders_of(values, runs))
        how = dataclasses.replace(how, user=user) if user else how
    folder = RunFolder.create(runs, name or new_name(specification.name))
    with on_sigterm(_stop):
        _run(specification, values, runs, folder, how)
    return folder.path


def prepare(values: dict[str, Any], runs: Path, containers: bool = False) -> dict[str, Any]:
    """Checks what can be checked at once, and makes local paths absolute.

    Paths reach the steps' cache keys, so one dataset must have one name. Plug-ins are looked for
    where the steps run: here, or in containers by their first step.
    """
    prepared = settle(values)
    if "preset" in prepared and not containers:
        from dico.presets.config import resolve
        from dico.presets.plugins import check_plugins

        check_plugins(resolve(prepared["preset"], prepared.get("overrides", "")))
    for key in ("dataset", "images", "inputs", "destination"):
        if prepared.get(key):
            prepared[key] = ",".join(map(_absolute, prepared[key].split(",")))
    if prepared.get("dataset"):
        from dico.data.formats import detect

        detect(prepared["dataset"], prepared.get("images", ""))
    for key in ("store", "registry"):
        if key in prepared:
            prepared[key] = _absolute(prepared[key] or str(runs / key))
    return prepared


def _absolute(place: str) -> str:
    """A local path made absolute; URIs stay, and so does a split before a path (train=a.json)."""
    split, separator, path = place.rpartition("=")
    if "://" in place or Path(place).exists():
        split, separator, path = "", "", place
    if "://" not in path:
        path = str(Path(path.strip()).expanduser().absolute())
    return f"{split}{separator}{path}"


class _Run:
    """Follows the steps: shows them, keeps their outputs."""

    def __init__(self, folder: RunFolder, screen: Screen) -> None:
        self.folder, self.screen = folder, screen
        self.steps: list[Step] = []

    def started(self, step: Step) -> Any:
        return self.screen.step(step.name)

    def progress(self, state: dict[str, Any]) -> None:
        self.screen.progress(state)

    def finished(self, step: Step) -> None:
        self.steps.append(step)
        self.folder.keep(step)
        self.screen.finished(step.name, step.status, step.seconds)

    def failure(self) -> Step | None:
        return next((step for step in self.steps if step.status == "failed"), None)


def _run(
    specification: Specification,
    values: dict[str, Any],
    runs: Path,
    folder: RunFolder,
    containers: Containers | None,
) -> None:
    from rich.console import Console

    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else WIDTH_OF_LOGS)
    component, num_steps = _load(specification.path)
    run = _Run(folder, Screen(console, num_steps))
    run.screen.note(f"{specification.name}: {num_steps} steps, into {folder.path}")
    summary: dict[str, Any] = {
        "pipeline": specification.name,
        "parameters": values,
        "code": {"version": dico.__version__, "digest": code_digest()},
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "status": "interrupted",
    }
    start = time.monotonic()
    try:
        _execute(component, values, runs, run, containers)
        summary["status"] = "failed" if run.failure() else "done"
    finally:
        summary["seconds"] = round(time.monotonic() - start, 3)
        folder.write_summary(summary, run.steps)
    failed = run.failure()
    if failed:
        raise StepFailedError(
            f"{failed.name}: {failed.reason()} (log: {failed.log})", failed.exit_code
        )
    _conclude(run, summary["seconds"])


def _load(path: Path) -> tuple[Any, int]:
    from kfp import components

    component = components.load_component_from_file(str(path))
    specification = component.pipeline_spec
    return component, _num_steps(specification.root, specification.components)


def _num_steps(part: Any, components: Any) -> int:
    """Steps below ``part``, those in exit handlers and conditions included."""
    inner = [components[task.component_ref.name] for task in part.dag.tasks.values()]
    return sum(_num_steps(one, components) if one.HasField("dag") else 1 for one in inner)


def _execute(
    component: Any, values: dict[str, Any], runs: Path, run: _Run, containers: Containers | None
) -> None:
    from kfp import local

    cache = (runs / ".cache").absolute()
    (cache / "outputs").mkdir(parents=True, exist_ok=True)
    variables = {RUN_VARIABLE: run.folder.path.name}
    if os.environ.get(TRACK_VARIABLE):
        variables[TRACK_VARIABLE] = os.environ[TRACK_VARIABLE]
    runner = local.SubprocessRunner(use_venv=False)
    if containers:
        runner = local.DockerRunner(environment=variables, **RUN_ARGUMENTS)
    with tempfile.TemporaryDirectory(prefix="dico-run-") as scratch:
        local.init(
            runner,
            pipeline_root=str(cache / "outputs"),
            raise_on_error=False,
            enable_caching=True,
            cache_root=str(cache / f"steps-{code_digest()[:16]}"),
        )
        with (
            steps_as_processes(run.folder.logs, Path(scratch), run, containers),
            environment(**variables),
            open(run.folder.logs / "kfp.log", "w") as log,
            contextlib.redirect_stdout(log),
        ):
            component(**values)


def _conclude(run: _Run, seconds: float) -> None:
    evaluation = run.folder.path / "evaluation"
    if evaluation.is_dir():
        from dico.report import read_metrics, tabulate

        run.screen.table(tabulate(read_metrics(evaluation)))
    outputs = {step.name: step.outputs for step in run.steps}
    registered = outputs.get("register_model")
    if registered:
        verdict = "promoted" if registered["promote"] == "true" else "not promoted"
        run.screen.note(f"  {verdict}: {registered['reasons']}")
    if outputs.get("validate_dataset", {}).get("new") == "false":
        run.screen.note(
            "  nothing new: the champion was made from this dataset; nothing was trained"
        )
    if "caption_batch" in outputs:
        counts = outputs["caption_batch"]
        run.screen.note(f"  {counts['num_captions']} captions, {counts['num_failed']} unreadable")
    if registered:
        model = outputs["preflight"]["model_name"]
        run.screen.note(f"  registered: {model}, version {registered['version']}")
    run.screen.note(f"  finished in {format_seconds(seconds)}")
    report = run.folder.path / "report.html"
    if report.is_file():
        run.screen.note(f"  report: {report}")


def _require_kfp() -> None:
    if importlib.util.find_spec("kfp") is None:
        raise UsageError(
            "running pipelines needs kfp; install it: pip install 'dico-captioner[pipelines]'"
        )
    version = importlib.metadata.version("kfp")
    if tuple(map(int, version.split(".")[:2])) != (2, 17):
        raise UsageError(
            f"kfp {version}: pipelines need 2.17; pip install 'dico-captioner[pipelines]'"
        )


def _stop() -> NoReturn:
    """Ends the step at work in order, as an interrupt from the keyboard does."""
    raise TryAgainError("stopped by SIGTERM; the same command continues the work")
