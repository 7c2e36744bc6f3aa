"""Limits of a server."""

import tomllib
from dataclasses import dataclass
from typing import Any

from dico.configuration.ranges import NonNegativeFloat, PositiveFloat, PositiveInt, Ranged
from dico.configuration.schema import check, from_dict
from dico.errors import ConfigError
from dico.images.limits import MAX_PIXELS
from dico.process.limits import num_threads


@dataclass(frozen=True)
class ServingConfig(Ranged):
    """What a server admits, and how it gathers requests."""

    max_batch: PositiveInt = 16
    """Most images captioned at once."""
    max_wait_ms: NonNegativeFloat = 5.0
    """Longest wait for others to share a batch with, once an image is ready, milliseconds."""
    max_queue: PositiveInt = 256
    """Most images under way, from the first byte of the request to the answer; more get 429."""
    max_images: PositiveInt = 16
    """Most images in one request."""
    max_body_bytes: PositiveInt = 20_000_000
    """Largest body of a request, bytes."""
    max_bytes_under_way: int = 500_000_000
    """Most bytes of all bodies held at once; more get 429."""
    max_pixels: PositiveInt = MAX_PIXELS
    """Largest width x height of an image."""
    max_image_seconds: PositiveFloat = 5.0
    """Deadline for decoding one image, seconds; its decoder is replaced after that."""
    max_body_seconds: PositiveFloat = 30.0
    """Deadline for receiving a request's body, seconds."""
    num_decoders: PositiveInt = 2
    """Child processes that decode images."""
    num_captions: PositiveInt = 3
    """Captions that /caption answers with, the likeliest first; at most the number of beams."""
    linger_seconds: NonNegativeFloat = 1.0
    """After SIGTERM the server is not ready but still accepts for this long, so that whoever
    routes requests to it can notice."""
    drain_seconds: NonNegativeFloat = 30.0
    """Longest wait for requests under way after that, seconds."""

    def __post_init__(self) -> None:
        super().__post_init__()
        fits = self.max_body_bytes <= self.max_bytes_under_way
        check(fits, "max_body_bytes", self.max_body_bytes, "must not exceed max_bytes_under_way")
        enough = self.max_images <= self.max_queue
        check(enough, "max_images", self.max_images, "must not exceed max_queue")


def read_settings(text: str) -> ServingConfig:
    """The limits that ``name=value`` pairs, separated by white space, make of the defaults.

    There are as many decoders as processors where no number is given.

    Raises:
        ConfigError: unknown name, wrong type or value out of range.
    """
    values: dict[str, Any] = {"num_decoders": min(8, num_threads())}
    for pair in text.split():
        name, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"settings: expected name=value, got {pair!r}")
        try:
            values[name] = tomllib.loads(f"value = {value}")["value"]
        except (ValueError, RecursionError):
            values[name] = value
    return from_dict(ServingConfig, values, "settings")
