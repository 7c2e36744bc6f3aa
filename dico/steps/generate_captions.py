"""Step: captions of one split by a captioner, from stored features or from pixels."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from dico.configuration.schema import from_dict, from_json
from dico.data.manifest import Record, read_manifest
from dico.decoding import DecodingConfig
from dico.evaluation.captions_file import write_captions
from dico.features.pointer import open_features
from dico.models.captioner_config import CaptionerSettings
from dico.policy import Policy, load_policy
from dico.policy.captioning import Caption, caption_images, caption_stored
from dico.process.device import computing_device
from dico.steps.pretrain_captioner import published_captioner
from dico.storage.json_files import read_object
from dico.training.determinism import use_deterministic_kernels
from dico.training.malloc import keep_freed_memory
from dico.training.model_folder import TRAINING_FILE
from dico.weights.pins import pins_from_json


def generate_captions(
    manifest: str, features: str, captioner: str, split: str, decoding: str, output_captions: str
) -> None:
    """Captions the images of ``split``.

    A captioner that was trained from a published one is given its captions beside its own.
    """
    search = from_json(DecodingConfig, decoding, "decoding")
    use_deterministic_kernels()
    keep_freed_memory()
    records = read_manifest(manifest, split)
    policy, before = load_policy(captioner, computing_device()), pretrained(captioner)
    captions = _captions(policy, features, records, search)
    theirs = _captions(before, features, records, search) if before is not None else None
    write_captions(output_captions, (record.image_id for record in records), captions, theirs)


def pretrained(captioner: str) -> Policy | None:
    """The published captioner that ``captioner`` was trained from by cross-entropy, if it was."""
    facts = read_object(Path(captioner) / TRAINING_FILE, "what training wrote", optional=True)
    pins = pins_from_json(json.dumps(facts.get("published") or {}))
    if "checkpoint" not in pins or not facts["config"].get("num_steps"):
        return None
    settings = from_dict(CaptionerSettings, facts["captioner"], "captioner")
    policy = published_captioner(settings, pins["checkpoint"])
    policy.module.to(computing_device())
    return policy


def _captions(
    policy: Policy, features: str, records: Sequence[Record], search: DecodingConfig
) -> Iterator[Caption]:
    if policy.preprocess is None:
        keys = [record.sha256 for record in records]
        return caption_stored(policy, open_features(features), keys, search)
    return caption_images(policy, None, [record.uri for record in records], search)
