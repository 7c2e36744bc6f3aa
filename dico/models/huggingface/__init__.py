"""Captioners of the transformers library: the model, its vocabulary, its pixels and its adapters."""

from dico.models.huggingface.adapters import add_adapters, has_adapters, without_adapters
from dico.models.huggingface.captioner import HuggingFaceCaptioner, Memory
from dico.models.huggingface.families import wrap
from dico.models.huggingface.folder import POLICY_FILE, load, open_checkpoint, save
from dico.models.huggingface.pixels import PixelConfig
from dico.models.huggingface.tokenizer import HuggingFaceTokenizer

__all__ = [
    "POLICY_FILE",
    "HuggingFaceCaptioner",
    "HuggingFaceTokenizer",
    "Memory",
    "PixelConfig",
    "add_adapters",
    "has_adapters",
    "load",
    "open_checkpoint",
    "save",
    "without_adapters",
    "wrap",
]
