"""Members that the dual encoders of all libraries share.

B images, K candidates per image, P image tokens, F their width, E embedding.
"""

from torch import Tensor, nn


class LibraryEncoder(nn.Module):
    """A dual encoder of another library, see `dico.models.encoders.protocol.DualEncoder`."""

    def encode_pixels(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def encode_text(self, tokens: Tensor) -> Tensor:
        raise NotImplementedError

    def encode_image(self, pixels: Tensor) -> Tensor:
        return self.encode_pixels(pixels)[1]

    def encode_candidates(self, tokens: Tensor) -> Tensor:
        # (B, K, T) -> (B * K, T) -> (B, K, E)
        return self.encode_text(tokens.flatten(0, 1)).view(*tokens.shape[:2], -1)


def as_tokens(features: Tensor) -> Tensor:
    """Tokens (B, P, F) of a tower's output: as they are, or a grid (B, F, h, w) row by row."""
    return features.flatten(2).transpose(1, 2) if features.dim() == 4 else features
