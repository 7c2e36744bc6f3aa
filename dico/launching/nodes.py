"""A step's call handed to other nodes through the store, and its output handed back.

The pods of other nodes see neither the files nor the folders of the pod that asks. So the call's
inputs are put into the store below one key, each node fetches them, and the first node publishes
the output. The key is made from the call and the inputs' bytes: asked again, the same work is found
again, whether it is at work or done.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dico.errors import DicoError, UsageError
from dico.launching.ranks import RankFailedError, run_ranks
from dico.process.provenance import code_digest
from dico.storage import Store, open_store, sha256_file

SHARED = ("store", "registry")
"""Arguments that name places which every node reaches by itself."""

CALL, OUTPUT, FAILURE = "call.json", "output", "failure.json"


@dataclass(frozen=True, slots=True)
class Handover:
    """A step's call in the store."""

    store_uri: str
    """Folder or s3:// prefix that all nodes reach."""
    key: str
    """Where the call is in the store."""
    output: str
    """File or folder on this machine that the step is to write."""

    @property
    def _store(self) -> Store:
        return open_store(self.store_uri)

    def is_done(self) -> bool:
        """Whether the output is there."""
        return self._store.exists(f"{self.key}/{OUTPUT}")

    def forget_failure(self) -> None:
        """Removes what an earlier attempt said when it failed."""
        self._store.delete(f"{self.key}/{FAILURE}")

    def failure(self) -> DicoError | None:
        """Why the nodes failed, in the words of the first that did."""
        if not self._store.exists(f"{self.key}/{FAILURE}"):
            return None
        said = json.loads(self._store.read_bytes(f"{self.key}/{FAILURE}"))
        return RankFailedError(said["message"], said["exit_code"])

    def take_output(self) -> None:
        """Copies the output to where the caller wants it."""
        self._store.fetch(f"{self.key}/{OUTPUT}", self.output)


def hand_over(step: str, arguments: Mapping[str, Any]) -> Handover:
    """Puts a call and its inputs into the store that its argument ``store`` names.

    An argument that is the absolute path of a file or folder here is an input, except for the
    places in `SHARED`; ``output_*`` is the output.

    Raises:
        UsageError: no store, a store of this pod alone, or not exactly one output.
    """
    uri = str(arguments.get("store", ""))
    if not uri:
        raise UsageError("store: training on several nodes needs a store that all of them reach")
    outputs = [name for name in arguments if name.startswith("output_")]
    if len(outputs) != 1:
        raise UsageError(f"{step}: expected one output to hand back, found {outputs}")
    (output,) = outputs
    inputs = {name: Path(value) for name, value in arguments.items() if _is_input(name, value)}
    plain = {k: v for k, v in arguments.items() if k not in inputs and k != output}
    places = {name: f"inputs/{name}-{_digest(path)}" for name, path in sorted(inputs.items())}
    call = {
        "step": step,
        "arguments": plain,
        "inputs": places,
        "folders": sorted(name for name, path in inputs.items() if path.is_dir()),
        "output": output,
        "code": code_digest(),
    }
    text = json.dumps(call, indent=1, sort_keys=True)
    key = f"launches/{step}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    store = open_store(uri)
    for name, place in places.items():
        _put(store, inputs[name], f"{key}/{place}")
    store.write_bytes(f"{key}/{CALL}", text.encode())
    return Handover(uri, key, str(arguments[output]))


def _is_input(name: str, value: object) -> bool:
    if name in SHARED or name.startswith("output_") or not isinstance(value, str):
        return False
    return value.startswith("/") and len(value) < 4096 and Path(value).exists()


def _digest(path: Path) -> str:
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    lines = [f"{file.relative_to(path)} {sha256_file(file)}" for file in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _put(store: Store, path: Path, key: str) -> None:
    if store.exists(key):
        return
    if path.is_dir():
        store.publish(path, key)
    else:
        store.upload(path, key)


def run_node(store_uri: str, key: str) -> None:
    """One node of several: fetches the call, runs this node's ranks, hands back the output.

    Who the other nodes are, torchrun reads from the variables ``PET_*`` that Kubeflow Trainer sets.

    Raises:
        DicoError: a rank of this node failed.
    """
    store = open_store(store_uri)
    call = json.loads(store.read_bytes(f"{key}/{CALL}"))
    rank = int(os.environ.get("PET_NODE_RANK", "0"))
    num_processes = int(os.environ.get("PET_NPROC_PER_NODE", "1"))
    with tempfile.TemporaryDirectory(prefix="dico-node-") as name:
        folder = Path(name)
        fetched = {
            argument: str(store.fetch(f"{key}/{place}", folder / argument))
            for argument, place in call["inputs"].items()
        }
        output = folder / "output"
        arguments = {**call["arguments"], **fetched, call["output"]: str(output)}
        try:
            run_ranks(call["step"], arguments, num_processes, rendezvous=())
        except DicoError as error:
            said = {"message": f"node {rank}, {error}", "exit_code": error.exit_code}
            store.create(f"{key}/{FAILURE}", json.dumps(said).encode())
            raise
        if rank == 0:
            store.publish(output, f"{key}/{OUTPUT}")
