"""The training pipeline: from a dataset to a registered captioner.

Compiled by `make compile` to pipelines/dico.yaml, which runs unchanged on a laptop (`dico run`)
and on a cluster.
"""

from kfp import dsl

from components.caption_with_champion import caption_with_champion
from components.compare_models import compare_models
from components.evaluate_captions import evaluate_captions
from components.extract_features import extract_features
from components.find_champion import find_champion
from components.finetune_captioner import finetune_captioner
from components.generate_captions import generate_captions
from components.pretrain_captioner import pretrain_captioner
from components.register_model import register_model
from components.report_run import report_run
from components.require_valid_dataset import require_valid_dataset
from components.resolve_config import resolve_config
from components.resolve_dataset import resolve_dataset
from components.train_evaluator import train_evaluator
from components.validate_dataset import validate_dataset
from pipelines.tasks import heavy, light


@dsl.pipeline(
    name="dico",
    description="Train an image captioner by cross-entropy, then DiCO; evaluate, gate, register.",
)
def dico(
    dataset: str = "",
    images: str = "",
    preset: str = "toy",
    overrides: str = "",
    seed: int = 1,
    store: str = "",
    registry: str = "",
    model_name: str = "",
    run_key: str = "",
):
    """Trains an image captioner by cross-entropy, then DiCO; evaluates, gates and registers it.

    Args:
        dataset: Path or s3:// URI of the annotations; empty for the built-in small world.
        images: Folder of the pictures; empty where the annotations know.
        preset: Name of a preset, such as toy or photos.
        overrides: Settings to change, such as "xe.num_steps=200 finetune.beta=0.1".
        seed: Seed of everything random.
        store: Folder or s3:// prefix for features and checkpoints; empty for the working folder.
        registry: Folder or s3:// prefix of the model registry; empty for one in the store.
        model_name: Name that the model is registered under; empty for the preset's name.
        run_key: Names the checkpoints, so that the same key resumes; empty to derive it.
    """
    config = light(resolve_config(preset=preset, overrides=overrides)).outputs
    source = light(
        resolve_dataset(dataset=dataset, images=images, toy=config["toy"], seed=seed, store=store),
        cached=False,
    ).outputs
    validation = heavy(
        validate_dataset(
            dataset=source["dataset"],
            images=source["images"],
            version=source["version"],
            config=config["validation"],
        )
    ).outputs
    gate = light(require_valid_dataset(ok=validation["ok"], reasons=validation["reasons"]))
    manifest = validation["manifest"]
    checkpoints = {"seed": seed, "run_key": run_key, "store": store}

    evaluator = heavy(
        train_evaluator(manifest=manifest, config=config["evaluator"], **checkpoints).after(gate)
    ).outputs["evaluator"]
    features = heavy(
        extract_features(
            manifest=manifest, evaluator=evaluator, config=config["features"], store=store
        )
    ).outputs["features"]
    xe_captioner = heavy(
        pretrain_captioner(
            manifest=manifest,
            features=features,
            captioner_config=config["captioner"],
            config=config["xe"],
            decoding=config["decoding"],
            **checkpoints,
        )
    ).outputs["captioner"]
    captioner = heavy(
        finetune_captioner(
            manifest=manifest,
            features=features,
            captioner=xe_captioner,
            evaluator=evaluator,
            config=config["finetune"],
            decoding=config["decoding"],
            **checkpoints,
        )
    ).outputs["finetuned_captioner"]

    test = {"manifest": manifest, "split": "test"}
    search = {"decoding": config["decoding"]}
    xe_captions = heavy(
        generate_captions(features=features, captioner=xe_captioner, **test, **search),
        name="generate-captions-xe",
    ).outputs["captions"]
    captions = heavy(
        generate_captions(features=features, captioner=captioner, **test, **search),
        name="generate-captions-dico",
    ).outputs["captions"]
    champion = light(
        find_champion(registry=registry, model_name=model_name, preset=preset).after(gate),
        cached=False,
    ).outputs
    champion_captions = heavy(
        caption_with_champion(
            registry=registry,
            model_name=champion["model_name"],
            version=champion["version"],
            **test,
        )
    ).outputs["captions"]

    evaluation = heavy(
        evaluate_captions(
            manifest=manifest,
            features=features,
            evaluator=evaluator,
            captions=captions,
            baseline_captions=xe_captions,
            champion_captions=champion_captions,
            split="test",
            config=config["evaluation"],
        )
    ).outputs["evaluation"]
    decision = light(
        compare_models(evaluation=evaluation, config=config["gate"]), cached=False
    ).outputs["decision"]
    lineage = {
        "dataset": source["dataset"],
        "fingerprint": validation["fingerprint"],
        "preset": preset,
        "overrides": overrides,
        "seed": seed,
    }
    report = light(
        report_run(
            manifest=manifest,
            evaluator=evaluator,
            xe_captioner=xe_captioner,
            captioner=captioner,
            evaluation=evaluation,
            decision=decision,
            **lineage,
        ),
        cached=False,
    ).outputs["report"]
    light(
        register_model(
            captioner=captioner,
            evaluator=evaluator,
            evaluation=evaluation,
            decision=decision,
            report=report,
            registry=registry,
            model_name=champion["model_name"],
            **lineage,
        ),
        cached=False,
    )
