"""Step: trains the independent evaluator, by which the gate judges and on which nothing is tuned."""

import json
from pathlib import Path

from dico.config_schema import from_json
from dico.data.manifest import fingerprint, read_manifest
from dico.models.evaluator import Evaluator
from dico.models.judge import write_absent_judge
from dico.process.device import computing_device
from dico.steps.train_evaluator import save_trained
from dico.storage import open_store, split_uri
from dico.training.configs import JudgeConfig
from dico.training.determinism import step_seed, use_deterministic_kernels
from dico.training.evaluator import train_evaluator
from dico.training.halves import judges_part
from dico.training.resilience.places import checkpoints_of


def train_judge(
    manifest: str, config: str, seed: int, run_key: str, store: str, output_judge: str
) -> None:
    """Trains a second evaluator on the pictures that the first one does not see.

    Args:
        manifest: Parquet file.
        config: `JudgeConfig` as JSON.
        seed: the run's seed, of which the judge's own follows.
        run_key: name of the checkpoints; empty to derive it.
        store: folder or s3:// prefix of the checkpoints.
        output_judge: folder to write: an evaluator, or a note that there is none.
    """
    settings = from_json(JudgeConfig, config, "judge")
    if not settings.enabled:
        write_absent_judge(output_judge)
        return
    if settings.weights:
        prefix, name = split_uri(settings.weights)
        open_store(prefix).fetch(name, output_judge)
        Evaluator.load(output_judge)
        return
    use_deterministic_kernels()
    dataset = fingerprint(manifest)
    checkpoints = checkpoints_of("train-judge", store, run_key, dataset, config, seed)
    trained = train_evaluator(
        judges_part(read_manifest(manifest, "train"), settings.judge_share),
        read_manifest(manifest, "validation"),
        settings,
        step_seed(seed, 0, "judge"),
        checkpoints,
        computing_device(),
    )
    facts = {"dataset_fingerprint": dataset, "seed": seed, "config": json.loads(config)}
    save_trained(Path(output_judge), trained, facts)
