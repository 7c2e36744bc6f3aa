"""A BERT out of an ONNX graph: named tensors alone, nothing of the graph is run."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dico.errors import DataError, one_line

_INSIDE = "auto_model"
"""What sentence-transformers calls the BERT inside its own module."""


def read_bert(path: Path) -> dict[str, Tensor]:
    """Weights under transformers' names.

    Exporting to ONNX turns the matrix of each linear layer over and gives it a number for a name; the
    node that multiplies by it still has the layer's.

    Raises:
        DataError: not such a graph.
    """
    import onnx
    from onnx import numpy_helper

    try:
        graph = onnx.load(str(path), load_external_data=False).graph
    except Exception as error:
        raise DataError(f"{path}: not an ONNX file: {one_line(error)}") from None
    stored = {tensor.name: tensor for tensor in graph.initializer}

    def read(name: str) -> Tensor:
        return torch.from_numpy(numpy_helper.to_array(stored[name]).copy())

    tensors = {_after(name, "."): read(name) for name in stored if f"{_INSIDE}." in name}
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in stored:
            tensors[f"{_layer(node)}.weight"] = read(node.input[1]).T.contiguous()
    if not tensors:
        raise DataError(f"{path}: holds no sentence encoder")
    return tensors


def _layer(node: Any) -> str:
    """``encoder.layer.0.attention.self.query`` of ``/.../auto_model/encoder/.../query/MatMul``."""
    return _after(node.name.removesuffix("/MatMul"), "/").replace("/", ".")


def _after(name: str, separator: str) -> str:
    return name.rpartition(f"{_INSIDE}{separator}")[2]
