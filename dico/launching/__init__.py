"""Runs one pipeline step in one process, on every GPU of a pod, or across nodes.

A step that trains is called through `launch`, which starts as many copies as it is told to. Each
copy calls the same function with the same arguments and joins the others by torch.distributed.
Several nodes are found by whatever is installed under the entry-point group ``dico.launchers``: the
library itself knows nothing of Kubernetes.
"""

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from dico.errors import ConfigError, UsageError
from dico.launching.ranks import call_step, run_ranks

__all__ = ["launch"]


def launch(
    step: str,
    arguments: Mapping[str, Any],
    num_processes: int = 1,
    num_nodes: int = 1,
    pod: Mapping[str, Any] | None = None,
) -> None:
    """Calls ``dico.steps.<step>.<step>(**arguments)`` in as many processes as asked for.

    Args:
        step: name of a step that joins the other ranks, such as ``finetune_captioner``.
        arguments: its arguments, texts and numbers.
        num_processes: processes of each node, one for each GPU; 0 and 1 mean this process.
        num_nodes: nodes; more than one needs a cluster.
        pod: what each node's pod gets (resources, tolerations, node_selector, affinity, env,
            volumes, volume_mounts, as in Kubernetes); empty for what this pod has. Used for several
            nodes only.

    Raises:
        ConfigError: a negative number.
        UsageError: several nodes are asked for where no launcher of nodes is installed.
        DicoError: a copy failed; ``exit_code`` is that of the first that did.
    """
    if num_processes < 0 or num_nodes < 0:
        raise ConfigError(
            f"num_processes {num_processes}, num_nodes {num_nodes}: must not be negative"
        )
    if num_nodes > 1:
        _launcher_of_nodes()(step, dict(arguments), max(num_processes, 1), num_nodes, pod or {})
    elif num_processes > 1:
        run_ranks(step, arguments, num_processes)
    else:
        call_step(step, arguments)


def _launcher_of_nodes() -> Any:
    found = next(iter(entry_points(group="dico.launchers", name="nodes")), None)
    if found is None:
        raise UsageError(
            "training on several nodes needs a cluster; pip install 'dico-captioner[pipelines]', or set "
            "num_nodes to 1"
        )
    return found.load()
