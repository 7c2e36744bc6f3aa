"""What the pods of a cluster need, the same for every task; no effect on a laptop."""

from kfp import dsl, kubernetes

_USER = 65532


def light(task: dsl.PipelineTask, cached: bool = True) -> dsl.PipelineTask:
    """A step that decides or records: small, and cached only where its inputs tell everything."""
    task.set_caching_options(cached)
    return kubernetes.set_security_context(
        task, run_as_user=_USER, run_as_group=_USER, run_as_non_root=True
    )


def heavy(task: dsl.PipelineTask, name: str = "") -> dsl.PipelineTask:
    """A step that computes: shared memory for its workers; ``name`` is shown where given."""
    light(task)
    if name:
        task.set_display_name(name)
    return kubernetes.empty_dir_mount(
        task, volume_name="dshm", mount_path="/dev/shm", medium="Memory"
    )
