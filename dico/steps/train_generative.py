"""Step: trains a generative evaluator on stored features, beside an evaluator that has none."""

import dataclasses
import json
import shutil
from pathlib import Path

import torch

from dico.configuration.schema import from_json, to_dict
from dico.data.manifest import fingerprint, read_manifest, read_scenes
from dico.decoding import DecodingConfig
from dico.features.pointer import features_tokenizer, open_features, read_pointer
from dico.models.captioner import Captioner
from dico.models.captioner_config import CaptionerSettings
from dico.models.generative import FOLDER
from dico.storage import sha256_file, write_digests
from dico.tracking.trackers import tracked
from dico.training.configs import EvaluatorTrainingConfig, XEConfig
from dico.training.determinism import step_seed, use_deterministic_kernels
from dico.training.distributed import join_world
from dico.training.generative import PartlyBlindData
from dico.training.generative import train_generative as train
from dico.training.halves import evaluators_part
from dico.training.malloc import keep_freed_memory
from dico.training.model_folder import describe_training
from dico.training.resilience.places import checkpoints_of
from dico.training.validation import Validator


def train_generative(
    manifest: str,
    features: str,
    evaluator: str,
    evaluator_config: str,
    captioner_config: str,
    config: str,
    seed: int,
    run_key: str,
    store: str,
    output_evaluator: str,
) -> None:
    """Copies the evaluator, and adds a captioner that scores captions by their likelihood.

    Args:
        manifest: Parquet file.
        features: pointer written by extract_features, to the tower that it reads.
        evaluator: folder of the evaluator.
        evaluator_config: `EvaluatorTrainingConfig` as JSON: ``alpha``, ``blind_share``,
            ``judge_share``.
        captioner_config: `CaptionerSettings` as JSON: its sizes.
        config: `XEConfig` as JSON.
        seed: seed of initialisation and order.
        run_key: name of the checkpoints; empty to derive it.
        store: folder or s3:// prefix of the checkpoints.
        output_evaluator: folder to write.
    """
    evaluator_settings = from_json(EvaluatorTrainingConfig, evaluator_config, "evaluator")
    settings = from_json(XEConfig, config, "xe")
    use_deterministic_kernels()
    keep_freed_memory()
    pointer, dataset = read_pointer(features), fingerprint(manifest)
    inputs = (dataset, pointer["digest"], evaluator_config, captioner_config, config, seed)
    checkpoints = checkpoints_of("train-generative", store, run_key, *inputs)
    stored, tokenizer = open_features(features), features_tokenizer(features)
    (num_tokens, width), _ = stored.spec.arrays["tokens"]
    sizes = dataclasses.replace(
        from_json(CaptionerSettings, captioner_config, "captioner").sizes(),
        feature_width=width,
        num_image_positions=num_tokens,
        vocab_size=tokenizer.vocab_size,
    )
    records = evaluators_part(read_manifest(manifest, "train"), evaluator_settings.judge_share)
    validation = read_manifest(manifest, "validation")[: settings.num_validation_images]
    scenes = read_scenes(manifest, "validation")
    with join_world() as world, tracked("train_generative", to_dict(settings), world.is_main):
        torch.manual_seed(step_seed(seed, 0, "generative"))
        captioner = Captioner(sizes, tokenizer).to(world.device)
        data = PartlyBlindData(records, stored, world.device, evaluator_settings.blind_share)
        longest = min(DecodingConfig.max_tokens, sizes.num_text_positions)
        search = DecodingConfig(max_tokens=longest)
        validator = Validator(validation, stored, search, None, *scenes)
        made, state = train(
            captioner, data, validator, settings, evaluator_settings.alpha, seed, checkpoints, world
        )
        if world.is_main:
            made.tower = pointer["tower"]
            folder = Path(output_evaluator)
            shutil.copytree(evaluator, folder, dirs_exist_ok=True)
            made.save(folder / FOLDER)
            facts = {
                "dataset_fingerprint": dataset,
                "evaluator_sha256": sha256_file(Path(evaluator) / "pac.safetensors"),
                "seed": seed,
                "tower": pointer["tower"],
                "captioner": to_dict(sizes),
                "config": json.loads(config),
            }
            describe_training(folder / FOLDER, state.history, facts)
            write_digests(folder)
