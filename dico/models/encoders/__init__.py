"""Dual encoders and vision towers of other libraries, by one protocol."""

from dico.models.encoders.build import LIBRARIES, build_encoder, load_tokenizer, measured
from dico.models.encoders.config import EncoderConfig
from dico.models.encoders.protocol import DualEncoder, TextTokenizer, VisionTower

__all__ = [
    "LIBRARIES",
    "DualEncoder",
    "EncoderConfig",
    "TextTokenizer",
    "VisionTower",
    "build_encoder",
    "load_tokenizer",
    "measured",
]
