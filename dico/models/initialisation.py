"""Initial weights of the captioner: normal, of a standard deviation that its config names."""

from torch import nn


def init_normal(module: nn.Module, std: float) -> None:
    """Draws every linear and embedding weight of ``module``; biases are zero."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            nn.init.normal_(part.weight, std=std)
        if isinstance(part, nn.Linear):
            nn.init.zeros_(part.bias)
