"""Two published towers joined: an image backbone of timm and a sentence encoder of transformers.

The towers were trained apart and stay as they are; a linear map of each into one space joins them,
and these maps are all that is trained (`dico.training.projections`). A text's embedding before its
map is the mean over its tokens, as sentence-transformers pools (Reimers and Gurevych 2019,
arXiv 1908.10084).

B images, N texts, P image tokens, F width of an image token, S width of a text token, E embedding.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dico.errors import ConfigError, one_line
from dico.models.encoders import timm, transformers
from dico.models.encoders.library import LibraryEncoder
from dico.models.encoders.protocol import TextTokenizer
from dico.models.encoders.text import PAD
from dico.models.torchvision_compat import ensure_torchvision_imports

INITIAL_SCALE = 1 / 0.07
"""CLIP's inverse temperature before training."""


class JoinedTowers(LibraryEncoder):
    """A dual encoder of two frozen towers; image tokens are the backbone's last feature map."""

    def __init__(self, vision: timm.TimmTower, text: Any, embed_dim: int) -> None:
        super().__init__()
        self.vision, self.text = vision, text
        self.visual_projection = nn.Linear(vision.width, embed_dim)
        self.text_projection = nn.Linear(text.config.hidden_size, embed_dim)
        self.logit_scale = nn.Parameter(torch.tensor(INITIAL_SCALE).log())

    def pooled_images(self, pixels: Tensor) -> Tensor:
        """(B, F) of pixels (B, 3, H, W): what the images' map reads."""
        return self.vision.features(pixels)[1]

    def pooled_texts(self, tokens: Tensor) -> Tensor:
        """(N, S) of ids (N, T): what the texts' map reads."""
        mask = tokens != PAD
        # PAD is not in its vocabulary: any id does there, since the mask keeps it out.
        asked = {"input_ids": tokens.masked_fill(~mask, 0), "attention_mask": mask.long()}
        hidden: Tensor = self.text(**asked).last_hidden_state
        weights = mask[..., None].to(hidden)  # (N, T, 1), 1 at tokens and 0 at padding
        return (hidden * weights).sum(dim=1) / weights.sum(dim=1)

    def encode_pixels(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        tokens, pooled = self.vision.features(pixels)
        return tokens, F.normalize(self.visual_projection(pooled), dim=-1)

    def encode_text(self, tokens: Tensor) -> Tensor:
        return F.normalize(self.text_projection(self.pooled_texts(tokens)), dim=-1)

    def projections(self) -> list[nn.Parameter]:
        return [*self.visual_projection.parameters(), *self.text_projection.parameters()]

    def drop_vision(self) -> None:
        del self.vision
        del self.visual_projection


def build(settings: Mapping[str, Any]) -> JoinedTowers:
    """The encoder of ``settings``.

    Args:
        settings: ``vision`` as `timm.build` takes it, ``text`` as in transformers' config.json, and
            ``embed_dim``, the width E.

    Raises:
        ConfigError: a library has no such tower.
    """
    ensure_torchvision_imports()
    import transformers as library

    vision = timm.build(settings["vision"])
    try:
        config = library.AutoConfig.for_model(**settings["text"])
        text = library.AutoModel.from_config(config, dtype=torch.float32, add_pooling_layer=False)
    except Exception as error:
        raise ConfigError(f"encoder: transformers cannot build it: {one_line(error)}") from None
    return JoinedTowers(vision, text, settings["embed_dim"])


def tokenizer(settings: Mapping[str, Any], folder: Path, context_length: int) -> TextTokenizer:
    """The sentence encoder's own tokenizer."""
    return transformers.tokenizer({"config": settings["text"]}, folder, context_length)
