"""Plain forms of what the library computes fast."""

import torch
from torch import Tensor

from dico.losses import token_logps
from dico.models.captioner import Captioner


def score_captions(captioner: Captioner, memory: Tensor, tokens: Tensor) -> Tensor:
    """Log-probabilities (B, K), float32, of candidates (B, K, T), each caption by itself."""
    flat = tokens.flatten(0, 1)  # (B * K, T)
    real = flat[:, 1:] != captioner.pad_id
    logits, targets = (
        captioner.logits(memory, flat[:, :-1])[real],
        flat[:, 1:][real],
    )  # (M, V), (M,)
    logps = torch.zeros(real.shape, device=real.device)
    logps = logps.masked_scatter(real, token_logps(logits, targets))  # (M,) -> (B * K, T - 1)
    return logps.sum(dim=-1).view(tokens.shape[:2])  # (B * K,) -> (B, K)
