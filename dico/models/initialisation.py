"""Initial weights of the captioner: normal with a standard deviation of 0.02, as GPT-2's and BERT's."""

from torch import nn


def init_normal(module: nn.Module) -> None:
    """Draws every linear and embedding weight of ``module``; biases are zero."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            nn.init.normal_(part.weight, std=0.02)
        if isinstance(part, nn.Linear):
            nn.init.zeros_(part.bias)
