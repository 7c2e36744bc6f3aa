"""Teaches a vision tower the words of captions, before any model reads or writes sentences.

Fang et al. 2015 (arXiv 1411.4952), section 3: an image is a bag of its places, and a caption's word is
there if it is at one of them (noisy-OR, Viola et al. 2005). No word has to be aligned with a place
first, which is what a decoder of captions spends most of its training on. Differences: the tower
starts from random weights, all captions of an image count as one, and places overlap, so that one
holds a whole object.

B images, P image tokens, D their width, W words.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dico.data.manifest import Record
from dico.errors import DataError
from dico.models.tokenizer import Tokenizer

_LEAST_SHARE, _MOST_SHARE = 0.002, 0.98
"""Words of fewer images teach nothing in a few hundred steps; those of nearly all images show nothing."""
_FIRST_LOGIT = -2.0
"""What a word's logit starts from, about as rare at a place as words are."""
_TINY = 1e-6
_SCALE = 10.0
"""Of the mean over images and words, most of which are absent at once: gradients of cross-entropy's
size, for clipping and the log."""


class WordDetection(nn.Module):
    """A linear map from places to words, and which words each training image is given."""

    def __init__(
        self, records: Sequence[Record], tokenizer: Tokenizer, width: int, max_tokens: int
    ) -> None:
        super().__init__()
        given = torch.zeros(len(records), tokenizer.vocab_size)
        for row, record in zip(given, records, strict=True):
            captions = [*record.captions, *record.positive_captions]
            row[tokenizer.encode_batch(captions, max_tokens).flatten()] = 1  # (V,)
        share = given.mean(dim=0)
        share[-3:] = 0  # BOS, EOS and PAD are no words
        self.given = given[:, (share > _LEAST_SHARE) & (share < _MOST_SHARE)]  # (N, W)
        if not self.given.shape[1]:
            raise DataError("evaluator: no word is said of some images and not of nearly all")
        self.words = nn.Linear(width, self.given.shape[1])
        nn.init.constant_(self.words.bias, _FIRST_LOGIT)

    def loss(self, tokens: Tensor, images: Sequence[int]) -> Tensor:
        """Cross-entropy of each word's presence in each image, by noisy-OR over places.

        Args:
            tokens: (B, P, D) of the tower.
            images: numbers of the B images among the training records.
        """
        present = self.given[list(images)].to(tokens.device)  # (B, W)
        logits = self.words(overlapping_windows(tokens))  # (B, places, W)
        absent = -F.softplus(logits).sum(dim=1).clamp(min=_TINY)  # (B, W) log p(word nowhere)
        # p(word somewhere) = 1 - prod over places of (1 - p): noisy-OR, in logarithms.
        losses = present * torch.log(-torch.expm1(absent)) + (1 - present) * absent
        return -_SCALE * losses.mean()


def overlapping_windows(tokens: Tensor) -> Tensor:
    """Maxima (B, places, D) over windows of half a square grid's side, a quarter apart.

    Tokens (B, P, D) that are no square grid of at least 4 x 4 stay as they are.
    """
    side = math.isqrt(tokens.shape[1])
    if side * side != tokens.shape[1] or side < 4:
        return tokens
    grid = tokens.transpose(1, 2).reshape(len(tokens), -1, side, side)  # (B, D, side, side)
    windows: Tensor = F.max_pool2d(grid, side // 2, side // 4)  # (B, D, 3, 3)
    return windows.flatten(2).transpose(1, 2)  # (B, 9, D)
