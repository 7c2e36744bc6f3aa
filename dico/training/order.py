"""The order in which training sees its data, as a pure function of seed and step.

Nothing has to be saved or replayed to resume: batch ``step`` is the same whenever it is asked for,
in any process and on any number of ranks.
"""

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


class DataOrder:
    """Endless shuffled batches over ``num_items``; each epoch is a permutation of its own."""

    def __init__(self, num_items: int, batch_size: int, seed: int) -> None:
        self.num_items, self.batch_size, self.seed = num_items, batch_size, seed
        self._epoch, self._permutation = -1, np.empty(0, dtype=np.int64)

    def batch(self, step: int) -> Indices:
        """Item indices (batch_size,) of the step; a batch may straddle two epochs."""
        first = step * self.batch_size
        parts, missing = [], self.batch_size
        while missing:
            epoch, offset = divmod(first, self.num_items)
            part = self._order(epoch)[offset : offset + missing]
            parts.append(part)
            first, missing = first + len(part), missing - len(part)
        return np.concatenate(parts)

    def _order(self, epoch: int) -> Indices:
        if epoch != self._epoch:
            rng = np.random.default_rng((self.seed, epoch))
            self._epoch, self._permutation = epoch, rng.permutation(self.num_items)
        return self._permutation
