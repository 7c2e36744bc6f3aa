"""Encoders of other libraries by their settings; a library is imported only when it is used."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from dico.errors import ConfigError
from dico.models.encoders.config import EncoderConfig
from dico.models.encoders.protocol import TextTokenizer

LIBRARIES = {
    "open_clip": "dico.models.encoders.open_clip",
    "transformers": "dico.models.encoders.transformers",
    "timm": "dico.models.encoders.timm",
    "towers": "dico.models.encoders.towers",
}
"""Module of each library. It holds ``build(settings)``, which makes an encoder without reading any
weights, and, where the encoder reads text, ``tokenizer(settings, folder)``."""


def build_encoder(library: str, settings: Mapping[str, Any]) -> nn.Module:
    """The encoder in eval mode, its weights random, without asking any network.

    Raises:
        ConfigError: no such library, or it cannot build what the settings describe.
    """
    encoder: nn.Module = _module(library).build(settings)
    return encoder.eval()


def load_tokenizer(config: EncoderConfig, folder: Path) -> TextTokenizer:
    """What ``config``'s encoder reads texts with, from the tokenizer's folder."""
    made = _module(config.library).tokenizer(config.settings, folder, config.context_length)
    return cast(TextTokenizer, made)


@torch.no_grad()
def measured(
    library: str, settings: Mapping[str, Any], encoder: Any, image_size: int, context_length: int
) -> EncoderConfig:
    """The config of an encoder, with the sizes of what it makes of a black image."""
    tokens, embeddings = encoder.encode_pixels(torch.zeros(1, 3, image_size, image_size))
    return EncoderConfig(
        library,
        settings,
        image_size,
        num_tokens=tokens.shape[1],
        token_width=tokens.shape[2],
        embed_dim=embeddings.shape[1],
        context_length=context_length,
    )


def _module(library: str) -> Any:
    if library not in LIBRARIES:
        known = ", ".join(LIBRARIES)
        raise ConfigError(f"encoder: library {library!r} is unknown; known are {known}")
    return importlib.import_module(LIBRARIES[library])
