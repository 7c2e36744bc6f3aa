"""Trains a registered version again from its lineage, and compares the weights to the bit.

On the CPU the same data, settings, seed, code and library versions give the same weights. A version
that went on from an earlier one is rebuilt from that one, which its lineage does not hold: such a
version differs here.
"""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dico.data.toy.world import is_toy_dataset
from dico.errors import DataError
from dico.process.provenance import code_digest
from dico.registry.version import CAPTIONER, EVALUATOR, LINEAGE, identity
from dico.steps.extract_features import extract_features
from dico.steps.finetune_captioner import finetune_captioner
from dico.steps.pretrain_captioner import pretrain_captioner
from dico.steps.resolve_config import ResolvedConfig, resolve_config
from dico.steps.resolve_dataset import resolve_dataset
from dico.steps.train_evaluator import train_evaluator
from dico.steps.validate_dataset import validate_dataset
from dico.storage import sha256_file, verify_digests


class Rebuilt(NamedTuple):
    """What was registered, and what came out again."""

    registered: dict[str, str]
    """SHA-256 of the evaluator's weights and of the captioner."""
    rebuilt: dict[str, str]
    """The same of what was trained now."""

    @property
    def same(self) -> bool:
        """Whether every bit is the same."""
        return self.registered == self.rebuilt


def rebuild_version(
    version: str, work: str, dataset: str = "", images: str = "", any_code: bool = False
) -> Rebuilt:
    """Trains evaluator and captioner again.

    Args:
        version: folder of the registered version; it is checked by its digests.
        work: folder for the data, the checkpoints and the models; the same folder resumes.
        dataset: where the annotations are now; empty for where they were.
        images: folder of the images, where the annotations do not know.
        any_code: go on though this code is not the one that trained the version.

    Raises:
        DataError: the dataset is not the one of the lineage, or the code is not.
    """
    folder = Path(version)
    verify_digests(folder)
    lineage = json.loads((folder / LINEAGE).read_text(encoding="utf-8"))
    if lineage["code_sha256"] != code_digest() and not any_code:
        raise DataError(
            f"{folder / LINEAGE}: trained by {lineage['code_version']}, and this is other code; "
            "check out that version, or compare all the same with --any-code"
        )
    config = resolve_config(lineage["preset"], lineage["overrides"])
    manifest = _manifest(lineage, config, Path(work), dataset, images)
    captioner, evaluator = _train(lineage["seed"], config, manifest, Path(work))
    return Rebuilt(_digests(folder / CAPTIONER, folder / EVALUATOR), _digests(captioner, evaluator))


def _manifest(
    lineage: Mapping[str, Any], config: ResolvedConfig, work: Path, dataset: str, images: str
) -> str:
    place = dataset or lineage["dataset"]
    if not dataset and is_toy_dataset(place):  # the toy dataset is drawn again
        seed, store = lineage["seed"], str(work / "store")
        place = resolve_dataset("", "", config.toy, seed, store).dataset
    manifest = str(work / "manifest.parquet")
    with tempfile.TemporaryDirectory(prefix="rebuild-") as temporary:
        outcome = validate_dataset(
            dataset=place,
            images=images,
            config=config.validation,
            output_manifest=manifest,
            output_report=f"{temporary}/report.html",
            output_summary=f"{temporary}/summary.json",
        )
    if outcome.ok != "true":
        raise DataError(f"{place}: {outcome.reasons}")
    if outcome.fingerprint != lineage["fingerprint"]:
        raise DataError(
            f"{place}: its fingerprint is {outcome.fingerprint}, and the version was trained on "
            f"{lineage['fingerprint']}; give that dataset by --dataset"
        )
    return manifest


def _train(seed: int, config: ResolvedConfig, manifest: str, work: Path) -> tuple[Path, Path]:
    store, evaluator, features = (str(work / name) for name in ("store", "evaluator", "features"))
    xe, captioner = str(work / "xe"), str(work / "captioner")
    train_evaluator(manifest, config.evaluator, seed, "", store, evaluator)
    extract_features(manifest, evaluator, config.features, store, features)
    common: dict[str, Any] = {
        "manifest": manifest,
        "features": features,
        "decoding": config.decoding,
        "seed": seed,
        "run_key": "",
        "store": store,
    }
    pretrain_captioner(
        captioner_config=config.captioner, config=config.xe, output_captioner=xe, **common
    )
    finetune_captioner(
        captioner=xe,
        evaluator=evaluator,
        config=config.finetune,
        output_captioner=captioner,
        **common,
    )
    return Path(captioner), Path(evaluator)


def _digests(captioner: Path, evaluator: Path) -> dict[str, str]:
    found = {f"evaluator/{p.name}": sha256_file(p) for p in evaluator.glob("*.safetensors")}
    return found | {"captioner": identity(captioner)}
