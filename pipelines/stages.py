"""The stretches of steps that pipelines share: a run's beginning, and a trained, judged model."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kfp import dsl

from dico_components.audit_evaluator import audit_evaluator
from dico_components.caption_with_champion import caption_with_champion
from dico_components.check_pod import check_pod
from dico_components.evaluate_captions import evaluate_captions
from dico_components.extract_features import extract_features
from dico_components.fetch_version import fetch_version
from dico_components.finetune_captioner import finetune_captioner
from dico_components.generate_captions import generate_captions
from dico_components.preflight import preflight
from dico_components.prepare_weights import prepare_weights
from dico_components.pretrain_captioner import pretrain_captioner
from dico_components.register_model import register_model
from dico_components.resolve_config import resolve_config
from dico_components.summarise_run import summarise_run
from dico_components.validate_dataset import validate_dataset
from dico_pipelines.tasks import ComputingPods, Pods

CHECKED = (
    "dataset", "images", "preset", "overrides", "seed", "store", "registry", "model_name",
    "version", "force", "gpu_type", "gpus", "num_nodes", "cpu", "memory", "node_selector",
    "tolerations",
)  # fmt: skip
"""Parameters that the preflight step looks at; not every pipeline has all."""


@dataclass(frozen=True)
class Run:
    """What the steps of a run share after its first one."""

    given: Mapping[str, Any]
    """Parameters of the pipeline."""

    pods: ComputingPods
    """What the steps' pods get."""

    config: Any
    """Settings of each section, JSON."""

    ready: Any
    """What the preflight step found: places, dataset, versions, resources."""

    @property
    def store(self) -> Any:
        """Folder or s3:// prefix of features, checkpoints and notes."""
        return self.ready["store"]


@contextmanager
def begin_run(pipeline: str, purpose: str, given: Mapping[str, Any]) -> Iterator[Run]:
    """The first steps of a run; those of the block follow, and its summary whatever happens.

    Args:
        pipeline: name of the pipeline.
        purpose: train, retrain, evaluate or caption; says what must be there.
        given: the pipeline's parameters.
    """
    pods = Pods(given["image"], given["secret"], given["volume"])
    finish = pods.light(summarise_run(pipeline=pipeline, store=given["store"]), cached=False)
    with dsl.ExitHandler(finish, name=pipeline):
        checked = {name: given[name] for name in CHECKED if name in given}
        ready = pods.light(preflight(purpose=purpose, **checked), cached=False).outputs
        settings = {name: given[name] for name in ("preset", "overrides") if name in given}
        config = None
        if purpose != "caption":
            config = pods.light(resolve_config(**settings)).outputs
        computing = ComputingPods(
            pods.image, pods.secret, pods.volume, ready,
            given["node_selector"], given["tolerations"],
        )  # fmt: skip
        yield Run(given, computing, config, ready)


def fetch_start(run: Run) -> Any:
    """The parts of the registered version that the run starts from, beside the dataset's check."""
    return run.pods.heavy(
        fetch_version(
            registry=run.ready["registry"],
            model_name=run.ready["model_name"],
            version=run.ready["version"],
            store=run.store,
        )
    ).outputs


def check_dataset(run: Run) -> Any:
    """Checks the dataset; its outputs are there only where it passed."""
    ready = run.ready
    return run.pods.heavy(
        validate_dataset(
            dataset=ready["dataset"],
            images=ready["images"],
            version=ready["dataset_version"],
            config=run.config["validation"],
            baseline=ready["baseline"],
            known=ready["known"],
            store=run.store,
        )
    ).outputs


def pin_weights(run: Run) -> Any:
    """Published weights that the settings name, fetched while the dataset is still being checked.

    Not cached: a name may mean another commit now, and what was fetched is in the store.
    """
    sections = {part: run.config[part] for part in ("evaluator", "judge", "captioner")}
    task = run.pods.heavy(prepare_weights(store=run.store, **sections))
    return task.set_caching_options(False).outputs


def check_training_pod(run: Run) -> dsl.PipelineTask:
    """Looks at what a training pod has, while the dataset is still being checked."""
    pod_check = check_pod(gpus=run.given["gpus"], num_nodes=run.given["num_nodes"], store=run.store)
    return run.pods.training(pod_check).set_caching_options(False)


