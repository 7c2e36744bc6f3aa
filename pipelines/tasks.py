"""Resources and mounts of a cluster's pods; no effect on a laptop.

Resources come from the preflight step's outputs and not from the pipeline's parameters: Kubeflow
reads a limit from text only, and a number given on a command line would quietly be no limit at all.
No task has a retry policy: a step tries again by itself (see `dico.process.retry`), and a policy
would only make the cluster repeat mistakes.
"""

from dataclasses import dataclass
from typing import Any

from kfp import dsl, kubernetes

from dico_pipelines.call_stacks import skip_source
from dico_pipelines.variables import (
    CPU_REQUEST,
    MEMORY_REQUEST,
    NODE_VARIABLE,
    RUN_VARIABLE,
    SECRET_KEYS,
    WORK,
    WORK_VARIABLE,
)

skip_source()

USER = 65532
HOUR = 3600
DAY, WEEK = 24, 7 * 24


@dataclass(frozen=True)
class Pods:
    """The pods of one run. Its fields are parameters of the pipeline."""

    image: Any
    """Image of every step."""

    secret: Any
    """Name of the Secret with the credentials."""

    volume: Any
    """Name of the claim on the work volume."""

    def light(self, task: dsl.PipelineTask, cached: bool = True) -> dsl.PipelineTask:
        """A step that decides or records; cached only where its inputs tell everything."""
        task.set_cpu_limit("1").set_memory_limit("4Gi")
        return self._pod(task, cached, hours=1)

    def _pod(self, task: dsl.PipelineTask, cached: bool, hours: int) -> dsl.PipelineTask:
        task.set_container_image(self.image)
        task.set_caching_options(cached)
        task.set_cpu_request(CPU_REQUEST).set_memory_request(MEMORY_REQUEST)
        task.set_env_variable(WORK_VARIABLE, WORK)
        kubernetes.set_security_context(
            task, run_as_user=USER, run_as_group=USER, run_as_non_root=True
        )
        kubernetes.set_timeout(task, hours * HOUR)
        for variable, field in FIELDS.items():
            kubernetes.use_field_path_as_env(task, variable, field)
        kubernetes.mount_pvc(task, pvc_name=self.volume, mount_path=WORK)
        return kubernetes.use_secret_as_env(
            task, self.secret, {key: key for key in SECRET_KEYS}, optional=True
        )


FIELDS = {
    RUN_VARIABLE: "metadata.labels['pipeline/runid']",
    NODE_VARIABLE: "metadata.annotations['workflows.argoproj.io/node-name']",
}
"""Variables that name the run and the pod's node in it."""


@dataclass(frozen=True)
class ComputingPods(Pods):
    """The pods of a run after its preflight step."""

    ready: Any
    """Outputs of the preflight step."""

    node_selector: Any
    """Labels of the nodes that may train."""

    tolerations: Any
    """Taints that training tolerates."""

    def heavy(self, task: dsl.PipelineTask) -> dsl.PipelineTask:
        """A step that computes on CPUs, safe to try again."""
        self._pod(task, cached=True, hours=DAY)
        return self._computing(task)

    def on_one_gpu(
        self, task: dsl.PipelineTask, name: str = "", hours: int = DAY
    ) -> dsl.PipelineTask:
        """A step of one process, on one GPU where the run has any; ``name`` is shown where given."""
        if name:
            task.set_display_name(name)
        self._pod(task, cached=True, hours=hours)
        return self._accelerated(task, self.ready["one_gpu_type"], self.ready["one_gpu"])

    def training(self, task: dsl.PipelineTask) -> dsl.PipelineTask:
        """A step that trains, on GPUs where asked for; tried again, it goes on where it was."""
        self._pod(task, cached=True, hours=WEEK)
        return self._accelerated(task, self.ready["gpu_type"], self.ready["gpus"])

    def _accelerated(self, task: dsl.PipelineTask, kind: Any, number: Any) -> dsl.PipelineTask:
        task.set_accelerator_type(kind)
        task.set_accelerator_limit(number)
        task.register_pipeline_channels([kind, number])
        kubernetes.add_node_selector_json(task, self.node_selector)
        kubernetes.add_toleration_json(task, self.tolerations)
        return self._computing(task)

    def _computing(self, task: dsl.PipelineTask) -> dsl.PipelineTask:
        task.set_cpu_limit(self.ready["cpu"])
        task.set_memory_limit(self.ready["memory"])
        task.register_pipeline_channels([self.ready["cpu"], self.ready["memory"]])
        return kubernetes.empty_dir_mount(
            task, volume_name="dshm", mount_path="/dev/shm", medium="Memory", size_limit="2Gi"
        )
