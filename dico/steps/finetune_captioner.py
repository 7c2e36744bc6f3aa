"""Step: the captioner's second stage, DiCO on the evaluator's judgement (or SCST)."""

import functools
import json
from collections.abc import Callable
from pathlib import Path

import torch

from dico.audit.audit import read_audit
from dico.configuration.schema import check, from_json, to_dict
from dico.data.manifest import fingerprint, read_manifest, read_scenes
from dico.decoding import DecodingConfig
from dico.features.pointer import features_digest, open_features, read_pointer
from dico.models.evaluator import CONFIG_FILE, Evaluator, Weights
from dico.models.folds import FILE as FOLDS_FILE
from dico.models.folds import Folds
from dico.models.generative import FOLDER, GenerativeEvaluator, tower_of
from dico.policy import Policy, load_policy, save_policy
from dico.rewards import RetokenisedReward, Reward, RewardContext, build_reward
from dico.rewards.names import parse_reward
from dico.rewards.needs import check_evaluator
from dico.rewards.untold import WithoutUntoldWords
from dico.storage import sha256_file
from dico.tracking.trackers import tracked
from dico.training.configs import FinetuneConfig
from dico.training.data import CaptioningData
from dico.training.determinism import use_deterministic_kernels
from dico.training.distributed import join_world
from dico.training.finetune import finetune
from dico.training.model_folder import describe_training, is_as_published
from dico.training.pixel_cache import pixel_cache_of
from dico.training.resilience.places import checkpoints_of
from dico.training.validation import Validator
from dico.weights.origin import base_of


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
    audit: str = "",
) -> None:
    """Fine-tunes a pre-trained captioner."""
    settings = from_json(FinetuneConfig, config, "finetune")
    search = from_json(DecodingConfig, decoding, "decoding")
    use_deterministic_kernels()
    dataset = fingerprint(manifest)
    start = sha256_file(Path(captioner) / "model.safetensors")
    tower = read_pointer(features)["tower"]
    untold = read_audit(audit)["untold_words"] if audit and not settings.pay_untold else []
    rewarded_by = [*_reward_digests(evaluator, settings.reward, tower), *untold]
    inputs = (dataset, features_digest(features), start, *rewarded_by, config, decoding, seed)
    checkpoints = checkpoints_of("finetune-captioner", store, run_key, *inputs)
    stored = open_features(features)
    with join_world() as world, tracked("finetune_captioner", to_dict(settings), world.is_main):
        policy = load_policy(captioner, world.device)
        evaluators = _evaluators(evaluator, world.device)
        train = read_manifest(manifest, "train")
        data = CaptioningData(train, stored, world.device, pixel_cache_of(policy))
        validation = read_manifest(manifest, "validation")[: settings.num_validation_images]
        facts_known = read_scenes(manifest, "validation")
        validator = Validator(validation, stored, search, evaluators("pac"), *facts_known)
        state = finetune(
            policy,
            data,
            _reward(
                settings.reward,
                evaluators,
                functools.partial(GenerativeEvaluator.load, Path(evaluator) / FOLDER, world.device),
                functools.partial(Folds.load, Path(evaluator), world.device),
                policy,
                [record.captions for record in train],
                untold,
            ),
            validator,
            settings,
            search,
            seed,
            checkpoints,
            world,
        )
        if world.is_main:
            save_policy(policy, output_captioner)
            facts = {
                "dataset_fingerprint": dataset,
                "reference_model_sha256": start,
                "evaluator_digest": evaluators("pac").digest,
                "seed": seed,
                "tower": tower,
                "config": json.loads(config),
                "decoding": to_dict(search),
                "best_step": state.best_step,
                "base": base_of(Path(captioner)),
                "starts_as_published": is_as_published(captioner),
            }
            describe_training(Path(output_captioner), state.history, facts)


def _reward_digests(evaluator: str, reward: str, tower: str) -> list[str]:
    """Digests of what rewards may depend on.

    Raises:
        ConfigError: the evaluator, or the stored features, lack what the reward asks for.
    """
    check_evaluator(reward, lambda name: (Path(evaluator) / name).is_file())
    names = [CONFIG_FILE, "clip.safetensors", "pac.safetensors"]
    terms = {name for _, name in parse_reward(reward)}
    if "generative" in terms:
        own = tower_of(evaluator)
        check(tower == own, "features.tower", tower, f"must be {own}, as the generative reward's")
        names += [f"{FOLDER}/model.safetensors", f"{FOLDER}/blind.safetensors"]
    if "self-retrieval" in terms:
        names.append(FOLDS_FILE)
    paths = [Path(evaluator) / name for name in names]
    return [sha256_file(path) for path in paths if path.is_file()]


def _evaluators(evaluator: str, device: torch.device) -> Callable[[Weights], Evaluator]:
    """The evaluator by its weights, loaded when first asked for, without its vision tower: image embeddings are stored."""
    return functools.cache(lambda weights: Evaluator.load(evaluator, weights, device).drop_vision())


def _reward(
    expression: str,
    evaluators: Callable[[Weights], Evaluator],
    generative: Callable[[], GenerativeEvaluator],
    folds: Callable[[], Folds],
    policy: Policy,
    corpus: list[tuple[str, ...]],
    untold: list[str],
) -> Reward:
    """The reward on the policy's ids, which go through their text where the evaluator has others."""
    evaluator = evaluators("pac")
    reward = build_reward(
        expression, RewardContext(evaluators, evaluator.tokenizer, corpus, generative, folds)
    )
    limit = evaluator.config.clip.context_length
    if untold:
        reward = WithoutUntoldWords(reward, untold, evaluator.tokenizer, limit)
    if policy.tokenizer == evaluator.tokenizer:
        return reward
    return RetokenisedReward(reward, evaluator.tokenizer, limit)
