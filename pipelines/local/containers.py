"""Steps in containers on this machine, locked in as a careful cluster would do it.

kfp.local's DockerRunner runs the same YAML as the cluster; what is added here: the run's image,
folders of the run mounted at their own paths, a read-only root, no capabilities, no network for a
step that names no object store, and the step's own exit code, which the runner may lose.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from dico.errors import UsageError
from dico_pipelines.variables import SECRET_KEYS

RUN_ARGUMENTS = {
    "read_only": True,
    "tmpfs": {"/tmp": "rw,mode=1777"},
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "pids_limit": 1024,
    "shm_size": "1g",
}


@dataclass(frozen=True)
class Containers:
    """How the containers of a run are made."""

    image: str
    """Image of every step."""

    folders: Mapping[str, str]
    """Folder on this machine, seen at the same path inside; value ``rw`` or ``ro``."""

    user: str = f"{os.getuid()}:{os.getgid()}"
    """User and group, by number."""

    network: str = "host"
    """Network of the steps that reach an object store; the others have none."""

    def run(
        self, client: Any, command: Sequence[str], volumes: Mapping[str, Any], log: BinaryIO,
        variables: Mapping[str, str], arguments: Mapping[str, Any],
    ) -> int:  # fmt: skip
        """Runs one step to its end; returns its exit code."""
        mounts = {path: {"bind": path, "mode": mode} for path, mode in self.folders.items()}
        reaches_out = any("s3://" in word for word in command)
        container = client.containers.create(
            self.image,
            list(command),
            user=self.user,
            network_mode=self.network if reaches_out else "none",
            volumes={**volumes, **mounts},
            environment=self._environment(variables, reaches_out),
            **arguments,
        )
        try:
            container.start()
            for chunk in container.logs(stream=True, follow=True):
                log.write(chunk)
                log.flush()
            return int(container.wait()["StatusCode"])
        finally:
            container.remove(force=True)

    @staticmethod
    def _environment(variables: Mapping[str, str], reaches_out: bool) -> dict[str, str]:
        known = [*SECRET_KEYS, "AWS_CA_BUNDLE"] if reaches_out else []
        passed = {name: os.environ[name] for name in known if name in os.environ}
        threads = {k: v for k, v in os.environ.items() if k == "OMP_NUM_THREADS"}
        return {**threads, **passed, **variables}


def find_engine() -> str:
    """Version of the container engine that the environment names.

    Raises:
        UsageError: there is none.
    """
    try:
        import docker
    except ImportError:
        raise UsageError(
            "containers need the docker package: pip install 'dico-captioner[pipelines]'"
        ) from None
    try:
        client = docker.from_env()
        version = str(client.version()["Version"])
        client.close()
        return version
    except Exception as error:
        raise UsageError(
            f"no container engine answers ({error}); start one, or set DOCKER_HOST"
        ) from None


def folders_of(values: Mapping[str, Any], runs: Path) -> dict[str, str]:
    """The local folders that a run's parameters name, and whether steps may write there."""
    folders = {str(runs.absolute()): "rw"}
    for key, value in values.items():
        if not (isinstance(value, str) and value.startswith("/")):
            continue
        writes = key in ("store", "registry", "destination")
        for path in map(Path, value.split(",")):
            folder = path if path.is_dir() or writes else path.parent
            if not folder.is_relative_to(runs.absolute()):
                folders[str(folder)] = "rw" if writes else "ro"
    return folders
