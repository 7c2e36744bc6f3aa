"""A plain convolutional tower of fine stride, for small images and small data.

CLIP's ResNet sees an image of 64 pixels as 2 x 2 cells and a vision transformer learns little from
thousands of images; three stages of this one give 8 x 8 cells, fine enough for shapes, at a fifth
of the ResNet's parameters. Each stage halves the side and doubles the width: two 3 x 3 convolutions,
batch norms and ReLUs, as in VGG (Simonyan and Zisserman 2015, arXiv 1409.1556) with strides for its
max pooling (Springenberg et al. 2015, arXiv 1412.6806). Pooled as CLIP's ResNet is.
"""

from torch import Tensor, nn

from dico.models.clip_config import VisionConfig
from dico.models.resnet import AttentionPool


class PlainTower(nn.Module):
    """Stages of two convolutions each, and an attention pooling."""

    def __init__(self, config: VisionConfig, embed_dim: int) -> None:
        super().__init__()
        assert isinstance(config.layers, tuple)
        stages, inputs = [], 3
        for index in range(len(config.layers)):
            width = config.width << index
            first, rest = _block(inputs, width, 2), range(config.layers[index])
            stages.append(nn.Sequential(first, *(_block(width, width, 1) for _ in rest)))
            inputs = width
        self.stages = nn.Sequential(*stages)
        heads = config.token_width // config.head_width
        self.attnpool = AttentionPool(config.num_tokens, config.token_width, heads, embed_dim)

    def encode_tokens(self, pixels: Tensor) -> Tensor:
        """Grid cells (B, P, D), row by row, of (B, 3, H, W)."""
        grid: Tensor = self.stages(pixels)
        return grid.flatten(2).transpose(1, 2)  # (B, D, h, w) -> (B, h * w, D)

    def pool(self, tokens: Tensor) -> Tensor:
        """Embeddings (B, E), not normalised."""
        embedded: Tensor = self.attnpool(tokens)
        return embedded

    def forward(self, pixels: Tensor) -> Tensor:
        """Embeddings (B, E), not normalised."""
        return self.pool(self.encode_tokens(pixels))


def _block(num_inputs: int, width: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(num_inputs, width, 3, stride, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    )
