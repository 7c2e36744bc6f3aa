"""Vision towers of timm: any of its backbones feeds a captioner with its last feature map."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dico.errors import ConfigError, one_line
from dico.models.encoders.library import as_tokens
from dico.models.torchvision_compat import ensure_torchvision_imports


class TimmTower(nn.Module):
    """A backbone without its classifier; image tokens are its last feature map."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        # The layout in which a CPU's depthwise convolutions take the least time.
        self.model = model.to(memory_format=torch.channels_last)

    @property
    def width(self) -> int:
        """Width F of a pooled image."""
        return int(self.model.num_features)

    def features(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Image tokens (B, P, F) and pooled images (B, F) of pixels (B, 3, H, W)."""
        features = self.model.forward_features(pixels)
        pooled: Tensor = self.model.forward_head(features, pre_logits=True)
        if features.dim() == 4 and getattr(self.model, "output_fmt", "NCHW") == "NHWC":
            features = features.permute(0, 3, 1, 2)  # (B, h, w, F) -> (B, F, h, w)
        return as_tokens(features), pooled

    def encode_pixels(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        tokens, pooled = self.features(pixels)
        return tokens, F.normalize(pooled, dim=-1)


def build(settings: Mapping[str, Any]) -> TimmTower:
    """The tower of ``settings``: ``architecture`` and ``model_args`` as in timm's config.json.

    Raises:
        ConfigError: timm has no such backbone.
    """
    ensure_torchvision_imports()
    import timm

    try:
        model = timm.create_model(
            settings["architecture"],
            pretrained=False,
            num_classes=0,
            **settings.get("model_args", {}),
        )
    except Exception as error:
        raise ConfigError(f"encoder: timm cannot build it: {one_line(error)}") from None
    return TimmTower(model)
