"""A step on several nodes: its TrainJob is created, followed, cancelled, and found again.

The name of the TrainJob comes from the work itself, so a step that is started again finds the one
that its predecessor left: at work, it is followed; done, its output is taken; failed, it is
replaced and goes on from the checkpoints.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

from dico.errors import DicoError, TryAgainError
from dico.launching.nodes import Handover, hand_over
from dico.process.signals import on_sigterm
from dico_pipelines.trainjob.following import Follower
from dico_pipelines.trainjob.kubernetes import Cluster, connect
from dico_pipelines.trainjob.trainjob import Call, train_job

POLL_SECONDS = 5.0
SECONDS_TO_GO = 120.0
"""How long a TrainJob that was deleted may take to be gone."""


def run_nodes(
    step: str,
    arguments: Mapping[str, Any],
    num_processes: int,
    num_nodes: int,
    pod: Mapping[str, Any],
    pause: float = POLL_SECONDS,
    cluster: Cluster | None = None,
) -> None:
    """Calls a step on several nodes and brings its output here.

    Args:
        step: name of the step.
        arguments: its arguments; ``store`` must be reached by all nodes.
        num_processes: processes of each node.
        num_nodes: nodes.
        pod: what each node's pod gets beyond what this pod has.
        pause: seconds between two looks at the TrainJob.
        cluster: where to train; the cluster that this pod is in by default.

    Raises:
        UsageError: not in a pod, no Kubeflow Trainer, or a TrainJob that it refuses.
        AccessError: this pod's account may not create TrainJobs.
        TryAgainError: cancelled, or Kubernetes does not answer.
        DicoError: a node failed; message and exit code are those of the first that did.
    """
    cluster = cluster or connect()
    handover = hand_over(step, arguments)
    if not handover.is_done():
        name = f"dico-{step.replace('_', '-')}-{handover.key.rpartition('-')[2]}"
        call = Call(name, handover.store_uri, handover.key, num_nodes, num_processes)
        _train(cluster, call, handover, pod, pause)
    handover.take_output()


def _train(
    cluster: Cluster, call: Call, handover: Handover, pod: Mapping[str, Any], pause: float
) -> None:
    wanted = train_job(call, cluster.own_pod(), pod)
    with _cancelling(lambda: cluster.delete(call.name)):
        found = cluster.get(call.name)
        if found is not None and _ended(found) and not handover.is_done():
            print(f"TrainJob {call.name}: ended earlier; replaced, it resumes", flush=True)
            _remove(cluster, call.name, pause)
            found = None
        if found is None:
            handover.forget_failure()
            found = cluster.create(wanted)
            print(f"TrainJob {call.name}: created, {call.num_nodes} nodes", flush=True)
        else:
            print(f"TrainJob {call.name}: already running; following it", flush=True)
        outcome = Follower(cluster, call.name, pause).follow()
    if outcome.failed or not handover.is_done():
        raise handover.failure() or DicoError(
            f"TrainJob {call.name}: {outcome.reason or 'ended without an output'}; look at it by: "
            f"kubectl describe trainjob -n {cluster.namespace} {call.name}"
        )
    cluster.delete(call.name)


def _ended(job: Mapping[str, Any]) -> bool:
    conditions = job.get("status", {}).get("conditions", [])
    return any(c["type"] in ("Complete", "Failed") and c["status"] == "True" for c in conditions)


def _remove(cluster: Cluster, name: str, pause: float) -> None:
    cluster.delete(name)
    deadline = time.monotonic() + SECONDS_TO_GO
    while cluster.get(name) is not None:
        if time.monotonic() > deadline:
            raise TryAgainError(f"TrainJob {name}: still being deleted after {SECONDS_TO_GO:.0f} s")
        time.sleep(min(pause, 1.0))


@contextmanager
def _cancelling(cancel: Callable[[], None]) -> Iterator[None]:
    """Cancels the TrainJob when this step is cancelled: by SIGTERM or from the keyboard.

    The pod that gets the signal has about a second to live, so the TrainJob is deleted first and
    words come after.
    """
    with on_sigterm(_interrupt):
        try:
            yield
        except KeyboardInterrupt:
            cancel()
            raise TryAgainError(
                "cancelled, with its TrainJob; the same command resumes from the checkpoints"
            ) from None


def _interrupt() -> NoReturn:
    raise KeyboardInterrupt
