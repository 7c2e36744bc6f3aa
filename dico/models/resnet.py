"""CLIP's ResNet tower: a three-convolution stem, anti-aliased strides, attention pooling.

Radford et al. 2021 (arXiv 2103.00020), section 2.4; state-dict names and features of open_clip's
``ModifiedResNet``. The image tokens that a captioner sees are the grid after the last stage, before
the attention pooling.

B images, P grid cells, H heads, D width, E embedding.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dico.models.clip_config import VisionConfig

EXPANSION = 4


class Bottleneck(nn.Module):
    """A residual block that strides by average pooling."""

    def __init__(self, num_inputs: int, width: int, stride: int) -> None:
        super().__init__()
        num_outputs = width * EXPANSION
        self.conv1 = nn.Conv2d(num_inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.avgpool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.conv3 = nn.Conv2d(width, num_outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(num_outputs)
        nn.init.zeros_(self.bn3.weight)
        self.downsample: nn.Module = nn.Identity()
        if stride > 1 or num_inputs != num_outputs:
            self.downsample = nn.Sequential(
                OrderedDict(
                    [
                        ("-1", nn.AvgPool2d(stride)),
                        ("0", nn.Conv2d(num_inputs, num_outputs, 1, bias=False)),
                        ("1", nn.BatchNorm2d(num_outputs)),
                    ]
                )
            )

    def forward(self, grid: Tensor) -> Tensor:
        """(B, C, H, W) to (B, 4 * width, H / stride, W / stride)."""
        out = F.relu(self.bn1(self.conv1(grid)))
        out = self.avgpool(F.relu(self.bn2(self.conv2(out))))
        return F.relu(self.bn3(self.conv3(out)) + self.downsample(grid))


class AttentionPool(nn.Module):
    """One attention layer in which the grid's mean looks at the mean and at every cell."""

    def __init__(self, num_cells: int, width: int, num_heads: int, embed_dim: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.positional_embedding = nn.Parameter(torch.randn(num_cells + 1, width) / width**0.5)
        self.k_proj = nn.Linear(width, width)
        self.q_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.c_proj = nn.Linear(width, embed_dim)
        for layer in (self.k_proj, self.q_proj, self.v_proj, self.c_proj):
            nn.init.normal_(layer.weight, std=width**-0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        """Cells (B, P, D) to embeddings (B, E)."""
        cells = torch.cat([tokens.mean(dim=1, keepdim=True), tokens], dim=1)  # (B, 1 + P, D)
        cells = cells + self.positional_embedding
        query = self._heads(self.q_proj(cells[:, :1]))
        key, value = self._heads(self.k_proj(cells)), self._heads(self.v_proj(cells))
        mixed = F.scaled_dot_product_attention(query, key, value)
        embedded: Tensor = self.c_proj(
            mixed.transpose(1, 2).flatten(1)
        )  # (B, H, 1, D / H) -> (B, D)
        return embedded

    def _heads(self, hidden: Tensor) -> Tensor:
        return hidden.view(*hidden.shape[:2], self.num_heads, -1).transpose(
            1, 2
        )  # (B, H, P, D / H)


class ResNetTower(nn.Module):
    """CLIP's ResNet; widths double and sides halve from stage to stage."""

    def __init__(self, config: VisionConfig, embed_dim: int) -> None:
        super().__init__()
        assert isinstance(config.layers, tuple)
        width = config.width
        self.conv1 = nn.Conv2d(3, width // 2, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width // 2)
        self.conv2 = nn.Conv2d(width // 2, width // 2, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width // 2)
        self.conv3 = nn.Conv2d(width // 2, width, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        inputs, self.num_stages = width, len(config.layers)
        for index, num_blocks in enumerate(config.layers):
            stage = _stage(inputs, width << index, num_blocks, stride=1 if index == 0 else 2)
            self.add_module(f"layer{index + 1}", stage)
            inputs = (width << index) * EXPANSION
        heads = width * 32 // config.head_width
        self.attnpool = AttentionPool(config.num_tokens, config.token_width, heads, embed_dim)

    def encode_tokens(self, pixels: Tensor) -> Tensor:
        """Grid cells (B, P, D), row by row."""
        grid = F.relu(self.bn1(self.conv1(pixels)))
        grid = F.relu(self.bn2(self.conv2(grid)))
        grid = F.avg_pool2d(F.relu(self.bn3(self.conv3(grid))), 2)
        for index in range(self.num_stages):
            grid = self.get_submodule(f"layer{index + 1}")(grid)
        return grid.flatten(2).transpose(1, 2)  # (B, D, h, w) -> (B, h * w, D)

    def pool(self, tokens: Tensor) -> Tensor:
        """Embeddings (B, E), not normalised."""
        embedded: Tensor = self.attnpool(tokens)
        return embedded

    def forward(self, pixels: Tensor) -> Tensor:
        """Embeddings (B, E), not normalised, as open_clip's tower."""
        return self.pool(self.encode_tokens(pixels))


def _stage(num_inputs: int, width: int, num_blocks: int, stride: int) -> nn.Sequential:
    first = Bottleneck(num_inputs, width, stride)
    rest = [Bottleneck(width * EXPANSION, width, 1) for _ in range(num_blocks - 1)]
    return nn.Sequential(first, *rest)
