"""Checkpoints of a training run: safetensors and JSON, whole or absent, verified before use.

A checkpoint is a folder ``<prefix>/step-00000100``: ``tensors.safetensors`` (model, optimiser, best
weights so far, torch's generators), ``state.json`` (everything else) and the digests of both. It is
written beside its place, flushed to the disk and renamed. In a store on a file system it is written
there; for a remote store it is written to the local disk first and copied in the background
(`dico.training.resilience.uploading`).

The newest checkpoint that is whole counts, wherever it is. Each holds the best weights too, so
keeping the newest few keeps the best.
"""

import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, load_file, save, save_file
from torch import Tensor

from dico.errors import DataError
from dico.process.activity import CHECKPOINT, activity
from dico.storage import (
    Store,
    atomic_folder,
    require_space,
    verify_digests,
    write_digests,
)
from dico.storage.local import LocalStore
from dico.training.distributed import World
from dico.training.resilience.state import TrainingState, parse_summary
from dico.training.resilience.uploading import CheckpointUploader

LOCAL_FOLDER_VARIABLE = "DICO_CHECKPOINTS"
"""Environment variable: folder of the local copies where the store is remote."""
_NAME = re.compile(r"step-\d{8}")
_ONE_RANK = World()

Loaded = tuple[dict[str, Tensor], dict[str, Any]]
logger = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoints of one training run below ``prefix`` of a store."""

    def __init__(self, store: Store, prefix: str, num_kept: int = 2) -> None:
        self.num_kept = num_kept
        self.uploader: CheckpointUploader | None = None
        if isinstance(store, LocalStore):
            self.folder = store.root / prefix
        else:
            self.folder = _local_folder(store.uri) / prefix
            self.uploader = CheckpointUploader(store, prefix, num_kept)

    @activity(CHECKPOINT)
    def save(self, state: TrainingState) -> None:
        """Writes the state, then drops all but the newest ``num_kept``.

        What is there of later steps was passed over when this run resumed: it is dropped too, so
        that it never counts as newest.

        Raises:
            StorageError: no space or an I/O error; what was there before is still there.
            AccessError: the folder or the remote store may not be written.
        """
        name = f"step-{state.step:08d}"
        # Renamed into place when whole: a process that is killed here leaves no half checkpoint.
        with atomic_folder(self.folder / name) as folder:
            save_file(state.tensors(), folder / "tensors.safetensors")
            (folder / "state.json").write_text(json.dumps(state.summary()), encoding="utf-8")
            write_digests(folder)
        if self.uploader is not None:  # in the background: training does not wait for the store
            self.uploader.push(self.folder / name)
        self._drop_others(name)

    def resume(self, state: TrainingState, world: World = _ONE_RANK) -> bool:
        """Loads the newest checkpoint that is whole; False where there is none.

        The first rank reads it and hands it to the others, which may be on other machines.

        Raises:
            DataError: it is whole, but of another format or another model.
            StorageError: the disk has too little space for the checkpoints to come.
        """
        found = None
        if world.is_main:
            require_space(self.folder, state.num_bytes())  # before hours of work, not after
            found = self._newest()
        if world.size > 1:
            found = _unpacked(world.broadcast(_packed(found)))
        if found is None:
            return False
        state.load(*found)
        return True

    def flush(self, seconds: float) -> bool:
        """Waits at most ``seconds`` for copies under way; whether the newest is in the store."""
        return self.uploader is None or self.uploader.flush(seconds)

    def finish(self, seconds: float) -> None:
        """At the end of training: waits for the copies, and then removes what is local of them."""
        if self.uploader is None:
            return
        if self.uploader.flush(seconds):
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            logger.warning("%s: the newest checkpoint is on this machine alone", self.folder)

    def _newest(self) -> Loaded | None:
        """The newest whole checkpoint, of this disk first; one from the store is copied here."""
        local = self._names()
        remote = self.uploader.names() if self.uploader is not None else []
        places = [(name, True) for name in local] + [(name, False) for name in remote]
        # Newest first, and of equal steps the local copy.
        for name, is_local in sorted(places, reverse=True):
            if not _NAME.fullmatch(name):
                continue
            try:
                if not is_local and self.uploader is not None:
                    self.uploader.fetch(name, self.folder / name)
                return read_checkpoint(self.folder / name)
            except DataError as error:  # damaged: the one before it is as good a start
                logger.warning("checkpoint passed over: %s", error)
        return None

    def _drop_others(self, name: str) -> None:
        """Drops all but ``num_kept`` up to ``name``, once that one is known to be whole."""
        names = self._names()
        kept = [other for other in names if _NAME.fullmatch(other) and other <= name]
        in_use = self.uploader.in_use() if self.uploader is not None else set()
        dropped = set(names) - set(kept[-self.num_kept :]) - in_use
        if dropped:  # nothing older goes before the newest is known to be readable
            verify_digests(self.folder / name)
        for other in dropped:
            shutil.rmtree(self.folder / other, ignore_errors=True)

    def _names(self) -> list[str]:
        """Names in the local folder, of what a killed writer left behind too."""
        return sorted(path.name for path in self.folder.iterdir()) if self.folder.is_dir() else []


def read_checkpoint(folder: Path) -> Loaded:
    """Tensors and summary of a checkpoint.

    Raises:
        DataError: not whole, or not the bytes that were written.
    """
    verify_digests(folder)
    try:
        tensors = load_file(folder / "tensors.safetensors")
        summary = (folder / "state.json").read_bytes()
    except (OSError, SafetensorError) as error:
        raise DataError(f"{folder}: not a checkpoint ({error}); remove it") from None
    return tensors, parse_summary(summary, str(folder / "state.json"))


def _local_folder(uri: str) -> Path:
    root = os.environ.get(LOCAL_FOLDER_VARIABLE) or f"{tempfile.gettempdir()}/dico-checkpoints"
    return Path(root).absolute() / hashlib.sha256(uri.encode()).hexdigest()[:16]


def _packed(found: Loaded | None) -> bytes:
    """A checkpoint as bytes: the length of its JSON, the JSON, the tensors; empty for none."""
    if found is None:
        return b""
    text = json.dumps(found[1]).encode()
    tensors: bytes = save(found[0])
    return len(text).to_bytes(8, "big") + text + tensors


def _unpacked(data: bytes) -> Loaded | None:
    if not data:
        return None
    end = 8 + int.from_bytes(data[:8], "big")
    return load(data[end:]), json.loads(data[8:end])
