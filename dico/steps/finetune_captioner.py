"""Step: the captioner's second stage, DiCO on the evaluator's judgement (or SCST)."""

import functools
import json
from collections.abc import Callable
from pathlib import Path

import torch

from dico.config_schema import from_json, to_dict
from dico.data.manifest import fingerprint, read_manifest
from dico.decoding import DecodingConfig
from dico.features.pointer import features_digest, open_features, read_pointer
from dico.models.evaluator import CONFIG_FILE, Evaluator, Weights
from dico.policy import Policy, load_policy
from dico.rewards import RetokenisedReward, Reward, RewardContext, build_reward
from dico.storage import sha256_file
from dico.training.configs import FinetuneConfig
from dico.training.data import CaptioningData
from dico.training.determinism import use_deterministic_kernels
from dico.training.distributed import join_world
from dico.training.finetune import finetune
from dico.training.model_folder import describe_training
from dico.training.pictures import picture_bank
from dico.training.resilience.places import checkpoints_of
from dico.training.validation import Validator


def finetune_captioner(
    manifest: str,
    features: str,
    captioner: str,
    evaluator: str,
    config: str,
    decoding: str,
    seed: int,
    run_key: str,
    store: str,
    output_captioner: str,
) -> None:
    """Fine-tunes a pre-trained captioner.

    Args:
        manifest: Parquet file.
        features: pointer written by extract_features.
        captioner: folder of the captioner to start from, and to stay close to.
        evaluator: folder of the evaluator that rewards embed captions with, by its PAC weights,
            its base CLIP or both.
        config: `FinetuneConfig` as JSON.
        decoding: `DecodingConfig` as JSON: the candidates' search, and validation.
        seed: seed of the order.
        run_key: name of the checkpoints; empty to derive it.
        store: folder or s3:// prefix of the checkpoints.
        output_captioner: folder to write.
    """
    settings = from_json(FinetuneConfig, config, "finetune")
    search = from_json(DecodingConfig, decoding, "decoding")
    use_deterministic_kernels()
    dataset = fingerprint(manifest)
    start = sha256_file(Path(captioner) / "model.safetensors")
    judged_by = _judged_by(evaluator)
    inputs = (dataset, features_digest(features), start, *judged_by, config, decoding, seed)
    checkpoints = checkpoints_of("finetune-captioner", store, run_key, *inputs)
    stored = open_features(features)
    with join_world() as world:
        policy = load_policy(captioner, world.device)
        judges = _judges(evaluator, world.device)
        train = read_manifest(manifest, "train")
        data = CaptioningData(train, stored, world.device, picture_bank(policy))
        validation = read_manifest(manifest, "validation")[: settings.num_validation_images]
        validator = Validator(validation, stored, search, judges("pac"))
        state = finetune(
            policy,
            data,
            _reward(settings.reward, judges, policy, [record.captions for record in train]),
            validator,
            settings,
            search,
            seed,
            checkpoints,
            world,
        )
        if world.is_main:
            policy.save(output_captioner)
            facts = {
                "dataset_fingerprint": dataset,
                "reference_model_sha256": start,
                "evaluator_digest": judges("pac").digest,
                "seed": seed,
                "tower": read_pointer(features)["tower"],
                "config": json.loads(config),
                "decoding": to_dict(search),
                "best_step": state.best_step,
            }
            describe_training(Path(output_captioner), state.history, facts)


def _judged_by(evaluator: str) -> list[str]:
    """Digests of what rewards may depend on."""
    paths = [
        Path(evaluator) / name for name in (CONFIG_FILE, "clip.safetensors", "pac.safetensors")
    ]
    return [sha256_file(path) for path in paths if path.is_file()]


def _judges(evaluator: str, device: torch.device) -> Callable[[Weights], Evaluator]:
    """The evaluator by its weights, loaded when first asked for; it is given images' embeddings."""
    return functools.cache(lambda weights: Evaluator.load(evaluator, weights, device).drop_vision())


def _reward(
    expression: str,
    judges: Callable[[Weights], Evaluator],
    policy: Policy,
    corpus: list[tuple[str, ...]],
) -> Reward:
    """The reward on the policy's ids, which go through their text where the judge has others."""
    judge = judges("pac")
    reward = build_reward(expression, RewardContext(judges, judge.tokenizer, corpus))
    if policy.tokenizer == judge.tokenizer:
        return reward
    limit = judge.config.clip.context_length
    return RetokenisedReward(reward, judge.tokenizer, limit)
