"""A plain convolutional tower of fine stride, for small images and small data.

CLIP's ResNet sees an image of 64 pixels as 2 x 2 cells and a vision transformer learns little from
thousands of images; three stages of this one give 8 x 8 cells, fine enough for shapes, at a fiftieth
of the ResNet's parameters. As VGG (Simonyan and Zisserman 2015, arXiv 1409.1556) with batch norm: each
stage is 3 x 3 convolutions and a max pooling that halves the side, the next is twice as wide, and one
more convolution makes the tokens. Weights start as He et al. 2015 (arXiv 1502.01852) has it for ReLUs.
Pooled as CLIP's ResNet is.
"""

from torch import Tensor, nn

from dico.models.clip_config import VisionConfig
from dico.models.resnet import AttentionPool


class PlainTower(nn.Module):
    """Stages of convolutions and max pooling, a last convolution, and an attention pooling."""

    def __init__(self, config: VisionConfig, embed_dim: int) -> None:
        super().__init__()
        assert isinstance(config.layers, tuple)
        stages, inputs = [], 3
        for index, num_blocks in enumerate(config.layers):
            width = config.width << index
            blocks = [_block(width if block else inputs, width) for block in range(num_blocks)]
            stages.append(nn.Sequential(*blocks, nn.MaxPool2d(2)))
            inputs = width
        self.stages = nn.Sequential(*stages, _block(inputs, config.token_width))
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


def _block(num_inputs: int, width: int) -> nn.Sequential:
    convolution = nn.Conv2d(num_inputs, width, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU())
