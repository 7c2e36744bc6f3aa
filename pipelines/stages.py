"""The stretches of steps that pipelines share: a checked dataset, and a judged, registered model."""

from dataclasses import dataclass
from typing import Any

from kfp import dsl

from dico_components.caption_with_champion import caption_with_champion
from dico_components.compare_models import compare_models
from dico_components.evaluate_captions import evaluate_captions
from dico_components.finetune_captioner import finetune_captioner
from dico_components.generate_captions import generate_captions
from dico_components.pretrain_captioner import pretrain_captioner
from dico_components.register_model import register_model
from dico_components.report_run import report_run
from dico_components.require_valid_dataset import require_valid_dataset
from dico_components.resolve_dataset import resolve_dataset
from dico_components.validate_dataset import validate_dataset
from dico_pipelines.tasks import ComputingPods


@dataclass(frozen=True)
class CheckedDataset:
    """A dataset that passed its checks."""

    manifest: Any
    """Its accepted pictures and captions."""

    fingerprint: Any
    """SHA-256 over pictures, captions and splits."""

    place: Any
    """Where its annotations are."""

    gate: dsl.PipelineTask
    """The step that fails where it did not pass."""


def check_dataset(
    pods: ComputingPods,
    config: Any,
    dataset: Any,
    images: Any,
    seed: Any,
    baseline: Any = "",
) -> CheckedDataset:
    """Finds, checks and accepts a dataset; drift is measured where there is a baseline."""
    store = pods.ready["store"]
    source = pods.light(
        resolve_dataset(dataset=dataset, images=images, toy=config["toy"], seed=seed, store=store),
        cached=False,
    ).outputs
    validation = pods.heavy(
        validate_dataset(
            dataset=source["dataset"],
            images=source["images"],
            version=source["version"],
            config=config["validation"],
            baseline=baseline,
            store=store,
        )
    ).outputs
    gate = pods.light(
        require_valid_dataset(
            ok=validation["ok"],
            reasons=validation["reasons"],
            manifest=validation["manifest"],
            fingerprint=validation["fingerprint"],
            store=store,
        ),
        cached=False,
    )
    return CheckedDataset(
        validation["manifest"], validation["fingerprint"], source["dataset"], gate
    )


@dataclass(frozen=True)
class Run:
    """What the steps of a training share."""

    pods: ComputingPods
    config: Any
    data: CheckedDataset
    model_name: Any
    champion: Any
    preset: Any
    overrides: Any
    seed: Any
    run_key: Any
    gpus: Any
    num_nodes: Any


def train_and_register(
    run: Run, evaluator: Any, features: Any, start_from: Any = None, ready_pod: Any = None
) -> None:
    """Trains by cross-entropy and by DiCO, judges on the test split, and registers.

    Args:
        run: what the steps share.
        evaluator: the evaluator.
        features: pointer to the features of all pictures.
        start_from: captioner that cross-entropy goes on from; a new one where there is none.
        ready_pod: step that must have found the training pods sound.
    """
    pods, config, manifest = run.pods, run.config, run.data.manifest
    store, registry = pods.ready["store"], pods.ready["registry"]
    training = {
        "manifest": manifest,
        "features": features,
        "decoding": config["decoding"],
        "seed": run.seed,
        "run_key": run.run_key,
        "store": store,
        "gpus": run.gpus,
        "num_nodes": run.num_nodes,
        "pod": pods.ready["pod"],
    }
    start = {} if start_from is None else {"start_from": start_from}
    pretrained = pretrain_captioner(
        captioner_config=config["captioner"], config=config["xe"], **start, **training
    )
    if ready_pod is not None:
        pretrained.after(ready_pod)
    xe_captioner = pods.training(pretrained).outputs["captioner"]
    captioner = pods.training(
        finetune_captioner(
            captioner=xe_captioner, evaluator=evaluator, config=config["finetune"], **training
        )
    ).outputs["finetuned_captioner"]

    test = {"manifest": manifest, "split": "test", "store": store}
    search = {"features": features, "decoding": config["decoding"]}
    xe_captions = pods.on_one_gpu(
        generate_captions(captioner=xe_captioner, **test, **search), name="generate-captions-xe"
    ).outputs["captions"]
    captions = pods.on_one_gpu(
        generate_captions(captioner=captioner, **test, **search), name="generate-captions-dico"
    ).outputs["captions"]
    champion_captions = pods.on_one_gpu(
        caption_with_champion(
            registry=registry, model_name=run.model_name, version=run.champion, **test
        ).after(run.data.gate)
    ).outputs["captions"]
    evaluation = pods.on_one_gpu(
        evaluate_captions(
            features=features,
            evaluator=evaluator,
            captions=captions,
            baseline_captions=xe_captions,
            champion_captions=champion_captions,
            config=config["evaluation"],
            **test,
        )
    ).outputs["evaluation"]
    decision = pods.light(
        compare_models(evaluation=evaluation, config=config["gate"], store=store), cached=False
    ).outputs["decision"]
    made_from = {
        "dataset": run.data.place,
        "fingerprint": run.data.fingerprint,
        "preset": run.preset,
        "overrides": run.overrides,
        "seed": run.seed,
        "store": store,
    }
    judged = {"evaluator": evaluator, "captioner": captioner, "evaluation": evaluation}
    report = pods.light(
        report_run(
            manifest=manifest, xe_captioner=xe_captioner, decision=decision, **judged, **made_from
        ),
        cached=False,
    ).outputs["report"]
    pods.light(
        register_model(
            decision=decision,
            report=report,
            registry=registry,
            model_name=run.model_name,
            run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
            champion=run.champion,
            **judged,
            **made_from,
        ),
        cached=False,
    )
