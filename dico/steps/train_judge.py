"""Step: trains the independent evaluator, by which the gate judges and on which nothing is tuned."""

import json
from pathlib import Path

from dico.configuration.schema import from_json, to_dict
from dico.data.manifest import fingerprint, read_manifest
from dico.models.judge import write_absent_judge
from dico.process.device import computing_device
from dico.steps.published import pins_of, publish_evaluator
from dico.steps.train_evaluator import save_trained
from dico.tracking import rows_made
from dico.tracking.trackers import tracked
from dico.training.configs import JudgeConfig
from dico.training.determinism import step_seed, use_deterministic_kernels
from dico.training.evaluator import train_evaluator
from dico.training.halves import judges_part
from dico.training.joined import join_towers
from dico.training.resilience.places import checkpoints_of
from dico.weights.packages import is_packaged


def train_judge(
    manifest: str,
    config: str,
    seed: int,
    run_key: str,
    store: str,
    output_judge: str,
    weights: str = "{}",
) -> None:
    """Trains a second evaluator on the images that the first one does not see.

    Args:
        manifest: Parquet file.
        config: `JudgeConfig` as JSON.
        seed: the run's seed, of which the judge's own follows.
        run_key: name of the checkpoints; empty to derive it.
        store: folder or s3:// prefix of the checkpoints.
        output_judge: folder to write: an evaluator, or a note that there is none.
        weights: pins that prepare_weights gave for the judge; ``{}`` to make them now.
    """
    settings = from_json(JudgeConfig, config, "judge")
    if not settings.enabled:
        write_absent_judge(output_judge)
        return
    use_deterministic_kernels()
    dataset, device, folder = fingerprint(manifest), computing_device(), Path(output_judge)
    images = judges_part(read_manifest(manifest, "train"), settings.judge_share)
    held_out = read_manifest(manifest, "validation")
    own_seed = step_seed(seed, 0, "judge")
    facts = {"dataset_fingerprint": dataset, "seed": seed, "config": json.loads(config)}
    if is_packaged(settings.weights):
        with tracked("train_judge", to_dict(settings)):
            joined = join_towers(images, held_out, settings, own_seed, device)
            rows_made(joined.history)
        joined.save(folder, facts)
        return
    pins = pins_of(settings, "judge", store, weights)
    inputs = (dataset, config, seed, *(pin.sha256 for pin in pins.values()))
    checkpoints = checkpoints_of("train-judge", store, run_key, *inputs)
    if pins:
        data = (images, held_out, own_seed, checkpoints, facts)
        with tracked("train_judge", to_dict(settings)):
            publish_evaluator(folder, settings, pins, *data)
        return
    with tracked("train_judge", to_dict(settings)):
        trained = train_evaluator(images, held_out, settings, own_seed, checkpoints, device)
    save_trained(folder, trained, facts)
