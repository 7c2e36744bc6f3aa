"""State of a training run, and its two halves at rest: tensors and JSON values."""

import json
from datetime import UTC, datetime
from typing import Any

import torch
from torch import Tensor, nn

from dico.errors import DataError
from dico.models.fit import require_finite
from dico.training.resilience.history import History
from dico.training.resilience.rng import restore_rng, rng_tensors, rng_values

FORMAT = 2
"""Of what is written. 1 had no generators' states, skipped batches and times; it still loads."""


class TrainingState:
    """What changes while a model trains, apart from what seed and step determine.

    Attributes:
        step: optimiser steps done.
        num_skipped: batches that no step was made of, because training went back behind them.
        num_rewinds: how often training went back.
        best_score: highest validation score so far.
        best_step: the step that had it.
        best_weights: the model's state dict at that step; empty before any was kept.
        history: logged values.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.model, self.optimizer = model, optimizer
        self.step = self.num_skipped = self.num_rewinds = 0
        self.best_score = float("-inf")
        self.best_step = 0
        self.best_weights: dict[str, Tensor] = {}
        self.history = History()

    @property
    def draw(self) -> int:
        """The data cursor: number of the next batch, and of all randomness that goes with it."""
        return self.step + self.num_skipped

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

    def num_bytes(self) -> int:
        """Size at rest, bytes, at most: weights, best weights and two moments of each."""
        weights = self.model.state_dict().values()
        return int(4 * sum(value.numel() * value.element_size() for value in weights))

    def tensors(self) -> dict[str, Tensor]:
        """All tensors under flat names, ready for safetensors."""
        named = {f"model/{k}": v for k, v in self.model.state_dict().items()}
        named |= {f"best/{k}": v for k, v in self.best_weights.items()}
        for index, moments in self.optimizer.state_dict()["state"].items():
            named |= {f"optimizer/{index}/{k}": torch.as_tensor(v) for k, v in moments.items()}
        named |= {f"rng/{k}": v for k, v in rng_tensors().items()}
        # Copies: safetensors refuses tensors that share memory, as tied weights do.
        return {
            name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, value in named.items()
        }

    def summary(self) -> dict[str, Any]:
        """The rest of the state, as JSON values."""
        return {
            "format": FORMAT,
            "step": self.step,
            "num_skipped": self.num_skipped,
            "num_rewinds": self.num_rewinds,
            "best_score": repr(self.best_score),  # text: JSON has no infinity
            "best_step": self.best_step,
            "history": self.history.rows,
            "seconds": self.history.seconds(),
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
            "rng": rng_values(),
        }

    def load(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """The inverse of `tensors` and `summary`.

        Raises:
            DataError: of another format, or tensors of another model; nothing is changed. Or its
                parts do not fit together, and this state is of no use.
        """
        # Both checks come first, so that a checkpoint of another model changes nothing.
        _check(state)
        self._require_fit(tensors)
        try:
            self._load(tensors, state)
        except (ValueError, TypeError, KeyError, IndexError, OverflowError, RuntimeError) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise DataError(
                f"checkpoint: its parts do not fit together ({reason}); remove it"
            ) from None

    def _load(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        self.model.load_state_dict(_below("model/", tensors))
        self.best_weights = _below("best/", tensors)
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in _below("optimizer/", tensors).items():
            index, key = name.split("/")
            moments.setdefault(int(index), {})[key] = value
        # Rates and decays come from the settings of this run, the moments from the checkpoint.
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self.step, self.best_step = state["step"], state["best_step"]
        self.num_skipped, self.num_rewinds = state["num_skipped"], state["num_rewinds"]
        self.best_score = float(state["best_score"])
        self.history = History(state["history"], state["seconds"])
        restore_rng(_below("rng/", tensors), state["rng"])

    def _require_fit(self, tensors: dict[str, Tensor]) -> None:
        """Refuses tensors that are not this model's, or not numbers, naming the first."""
        wanted = {k: v.shape for k, v in self.model.state_dict().items()}
        found = {k: v.shape for k, v in _below("model/", tensors).items()}
        for name in sorted(wanted.keys() | found.keys()):
            if wanted.get(name) != found.get(name):
                here, there = wanted.get(name), found.get(name)
                raise DataError(
                    f"checkpoint: {name} is {_shape(there)}, and this model's is {_shape(here)}; "
                    "it is of another model, choose another run_key"
                )
        for name, value in tensors.items():
            require_finite(value, name.removeprefix("model/"), "checkpoint")


def parse_summary(data: bytes, where: str) -> dict[str, Any]:
    """Reads the bytes of a state.json.

    Raises:
        DataError: not a JSON object.
    """
    try:
        state = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not JSON ({error}); remove this checkpoint") from None
    if not isinstance(state, dict):
        raise DataError(f"{where}: not the state of a run; remove this checkpoint")
    return state


def _check(state: dict[str, Any]) -> None:
    """Refuses a state of another format, or one whose values are missing or of the wrong type.

    Raises:
        DataError: for either.
    """
    if state.get("format") != FORMAT:
        raise DataError(
            f"checkpoint: format {state.get('format')!r}, and this version reads {FORMAT}; "
            "go on with the version that wrote it, or choose another run_key"
        )
    counts = [state.get(k) for k in ("step", "best_step", "num_skipped", "num_rewinds")]
    rows, score = state.get("history"), state.get("best_score")
    if not (
        all(type(count) is int and count >= 0 for count in counts)
        and isinstance(rows, list)
        and all(isinstance(row, dict) and type(row.get("step")) is int for row in rows)
        and isinstance(score, str)
        and _is_number(score)
    ):
        raise DataError("checkpoint: state.json lacks values of a run; remove this checkpoint")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _shape(shape: torch.Size | None) -> str:
    return "missing" if shape is None else str(tuple(shape))


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
