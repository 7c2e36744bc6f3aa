"""Inputs of an audit: items of a manifest, and judges of an evaluator's folder."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from dico.audit.items import Item
from dico.audit.judges import CosineJudge, Judge
from dico.data.manifest import read_manifest, read_scenes
from dico.facts import Vocabulary

if TYPE_CHECKING:
    from dico.models.evaluator import Evaluator, Weights

Part = Literal["pac", "clip", "generative"]
PARTS: tuple[Part, ...] = ("pac", "clip", "generative")
_IMAGES_AT_ONCE = 64


class Stored(Protocol):
    """Where embeddings of images are kept: `dico.features.FeatureStore` is one."""

    def read(self, keys: Sequence[str], name: str) -> NDArray[Any]:
        """(N, ...) of images by their keys."""


def audit_items(manifest: str | Path, split: str) -> tuple[Vocabulary | None, list[Item]]:
    """The images of one split with captions and facts, and the facts' vocabulary."""
    vocabulary, scenes = read_scenes(manifest, split)
    records = read_manifest(manifest, split)
    return vocabulary, [
        Item(r.image_id, r.sha256, r.captions, scenes.get(r.image_id)) for r in records
    ]


def training_captions(manifest: str | Path) -> list[str]:
    """All captions of the training split."""
    return [text for record in read_manifest(manifest, "train") for text in record.captions]


def judges_of(
    evaluator: str | Path,
    part: Part,
    second: str | Path,
    uris: Mapping[str, str],
    stored: Stored | None = None,
) -> list[Judge]:
    """One part of an evaluator, and all that it is compared with.

    Args:
        evaluator: its folder.
        part: which of its judges is audited: its PAC weights, its base CLIP, its likelihood.
        second: folder of another evaluator, whose parts are second ones too; empty for none.
        uris: {key: URI} of the images that will be asked about.
        stored: their embeddings by the evaluator; where there are none, images are looked at.

    Raises:
        DataError: the evaluator has no such part.
    """
    folder = Path(evaluator)
    own = [part, *(other for other in _parts(folder) if other != part)]
    judges = [_judge(folder, name, uris, stored) for name in own]
    if not second:
        return judges
    others = [name for name in _parts(Path(second)) if name != "clip"]
    return [*judges, *(_judge(Path(second), name, uris, None, "second ") for name in others)]


def _parts(folder: Path) -> list[Part]:
    from dico.models.generative import has_generative

    tuned = (folder / "pac.safetensors").is_file()  # where there are none, pac is clip
    there = {"pac": True, "clip": tuned, "generative": has_generative(folder)}
    return [part for part in PARTS if there[part]]


def _judge(
    folder: Path, part: Part, uris: Mapping[str, str], stored: Stored | None, who: str = ""
) -> Judge:
    from dico.models.evaluator import Evaluator
    from dico.process.device import computing_device

    device = computing_device()
    name = f"{who}{folder.name}, {part}"
    if part == "generative":
        from dico.audit.generative import GenerativeJudge
        from dico.models.generative import FOLDER, GenerativeEvaluator

        generative = GenerativeEvaluator.load(folder / FOLDER, device)
        tower = Evaluator.load(folder, cast("Weights", generative.tower), device)
        tokens = _embedded(tower, uris, lambda pixels: tower.image_tokens(pixels)[0])
        return GenerativeJudge(name, tokens, generative)
    scorer = Evaluator.load(folder, part, device)
    if stored is None:
        return CosineJudge(name, _embedded(scorer, uris, scorer.embed_images), scorer.embed_texts)
    rows = stored.read(list(uris), f"{part}_embedding")
    return CosineJudge(name, dict(zip(uris, rows, strict=True)), scorer.embed_texts)


def _embedded(
    scorer: "Evaluator", uris: Mapping[str, str], embed: Callable[[Any], Any]
) -> dict[str, NDArray[np.floating]]:
    """{key: what ``embed`` makes of the image's pixels}."""
    import torch

    from dico.images.load import load_image
    from dico.process.progress import progress

    rows: dict[str, NDArray[np.floating]] = {}
    keys = list(uris)
    with progress("audit", total=len(keys), unit="image") as bar:
        for start in range(0, len(keys), _IMAGES_AT_ONCE):
            batch = keys[start : start + _IMAGES_AT_ONCE]
            pixels = torch.stack([scorer.preprocess(load_image(uris[key])) for key in batch])
            rows.update(zip(batch, embed(pixels).cpu().numpy(), strict=True))
            bar.advance(len(batch))
    return rows
