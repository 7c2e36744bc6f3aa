"""Settings of an encoder that its own library builds."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from dico.configuration.schema import check


@dataclasses.dataclass(frozen=True)
class EncoderConfig:
    """What an encoder is, beside its weights. Sizes were measured on the built model."""

    library: str
    """Who builds it: a name in `dico.models.encoders.build.LIBRARIES`."""
    settings: Mapping[str, Any]
    """The library's own settings, JSON values."""
    image_size: int
    """Side of the square that it sees, pixels."""
    num_tokens: int
    """Image tokens P."""
    token_width: int
    """Width F of an image token."""
    embed_dim: int
    """Width E of the shared embedding, or of the pooled image where it reads no text."""
    context_length: int = 0
    """Longest text, tokens; 0 where it reads no text and can only be a captioner's tower."""

    def __post_init__(self) -> None:
        for name in ("image_size", "num_tokens", "token_width", "embed_dim"):
            check(getattr(self, name) >= 1, name, getattr(self, name), "must be at least 1")
        check(self.context_length >= 0, "context_length", self.context_length, "at least 0")
