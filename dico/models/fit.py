"""Checks that weights are a model's own: every name, every shape, every value finite."""

from collections.abc import Mapping

import torch
from torch import Tensor

from dico.errors import DataError


def require_fit(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], where: str) -> None:
    """Refuses weights that are not of the expected model, naming the first that differs.

    A transposed square matrix has the right shape; only digests tell it from the right one.

    Args:
        expected: the model's state dict; its values do not matter.
        found: the weights.
        where: what they were read from.

    Raises:
        DataError: a weight is missing, unknown, of another shape or kind, or not finite.
    """
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            raise DataError(f"{where}: weight {name} is missing; it is of another model")
        if name not in expected:
            raise DataError(f"{where}: weight {name} is unknown; it is of another model")
        value, wanted = found[name], expected[name]
        if value.shape != wanted.shape:
            shapes = f"{tuple(value.shape)}, and this model's is {tuple(wanted.shape)}"
            raise DataError(f"{where}: weight {name} is {shapes}; it is of another model")
        if value.is_floating_point() != wanted.is_floating_point():
            kinds = f"{value.dtype}, and this model's is {wanted.dtype}"
            raise DataError(f"{where}: weight {name} is {kinds}; it is of another model")
        require_finite(value, name, where)


def require_finite(value: Tensor, name: str, where: str) -> None:
    """Refuses a weight with a NaN or an infinity.

    Raises:
        DataError: a value is NaN or infinite; the message gives how many.
    """
    if not value.is_floating_point():
        return
    # A sum is finite where all values are, unless it overflows: one pass, no copy.
    if bool(value.sum(dtype=torch.float64).isfinite()):
        return
    num_bad = int((~value.isfinite()).sum())
    if num_bad:
        raise DataError(
            f"{where}: weight {name} has {num_bad} values that are NaN or infinite; "
            "take an earlier checkpoint"
        )
