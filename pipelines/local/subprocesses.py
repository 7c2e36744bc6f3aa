"""kfp.local as we need it: each step a process whose log, progress, exit code and memory are known.

Works around kfp 2.17: the text ``python3`` is replaced inside parameters, a step's exit code is
lost, its output goes to the screen, the order of steps changes from run to run, and nobody is told
when a step starts, ends or is cached.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from dico.process.exits import ERROR_PREFIX
from dico.process.limits import thread_variables
from dico.process.progress import PROGRESS_FILE_VARIABLE
from dico_pipelines.local.containers import Containers

POLL_SECONDS = 0.1
SECONDS_TO_STOP = 15.0


@dataclass
class Step:
    """One step of a run, as it went."""

    name: str
    component: str
    log: Path
    status: str = "running"
    seconds: float = 0.0
    exit_code: int = 0
    peak_memory_mb: float = 0.0
    outputs: dict[str, Any] = field(default_factory=dict)

    def reason(self) -> str:
        """Why the step failed: its error line, else its signal, else the last line of its log."""
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines()]
        errors = [
            line.removeprefix(ERROR_PREFIX) for line in lines if line.startswith(ERROR_PREFIX)
        ]
        if errors:
            return errors[-1]
        # A shell reports a child that a signal ended as 128 + the signal's number.
        number = -self.exit_code if self.exit_code < 0 else self.exit_code - 128
        if number in set(signal.Signals):
            name = signal.Signals(number).name
            return f"ended by {name}" + ("; probably out of memory" if name == "SIGKILL" else "")
        spoken = [line for line in lines if line]
        return spoken[-1] if spoken else f"exit code {self.exit_code}"


class Watcher(Protocol):
    """Is told how the run goes."""

    def started(self, step: Step) -> Any:
        """A step begins; the returned context lasts as long as the step."""

    def progress(self, state: dict[str, Any]) -> None:
        """The step at work got further."""

    def finished(self, step: Step) -> None:
        """A step ended: done, cached or failed."""


@contextmanager
def steps_as_processes(
    logs: Path, scratch: Path, watcher: Watcher, containers: Containers | None = None
) -> Iterator[None]:
    """Makes kfp.local run its steps as described above while the block runs.

    Args:
        logs: folder of the steps' logs.
        scratch: folder for temporary files.
        watcher: is told how the run goes.
        containers: how the container of a step is made, where kfp.local runs them in containers.
    """
    from kfp.local import graph_utils, subprocess_task_handler
    from kfp.local.orchestrator import task_executor

    execute = task_executor.execute_single_task
    supervisor = _Supervisor(logs, scratch, watcher, execute, containers)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    with contextlib.ExitStack() as stack:
        stack.enter_context(_changed(task_executor, "execute_single_task", supervisor.execute))
        stack.enter_context(
            _changed(subprocess_task_handler, "run_local_subprocess", supervisor.run_process)
        )
        stack.enter_context(
            _changed(subprocess_task_handler, "replace_python_executable", lambda cmd, _: cmd)
        )
        if containers is not None:
            from kfp.local import docker_task_handler

            stack.enter_context(
                _changed(docker_task_handler, "run_docker_container", supervisor.run_container)
            )
        stack.enter_context(_changed(graph_utils, "topological_sort_tasks", _stack_of_tasks))
        stack.enter_context(environment(PATH=path, TMPDIR=str(scratch)))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        yield


class _Supervisor:
    def __init__(
        self,
        logs: Path,
        scratch: Path,
        watcher: Watcher,
        execute: Callable[..., Any],
        containers: Containers | None,
    ) -> None:
        self._logs, self._scratch, self._watcher = logs, scratch, watcher
        self._execute = execute
        self._containers = containers
        self._step: Step | None = None

    def execute(self, **arguments: Any) -> Any:
        """Stands in for kfp's ``execute_single_task``."""
        task = _without_retries(arguments["task_spec"])
        name = task.task_info.name or arguments["task_name"]
        component = task.component_ref.name.removeprefix("comp-")
        step = Step(name.replace("-", "_"), component, self._logs / f"{name}.log", "cached")
        self._step = step
        start = time.monotonic()
        with self._watcher.started(step):
            outputs, status = self._execute(**arguments | {"task_spec": task})
        step.seconds = time.monotonic() - start
        step.outputs = outputs
        if status.name != "SUCCESS":
            step.status = "failed"
        self._watcher.finished(step)
        return outputs, status

    def run_process(self, full_command: list[str], env_vars: dict[str, str] | None = None) -> int:
        """Stands in for kfp's ``run_local_subprocess``; a step that never gets here is cached."""
        step = self._step
        assert step is not None
        step.status = "done"
        state_file = self._scratch / "progress.json"
        state_file.unlink(missing_ok=True)
        environment = {
            **thread_variables(),
            **os.environ,
            **(env_vars or {}),
            PROGRESS_FILE_VARIABLE: str(state_file),
            "PYTHONUNBUFFERED": "1",
        }
        with open(step.log, "ab") as log:
            # A session of its own: the shell that kfp starts and the step in it end together.
            process = subprocess.Popen(
                full_command,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
            try:
                usage = self._wait(process, state_file)
            except BaseException:
                _stop(process)
                raise
        step.exit_code = process.returncode
        step.peak_memory_mb = usage.ru_maxrss / 1024
        return step.exit_code

    def run_container(
        self, client: Any, image: str, command: list[str], volumes: dict[str, Any], **arguments: Any
    ) -> int:
        """Stands in for kfp's ``run_docker_container``; the run's image stands for ``image``."""
        step, containers = self._step, self._containers
        assert step is not None
        assert containers is not None, image
        step.status = "done"
        variables = {**arguments.pop("environment", {}), "PYTHONUNBUFFERED": "1"}
        with open(step.log, "ab") as log:
            step.exit_code = containers.run(client, command, volumes, log, variables, arguments)
        return step.exit_code

    def _wait(self, process: subprocess.Popen[bytes], state_file: Path) -> Any:
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                process.returncode = os.waitstatus_to_exitcode(status)
                return usage
            with contextlib.suppress(OSError, ValueError):
                self._watcher.progress(json.loads(state_file.read_text()))
            time.sleep(POLL_SECONDS)


def _without_retries(task: Any) -> Any:
    """A task that kfp tries once: what is worth another try, a step tries again by itself.

    To be done at each task: kfp reads a pipeline's file anew whenever its tasks are asked for.
    """
    once = type(task)()
    once.CopyFrom(task)
    once.ClearField("retry_policy")
    return once


def _stack_of_tasks(tasks: Any) -> list[str]:
    """Task names so that popping them from the end keeps dependencies: by depth, then by name."""
    depths: dict[str, int] = {}

    def depth(name: str) -> int:
        if name not in depths:
            upstream = [task for task in tasks[name].dependent_tasks if task in tasks]
            depths[name] = 1 + max(map(depth, upstream), default=0)
        return depths[name]

    return sorted(tasks, key=lambda name: (depth(name), name), reverse=True)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Asks the step to end, gives it time to save its work, and insists when it does not."""
    deadline = time.monotonic() + SECONDS_TO_STOP
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        while time.monotonic() < deadline:
            process.poll()
            os.killpg(process.pid, 0)
            time.sleep(POLL_SECONDS)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def _changed(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Sets variables of the environment while the block runs."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
