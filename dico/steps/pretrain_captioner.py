"""Step: the captioner's first stage, cross-entropy on human captions."""

import dataclasses
import json
from pathlib import Path

import torch

from dico.configuration.schema import from_json, to_dict
from dico.data.manifest import fingerprint, read_manifest, read_scenes
from dico.decoding import DecodingConfig
from dico.errors import ConfigError
from dico.features.pointer import (
    features_digest,
    features_tokenizer,
    open_features,
    read_pointer,
)
from dico.features.store import FeatureStore
from dico.models.captioner import Captioner
from dico.models.captioner_config import CaptionerSettings
from dico.policy import (
    CaptionerStart,
    HuggingFacePolicy,
    PaperPolicy,
    Policy,
    load_policy,
    save_policy,
    start_captioner,
)
from dico.steps.prepare_weights import resolve_captioner
from dico.storage import open_store, sha256_file
from dico.tracking.trackers import tracked
from dico.training.configs import XEConfig
from dico.training.data import CaptioningData
from dico.training.determinism import step_seed, use_deterministic_kernels
from dico.training.distributed import join_world
from dico.training.model_folder import describe_training
from dico.training.pixel_cache import pixel_cache_of
from dico.training.resilience.places import checkpoints_of
from dico.training.validation import Validator
from dico.training.xe import pretrain
from dico.weights.keeping import at_hand, keep
from dico.weights.origin import base_of
from dico.weights.pins import Pin, Pins, pins_from_json, pins_to_json


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
    weights: str = "{}",
) -> None:
    """Trains a captioner by cross-entropy: the paper's from random weights, others from theirs."""
    captioner = from_json(CaptionerSettings, captioner_config, "captioner")
    settings = from_json(XEConfig, config, "xe")
    search = from_json(DecodingConfig, decoding, "decoding")
    published = captioner.architecture == "huggingface"
    if not settings.num_steps and not start_from and captioner.architecture == "paper":
        raise ConfigError(
            "xe.num_steps: 0 leaves a new captioner at random; give captioner.architecture="
            "huggingface and captioner.checkpoint, or some steps"
        )
    use_deterministic_kernels()
    dataset = fingerprint(manifest)
    digest = features_digest(features)
    pins = _pins(captioner, weights, store) if published and not start_from else {}
    start = _digests(start_from) if start_from else [pin.sha256 for pin in pins.values()]
    inputs = (dataset, digest, captioner_config, *start, config, decoding, seed)
    checkpoints = checkpoints_of("pretrain-captioner", store, run_key, *inputs)
    stored = open_features(features)
    with join_world() as world, tracked("pretrain_captioner", to_dict(settings), world.is_main):
        torch.manual_seed(step_seed(seed, 0, "captioner"))
        policy = (
            load_policy(start_from) if start_from else _start(captioner, features, stored, pins)
        )
        policy.module.to(world.device)
        train = read_manifest(manifest, "train")
        data = CaptioningData(train, stored, world.device, pixel_cache_of(policy))
        validation = read_manifest(manifest, "validation")[: settings.num_validation_images]
        facts_known = read_scenes(manifest, "validation")
        validator = Validator(validation, stored, search, None, *facts_known)
        state = pretrain(policy, data, validator, settings, seed, checkpoints, world)
        if world.is_main:
            save_policy(policy, output_captioner)
            facts = {
                "dataset_fingerprint": dataset,
                "features_sha256": digest,
                "seed": seed,
                "tower": read_pointer(features)["tower"],
                "captioner": to_dict(captioner),
                "config": json.loads(config),
                "decoding": to_dict(search),
                "best_step": state.best_step,
                "published": json.loads(pins_to_json(pins)),
                "base": base_of(Path(start_from)) if start_from else {},
            }
            describe_training(Path(output_captioner), state.history, facts)


def _start(settings: CaptionerSettings, features: str, stored: FeatureStore, pins: Pins) -> Policy:
    """The policy before training, on the CPU."""
    if settings.architecture == "huggingface":
        return published_captioner(settings, pins["checkpoint"])
    tokenizer = features_tokenizer(features)
    (num_tokens, width), _ = stored.spec.arrays["tokens"]
    if settings.architecture != "paper":
        return start_captioner(CaptionerStart(settings, tokenizer, num_tokens, width))
    sizes = dataclasses.replace(
        settings.sizes(),
        feature_width=width,
        num_image_positions=num_tokens,
        vocab_size=tokenizer.vocab_size,
    )
    return PaperPolicy(Captioner(sizes, tokenizer))


def published_captioner(settings: CaptionerSettings, pin: Pin) -> Policy:
    """A published captioner as it is, on the CPU."""
    from dico.models.huggingface import open_checkpoint

    with at_hand(pin) as folder:
        own = dataclasses.replace(settings.huggingface(), checkpoint=str(folder))
        return HuggingFacePolicy(open_checkpoint(own))


def _pins(settings: CaptionerSettings, weights: str, store: str) -> Pins:
    """The pins that prepare_weights made, or made now where a stage is run by itself."""
    pins = pins_from_json(weights)
    if pins:
        return pins
    opened = open_store(store)
    return {
        role: keep(found, opened) for role, found in resolve_captioner(settings, opened).items()
    }


def _digests(folder: str) -> list[str]:
    return [sha256_file(path) for path in sorted(Path(folder).glob("*.safetensors"))]
