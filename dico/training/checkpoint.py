"""Checkpoints of a training run: safetensors and JSON in a store, verified before use.

A checkpoint is a published folder ``<prefix>/step-00000100``: ``tensors.safetensors`` (model,
optimiser and best weights so far), ``state.json`` and the digests of both. All randomness follows
from seed and step (`dico.training.determinism`), so nothing else is needed to go on to the same
bits.
"""

import json
import logging
import re
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dico.errors import DataError
from dico.storage import Store
from dico.training.history import History

FORMAT = 1
_NAME = re.compile(r"step-\d{8}")

logger = logging.getLogger(__name__)


class TrainingState:
    """What changes while a model trains, apart from what seed and step determine.

    Attributes:
        step: optimiser steps done.
        best_score: highest validation score so far.
        best_step: the step that had it.
        best_weights: the model's state dict at that step; empty before any was kept.
        history: logged values.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.model, self.optimizer = model, optimizer
        self.step = 0
        self.best_score = float("-inf")
        self.best_step = 0
        self.best_weights: dict[str, Tensor] = {}
        self.history = History()

    def keep_if_best(self, score: float) -> None:
        """Remembers the weights when ``score`` (higher is better) is the best so far."""
        if score > self.best_score:
            self.best_score = score
            self.keep()

    def keep(self) -> None:
        """Remembers the weights as they are now."""
        self.best_step = self.step
        weights = self.model.state_dict()
        self.best_weights = {name: value.detach().clone() for name, value in weights.items()}

    def restore_best(self) -> None:
        """Puts the best weights back into the model."""
        if self.best_weights:
            self.model.load_state_dict(self.best_weights)

    def tensors(self) -> dict[str, Tensor]:
        """All tensors under flat names, ready for safetensors."""
        named = {f"model/{k}": v for k, v in self.model.state_dict().items()}
        named |= {f"best/{k}": v for k, v in self.best_weights.items()}
        for index, moments in self.optimizer.state_dict()["state"].items():
            named |= {f"optimizer/{index}/{k}": torch.as_tensor(v) for k, v in moments.items()}
        return {
            name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, value in named.items()
        }

    def load(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """The inverse of `tensors` and `summary`.

        Raises:
            DataError: of another format, or tensors of another model; nothing is changed.
        """
        if state.get("format") != FORMAT:
            raise DataError(
                f"checkpoint: format {state.get('format')!r}, and this version reads {FORMAT}; "
                "go on with the version that wrote it, or choose another run_key"
            )
        self._require_fit(tensors)
        self.model.load_state_dict(_below("model/", tensors))
        self.best_weights = _below("best/", tensors)
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in _below("optimizer/", tensors).items():
            index, key = name.split("/")
            moments.setdefault(int(index), {})[key] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self.step, self.best_step = state["step"], state["best_step"]
        self.best_score = float(state["best_score"])
        self.history = History(state["history"])

    def _require_fit(self, tensors: dict[str, Tensor]) -> None:
        """Refuses tensors that are not this model's, naming the first."""
        wanted = {k: v.shape for k, v in self.model.state_dict().items()}
        found = {k: v.shape for k, v in _below("model/", tensors).items()}
        for name in sorted(wanted.keys() | found.keys()):
            if wanted.get(name) != found.get(name):
                here, there = wanted.get(name), found.get(name)
                raise DataError(
                    f"checkpoint: {name} is {_shape(there)}, and this model's is {_shape(here)}; "
                    "it is of another model, choose another run_key"
                )

    def summary(self) -> dict[str, Any]:
        """The rest of the state, as JSON values."""
        return {
            "format": FORMAT,
            "step": self.step,
            "best_score": repr(self.best_score),
            "best_step": self.best_step,
            "history": self.history.rows,
        }


class Checkpoints:
    """The checkpoints of one training run below ``prefix`` of a store."""

    def __init__(self, store: Store, prefix: str, num_kept: int = 2) -> None:
        self.store, self.prefix, self.num_kept = store, prefix, num_kept

    def save(self, state: TrainingState) -> None:
        """Publishes the state as a whole, then drops all but the newest ``num_kept``.

        What is there of later steps was passed over when this run resumed: it is dropped first,
        so that it never counts as newest.
        """
        name = f"step-{state.step:08d}"
        with tempfile.TemporaryDirectory(prefix="checkpoint-") as folder:
            save_file(state.tensors(), Path(folder) / "tensors.safetensors")
            text = json.dumps(state.summary())
            (Path(folder) / "state.json").write_text(text, encoding="utf-8")
            self.store.publish(folder, f"{self.prefix}/{name}")
        whole = [other for other in self._names() if _NAME.fullmatch(other) and other <= name]
        for other in set(self._names()) - set(whole[-self.num_kept :]):
            self.store.delete(f"{self.prefix}/{other}")

    def resume(self, state: TrainingState) -> bool:
        """Loads the newest checkpoint that is whole; False where there is none.

        Raises:
            DataError: it is whole, but of another format or another model.
        """
        for name in reversed(self._names()):
            with tempfile.TemporaryDirectory(prefix="checkpoint-") as folder:
                try:
                    path = self.store.fetch(f"{self.prefix}/{name}", Path(folder) / name)
                except DataError as error:
                    logger.warning("checkpoint passed over: %s", error)
                    continue
                summary = json.loads((path / "state.json").read_text(encoding="utf-8"))
                state.load(load_file(path / "tensors.safetensors"), summary)
                return True
        return False

    def _names(self) -> list[str]:
        """Names below the prefix, by step; what a killed writer left behind comes first."""
        keys = self.store.list(self.prefix)
        names = {key.removeprefix(f"{self.prefix}/").split("/")[0] for key in keys}
        return sorted(names, key=lambda name: (bool(_NAME.fullmatch(name)), name))


def _shape(shape: torch.Size | None) -> str:
    return "missing" if shape is None else str(tuple(shape))


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
