"""Step: the captioner's first stage, cross-entropy on human captions."""

import dataclasses
import json
from pathlib import Path

import torch

from dico.config_schema import from_json, to_dict
from dico.data.features import FeatureSpec
from dico.data.manifest import fingerprint, read_manifest
from dico.decoding import DecodingConfig
from dico.models.captioner import Captioner
from dico.models.captioner_config import CaptionerConfig
from dico.models.tokenizer import Tokenizer
from dico.steps.checkpoints import checkpoints_of
from dico.steps.model_folder import describe_training
from dico.steps.stored_features import (
    features_digest,
    features_tokenizer,
    open_features,
    read_pointer,
)
from dico.training.configs import XEConfig
from dico.training.data import CaptioningData
from dico.training.determinism import step_seed, use_deterministic_kernels
from dico.training.distributed import join_world
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
) -> None:
    """Trains a captioner from random weights by cross-entropy.

    Args:
        manifest: Parquet file.
        features: pointer written by extract_features.
        captioner_config: `CaptionerConfig` as JSON; tower and vocabulary fill in their sizes.
        config: `XEConfig` as JSON.
        decoding: `DecodingConfig` as JSON, for validation.
        seed: seed of the weights, the order and dropout.
        run_key: name of the checkpoints; empty to derive it.
        store: folder or s3:// prefix of the checkpoints.
        output_captioner: folder to write.
    """
    settings = from_json(XEConfig, config, "xe")
    search = from_json(DecodingConfig, decoding, "decoding")
    use_deterministic_kernels()
    dataset = fingerprint(manifest)
    digest = features_digest(features)
    inputs = (dataset, digest, captioner_config, config, decoding, seed)
    checkpoints = checkpoints_of("pretrain-captioner", store, run_key, *inputs)
    stored = open_features(features)
    with join_world() as world:
        tokenizer = features_tokenizer(features)
        sizes = _sizes(captioner_config, stored.spec, tokenizer)
        torch.manual_seed(step_seed(seed, 0, "captioner"))
        captioner = Captioner(sizes, tokenizer).to(world.device)
        data = CaptioningData(read_manifest(manifest, "train"), stored, world.device)
        validation = read_manifest(manifest, "validation")[: settings.num_validation_images]
        validator = Validator(validation, stored, search)
        state = pretrain(captioner, data, validator, settings, seed, checkpoints, world)
        if world.is_main:
            captioner.save(output_captioner)
            facts = {
                "dataset_fingerprint": dataset,
                "features_sha256": digest,
                "seed": seed,
                "tower": read_pointer(features)["tower"],
                "config": json.loads(config),
                "decoding": to_dict(search),
                "best_step": state.best_step,
            }
            describe_training(Path(output_captioner), state.history, facts)


def _sizes(config: str, spec: FeatureSpec, tokenizer: Tokenizer) -> CaptionerConfig:
    (num_tokens, width), _ = spec.arrays["tokens"]
    return dataclasses.replace(
        from_json(CaptionerConfig, config, "captioner"),
        feature_width=width,
        num_image_positions=num_tokens,
        vocab_size=tokenizer.vocab_size,
    )
