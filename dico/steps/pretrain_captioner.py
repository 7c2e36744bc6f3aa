"""Step: the captioner's first stage, cross-entropy on human captions."""

import dataclasses
import json
from pathlib import Path

import torch

from dico.config_schema import from_json, to_dict
from dico.data.manifest import fingerprint, read_manifest, read_scenes
from dico.decoding import DecodingConfig
from dico.features.pointer import (
    features_digest,
    features_tokenizer,
    open_features,
    read_pointer,
)
from dico.features.store import FeatureStore
from dico.models.captioner import Captioner
from dico.models.captioner_config import CaptionerSettings
from dico.policy import HuggingFacePolicy, PaperPolicy, Policy, load_policy
from dico.registry.version import HUGGING_FACE_FILES
from dico.storage import sha256_file
from dico.tracking.trackers import tracked
from dico.training.configs import XEConfig
from dico.training.data import CaptioningData
from dico.training.determinism import step_seed, use_deterministic_kernels
from dico.training.distributed import join_world
from dico.training.model_folder import describe_training
from dico.training.pictures import picture_bank
from dico.training.resilience.places import checkpoints_of
from dico.training.validation import Validator
from dico.training.xe import pretrain


def pretrain_captioner(
    manifest: str,
    features: str,
    captioner_config: str,
    config: str,
    decoding: str,
    seed: int,
    run_key: str,
    store: str,
    output_captioner: str,
    start_from: str = "",
) -> None:
    """Trains a captioner by cross-entropy: the paper's from random weights, others from theirs.

    Args:
        manifest: Parquet file.
        features: pointer written by extract_features.
        captioner_config: `CaptionerSettings` as JSON; tower and vocabulary fill in their sizes.
        config: `XEConfig` as JSON.
        decoding: `DecodingConfig` as JSON, for validation.
        seed: seed of the weights, the order and dropout.
        run_key: name of the checkpoints; empty to derive it.
        store: folder or s3:// prefix of the checkpoints.
        output_captioner: folder to write.
        start_from: folder of a captioner trained before, which goes on learning with its own sizes
            and words; empty for a new one.
    """
    captioner = from_json(CaptionerSettings, captioner_config, "captioner")
    settings = from_json(XEConfig, config, "xe")
    search = from_json(DecodingConfig, decoding, "decoding")
    use_deterministic_kernels()
    dataset = fingerprint(manifest)
    digest = features_digest(features)
    start = _digests(start_from) if start_from else _start_digest(captioner)
    inputs = (dataset, digest, captioner_config, *start, config, decoding, seed)
    checkpoints = checkpoints_of("pretrain-captioner", store, run_key, *inputs)
    stored = open_features(features)
    with join_world() as world, tracked("pretrain_captioner", to_dict(settings), world.is_main):
        torch.manual_seed(step_seed(seed, 0, "captioner"))
        policy = load_policy(start_from) if start_from else _start(captioner, features, stored)
        policy.module.to(world.device)
        train = read_manifest(manifest, "train")
        data = CaptioningData(train, stored, world.device, picture_bank(policy))
        validation = read_manifest(manifest, "validation")[: settings.num_validation_images]
        facts_known = read_scenes(manifest, "validation")
        validator = Validator(validation, stored, search, None, *facts_known)
        state = pretrain(policy, data, validator, settings, seed, checkpoints, world)
        if world.is_main:
            policy.save(output_captioner)
            facts = {
                "dataset_fingerprint": dataset,
                "features_sha256": digest,
                "seed": seed,
                "tower": read_pointer(features)["tower"],
                "captioner": to_dict(captioner),
                "config": json.loads(config),
                "decoding": to_dict(search),
                "best_step": state.best_step,
            }
            describe_training(Path(output_captioner), state.history, facts)


def _start(settings: CaptionerSettings, features: str, stored: FeatureStore) -> Policy:
    """The policy before training, on the CPU."""
    if settings.architecture == "huggingface":
        from dico.models.huggingface import open_checkpoint

        return HuggingFacePolicy(open_checkpoint(settings.huggingface()))
    tokenizer = features_tokenizer(features)
    (num_tokens, width), _ = stored.spec.arrays["tokens"]
    sizes = dataclasses.replace(
        settings.sizes(),
        feature_width=width,
        num_image_positions=num_tokens,
        vocab_size=tokenizer.vocab_size,
    )
    return PaperPolicy(Captioner(sizes, tokenizer))


def _start_digest(settings: CaptionerSettings) -> list[str]:
    """Digests of the model that training starts from, other than random weights."""
    if settings.architecture == "paper":
        return []
    folder = Path(settings.checkpoint)
    files = [folder / name for name in ("config.json", *HUGGING_FACE_FILES)]
    return _digests(settings.checkpoint) + [sha256_file(path) for path in files if path.is_file()]


def _digests(folder: str) -> list[str]:
    return [sha256_file(path) for path in sorted(Path(folder).glob("*.safetensors"))]
