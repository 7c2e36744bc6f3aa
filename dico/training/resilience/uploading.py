"""Copies checkpoints to a store while training goes on: one at a time, in the order of their steps.

A machine may be gone at any time with its disk; another one resumes from the copy.
"""

import logging
import threading
from pathlib import Path

from dico.errors import AccessError, ConfigError, DataError, DicoError, DigestError
from dico.storage import Store

_FATAL = (AccessError, ConfigError, DataError)
"""Permanent failures: no permission, no such bucket."""

logger = logging.getLogger(__name__)


class CheckpointUploader:
    """Copies of one run's checkpoints below ``prefix`` of a store.

    Where saving is faster than copying, checkpoints between the one being copied and the newest are
    left out. A copy that fails is tried again with the next checkpoint, except for a missing right
    or bucket, which `push` and `flush` raise.
    """

    def __init__(self, store: Store, prefix: str, num_kept: int) -> None:
        self.store, self.prefix, self.num_kept = store, prefix, num_kept
        self._changed = threading.Condition()
        self._waiting: Path | None = None
        self._copying: Path | None = None
        self._unsaved = False
        self._fatal: DicoError | None = None
        self._thread: threading.Thread | None = None

    def push(self, folder: Path) -> None:
        """Queues a checkpoint for upload, replacing one that has not started.

        Raises:
            DicoError: no right to write, or no such bucket.
        """
        self._raise()
        with self._changed:
            self._waiting = folder  # in the place of one that still waits: only the newest counts
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def in_use(self) -> set[str]:
        """Names of checkpoints that wait or are being copied; they must not be removed."""
        with self._changed:
            return {path.name for path in (self._waiting, self._copying) if path is not None}

    def flush(self, seconds: float) -> bool:
        """Waits until all is copied, at most ``seconds``; whether the newest arrived.

        Raises:
            DicoError: no right to write, or no such bucket.
        """
        with self._changed:
            idle = self._changed.wait_for(
                lambda: self._waiting is None and self._copying is None, seconds
            )
        self._raise()
        return idle and not self._unsaved

    def names(self) -> list[str]:
        """Names of what is in the store."""
        keys = self.store.list(self.prefix)
        return sorted({key.removeprefix(f"{self.prefix}/").split("/")[0] for key in keys})

    def fetch(self, name: str, folder: Path) -> None:
        """Copies a checkpoint back to ``folder``, its digests checked."""
        self.store.fetch(f"{self.prefix}/{name}", folder)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting is not None)
                self._copying, self._waiting = self._waiting, None
            assert self._copying is not None
            try:
                self._copy(self._copying)
                self._unsaved = False
            except Exception as error:  # a thread has nobody to raise to
                self._unsaved = True
                self._keep(error)
            with self._changed:
                self._copying = None
                self._changed.notify_all()

    def _copy(self, folder: Path) -> None:
        self.store.publish(folder, f"{self.prefix}/{folder.name}")
        names = self.names()
        # Later names are of a run that was rewound or passed over: they go, too.
        kept = [name for name in names if name <= folder.name][-self.num_kept :]
        for name in set(names) - set(kept):
            self.store.delete(f"{self.prefix}/{name}")

    def _keep(self, error: Exception) -> None:
        logger.warning("checkpoint not copied to %s: %s", self.store.uri, error)
        if isinstance(error, _FATAL) and not isinstance(error, DigestError):
            self._fatal = error

    def _raise(self) -> None:
        if self._fatal is not None:
            raise self._fatal