def store_features(run: Run, manifest: Any, evaluator: Any) -> Any:
    """Features of all images, by the evaluator's tower."""
    return run.pods.on_one_gpu(
        extract_features(
            manifest=manifest, evaluator=evaluator, config=run.config["features"], store=run.store
        )
    ).outputs["features"]


def audit(run: Run, manifest: Any, features: Any, evaluator: Any, judge: Any) -> dsl.PipelineTask:
    """What the evaluator can tell; fine-tuning waits for it, cross-entropy goes on beside it."""
    return run.pods.on_one_gpu(
        audit_evaluator(
            manifest=manifest,
            features=features,
            evaluator=evaluator,
            second_evaluator=judge,
            config=run.config["audit"],
            store=run.store,
        )
    )


def caption_by_champion(run: Run, manifest: Any) -> Any:
    """The champion's captions of the test split."""
    return run.pods.on_one_gpu(
        caption_with_champion(
            manifest=manifest,
            split="test",
            registry=run.ready["registry"],
            model_name=run.ready["model_name"],
            version=run.ready["champion"],
            store=run.store,
        )
    ).outputs["captions"]


def train_captioner(
    run: Run,
    manifest: Any,
    features: Any,
    evaluator: Any,
    pod_check: dsl.PipelineTask,
    audited: dsl.PipelineTask,
    weights: Any,
    start_from: Any = None,
) -> tuple[Any, Any]:
    """Cross-entropy, then DiCO.

    Args:
        run: the run.
        manifest: the checked dataset.
        features: its features.
        evaluator: scores candidates.
        pod_check: step that must have found the training pods sound.
        audited: step that must have found the evaluator fit to reward, and says what it tells.
        weights: pins of the captioner's published weights, JSON.
        start_from: captioner that cross-entropy goes on from; a new one where there is none.

    Returns:
        The captioner after each of the two stages.
    """
    config, given = run.config, run.given
    training = {
        "manifest": manifest,
        "features": features,
        "decoding": config["decoding"],
        "seed": given["seed"],
        "run_key": given["run_key"],
        "store": run.store,
        "gpus": given["gpus"],
        "num_nodes": given["num_nodes"],
        "pod": run.ready["pod"],
    }
    start = {} if start_from is None else {"start_from": start_from}
    pretrained = pretrain_captioner(
        captioner_config=config["captioner"],
        config=config["xe"],
        weights=weights,
        **start,
        **training,
    ).after(pod_check)
    xe_captioner = run.pods.training(pretrained).outputs["captioner"]
    finetuned = finetune_captioner(
        captioner=xe_captioner,
        evaluator=evaluator,
        audit=audited.outputs["audit"],
        config=config["finetune"],
        **training,
    )
    return xe_captioner, run.pods.training(finetuned).outputs["finetuned_captioner"]


def evaluate_and_register(
    run: Run,
    data: Any,
    features: Any,
    evaluator: Any,
    judge: Any,
    audited: dsl.PipelineTask,
    xe_captioner: Any,
    captioner: Any,
) -> None:
    """Captions and scores of the test split, the gate's decision, the report, the version."""
    manifest, given = data["manifest"], run.given
    test = {"manifest": manifest, "features": features, "split": "test", "store": run.store}
    search = {"decoding": run.config["decoding"]}
    xe_captions = run.pods.on_one_gpu(
        generate_captions(captioner=xe_captioner, **test, **search), name="generate-captions-xe"
    ).outputs["captions"]
    evaluation = run.pods.on_one_gpu(
        evaluate_captions(
            captioner=captioner,
            evaluator=evaluator,
            judge=judge,
            baseline_captions=xe_captions,
            champion_captions=caption_by_champion(run, manifest),
            config=run.config["evaluation"],
            **test,
            **search,
        )
    ).outputs["evaluation"]
    run.pods.light(
        register_model(
            manifest=manifest,
            evaluator=evaluator,
            judge=judge,
            xe_captioner=xe_captioner,
            captioner=captioner,
            evaluation=evaluation,
            audit=audited.outputs["audit"],
            gate=run.config["gate"],
            registry=run.ready["registry"],
            model_name=run.ready["model_name"],
            champion=run.ready["champion"],
            dataset=run.ready["dataset"],
            fingerprint=data["fingerprint"],
            preset=given["preset"],
            overrides=given["overrides"],
            seed=given["seed"],
            run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
            store=run.store,
        ),
        cached=False,
    )
