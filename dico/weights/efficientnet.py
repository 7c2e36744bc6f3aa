"""EfficientNet-Lite as efficientnet_lite_pytorch names its weights, into timm's names."""

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

from dico.errors import DataError

_STEM_AND_HEAD = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
}
_IN_BLOCK = {"_expand_conv": "conv_pw", "_depthwise_conv": "conv_dw", "_project_conv": "conv_pwl"}
_PLAIN_NORMS = {"_bn1": "bn1", "_bn2": "bn2"}
_EXPANDED_NORMS = {"_bn0": "bn1", "_bn1": "bn2", "_bn2": "bn3"}
_BLOCK = re.compile(r"_blocks\.(\d+)\.(_\w+)\.(\w+)")


def to_timm(tensors: Mapping[str, Tensor], blocks_per_stage: Sequence[int]) -> dict[str, Tensor]:
    """The weights under timm's names; the classifier of ImageNet's classes is left out.

    Args:
        tensors: the published state dict.
        blocks_per_stage: how timm groups the blocks, which are numbered through in the file.

    Raises:
        DataError: a weight is no part of such a network.
    """
    places = [(stage, i) for stage, count in enumerate(blocks_per_stage) for i in range(count)]
    return {
        _name(name, places): value for name, value in tensors.items() if not name.startswith("_fc.")
    }


def _name(name: str, places: Sequence[tuple[int, int]]) -> str:
    layer, _, kind = name.rpartition(".")
    if layer in _STEM_AND_HEAD:
        return f"{_STEM_AND_HEAD[layer]}.{kind}"
    found = _BLOCK.fullmatch(name)
    if found is None or int(found[1]) >= len(places):
        raise DataError(f"weights: {name} is no part of an EfficientNet-Lite")
    stage, block = places[int(found[1])]
    return f"blocks.{stage}.{block}.{_in_block(found[2], plain=stage == 0)}.{found[3]}"


def _in_block(layer: str, plain: bool) -> str:
    """The name in a block of timm; those of the first stage do not expand, and count from the next layer."""
    norms = _PLAIN_NORMS if plain else _EXPANDED_NORMS
    if plain and layer == "_project_conv":
        return "conv_pw"
    return norms.get(layer) or _IN_BLOCK[layer]
