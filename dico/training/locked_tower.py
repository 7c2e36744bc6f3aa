"""Cache of a frozen tower's image tokens, computed once per training image.

Images are encoded in batches that follow from their list alone, so a resumed run, which encodes them
again, goes on with the same bits.

B images, P image tokens, D their width.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

_BATCH_SIZE = 64
_BUDGET_BYTES = 1 << 30


class LockedTower:
    """Image tokens by URI, kept until ``budget_bytes`` are used; others are encoded each time."""

    def __init__(
        self,
        encode: Callable[[Sequence[str]], Tensor],
        uris: Sequence[str],
        budget_bytes: int = _BUDGET_BYTES,
    ) -> None:
        """Encodes the first of ``uris`` that fit, each once.

        Args:
            encode: image tokens (B, P, D) of the images at B URIs.
            uris: of all images that `tokens` will be asked for.
            budget_bytes: main memory for their tokens.
        """
        self._encode, self._kept = encode, dict[str, Tensor]()
        distinct = list(dict.fromkeys(uris))
        for start in range(0, len(distinct), _BATCH_SIZE):
            batch = distinct[start : start + _BATCH_SIZE]
            tokens = self._encoded(batch).cpu()
            budget_bytes -= tokens.numel() * tokens.element_size()
            if budget_bytes < 0:  # the rest is encoded when asked for
                break
            self._kept.update(zip(batch, tokens, strict=True))

    def tokens(self, uris: Sequence[str]) -> Tensor:
        """Image tokens (B, P, D) in main memory, without gradient."""
        missing = [uri for uri in dict.fromkeys(uris) if uri not in self._kept]
        made = dict(zip(missing, self._encoded(missing).cpu(), strict=True)) if missing else {}
        return torch.stack([made[uri] if uri in made else self._kept[uri] for uri in uris])

    @torch.no_grad()
    def _encoded(self, uris: Sequence[str]) -> Tensor:
        return self._encode(uris).detach()
