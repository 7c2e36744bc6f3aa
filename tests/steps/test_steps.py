"""Steps one by one on a very small toy dataset: what each writes, and what it refuses."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from dico.configuration.schema import from_json, to_json
from dico.decoding import DecodingConfig, beam_search
from dico.errors import ConfigError, DataError, DigestError, UsageError
from dico.evaluation.captions_file import read_captions
from dico.evaluation.config import EvaluationConfig
from dico.evaluation.gate import GateConfig
from dico.features.pointer import open_features
from dico.models.captioner import Captioner
from dico.models.evaluator import Evaluator
from dico.registry import open_registry
from dico.registry.bundle import load_version
from dico.steps.caption_with_champion import caption_with_champion
from dico.steps.compare_models import compare_models
from dico.steps.evaluate_captions import evaluate_captions
from dico.steps.find_champion import find_champion
from dico.steps.finetune_captioner import finetune_captioner
from dico.steps.generate_captions import generate_captions
from dico.steps.pretrain_captioner import pretrain_captioner
from dico.steps.register_model import register_model
from dico.steps.resolve_dataset import resolve_dataset
from dico.storage import verify_digests, write_digests
from dico.training.configs import FinetuneConfig, XEConfig
from dico.training.resilience.places import checkpoints_of
from tests.builders import TINY
from tests.training import tiny

DECODING = to_json(DecodingConfig(num_beams=3, max_tokens=10))
CAPTIONER = to_json(TINY)
XE = to_json(XEConfig(num_steps=2, batch_size=6, micro_batch_size=6, num_validation_images=4))
DICO = to_json(FinetuneConfig(num_steps=2, batch_size=4, num_validation_images=4))


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    """A folder with a toy dataset on which each training step has run."""
    folder = tiny.make_world(tmp_path_factory.mktemp("walk"))
    pretrain(folder, "xe")
    finetune(folder, "dico")
    for name in ("xe", "dico"):
        generate_captions(
            manifest=path(folder, "manifest.parquet"),
            features=path(folder, "features"),
            captioner=path(folder, name),
            split="test",
            decoding=DECODING,
            output_captions=path(folder, f"{name}.jsonl"),
        )
    (folder / "none.jsonl").write_text("")
    evaluate_captions(
        manifest=path(folder, "manifest.parquet"),
        features=path(folder, "features"),
        evaluator=path(folder, "evaluator"),
        captions=path(folder, "dico.jsonl"),
        baseline_captions=path(folder, "xe.jsonl"),
        champion_captions=path(folder, "none.jsonl"),
        split="test",
        config=to_json(EvaluationConfig(meteor=False, num_resamples=20)),
        output_evaluation=path(folder, "evaluation"),
    )
    return folder


def path(folder, name):
    return str(folder / name)


def pretrain(folder, output, **changes):
    arguments = {
        "manifest": path(folder, "manifest.parquet"),
        "features": path(folder, "features"),
        "captioner_config": CAPTIONER,
        "config": XE,
        "decoding": DECODING,
        "seed": 1,
        "run_key": "",
        "store": path(folder, "store"),
        "output_captioner": path(folder, output),
    }
    pretrain_captioner(**{**arguments, **changes})


def finetune(folder, output, **changes):
    arguments = {
        "manifest": path(folder, "manifest.parquet"),
        "features": path(folder, "features"),
        "captioner": path(folder, "xe"),
        "evaluator": path(folder, "evaluator"),
        "config": DICO,
        "decoding": DECODING,
        "seed": 1,
        "run_key": "",
        "store": path(folder, "store"),
        "output_captioner": path(folder, output),
    }
    finetune_captioner(**{**arguments, **changes})


@pytest.mark.parametrize("name", ["xe", "dico"])
def test_a_models_folder_tells_how_it_was_made(walk, name):
    verify_digests(walk / name)
    training = json.loads((walk / name / "training.json").read_text())
    assert training["seed"] == 1
    assert training["tower"] == "clip"
    assert training["config"]["num_steps"] == 2
    assert len(training["code_sha256"]) == 64
    rows = [json.loads(line) for line in (walk / name / "history.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] == 2
    assert "validation_cider" in rows[-1]
    assert (name == "dico") == ("reward" in rows[-1])


def test_the_same_command_again_only_repeats_the_result(walk, tmp_path):
    pretrain(walk, "again", output_captioner=str(tmp_path / "again"))
    first, again = (load_file(f / "model.safetensors") for f in (walk / "xe", tmp_path / "again"))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert len(list((walk / "store" / "checkpoints" / "run").glob("pretrain-captioner-*"))) == 1


def test_a_mixed_reward_judges_by_both_weights(walk, tmp_path):
    """One step over all images, against their candidates' cosines with both embeddings."""
    reward = "0.5*pac + 0.5*clip"
    config = FinetuneConfig(reward=reward, num_steps=1, batch_size=24, num_validation_images=4)
    finetune(walk, "x", config=to_json(config), output_captioner=str(tmp_path / "x"))
    lines = (tmp_path / "x" / "history.jsonl").read_text().splitlines()
    found = next(row["reward"] for row in map(json.loads, lines) if "reward" in row)

    store, keys = tiny.features(walk), [record.sha256 for record in tiny.records(walk, "train")]
    captioner = Captioner.load(walk / "xe").eval()
    memory = captioner.encode(torch.from_numpy(store.read(keys, "tokens")))
    tokens = beam_search(captioner, memory.detach(), from_json(DecodingConfig, DECODING, "")).tokens
    means = {}
    for weights, w in (("pac", 2.0), ("clip", 2.5)):
        texts = Evaluator.load(walk / "evaluator", weights).embed_tokens(tokens)
        images = torch.from_numpy(store.read(keys, f"{weights}_embedding"))
        means[weights] = w * torch.einsum("bke,be->bk", texts, images).mean().item()
    assert found == pytest.approx(0.5 * means["pac"] + 0.5 * means["clip"], abs=1e-5)
    assert abs(means["clip"] - 1.25 * means["pac"]) > 1e-2


def test_another_base_clip_is_another_run(walk, tmp_path):
    """A reward by its weights must not go on from checkpoints of other weights."""
    shutil.copytree(walk / "evaluator", tmp_path / "evaluator")
    shutil.copyfile(
        walk / "evaluator" / "pac.safetensors", tmp_path / "evaluator" / "clip.safetensors"
    )
    write_digests(tmp_path / "evaluator")
    for evaluator in (walk / "evaluator", tmp_path / "evaluator"):
        finetune(
            walk,
            "x",
            evaluator=str(evaluator),
            run_key="clips",
            output_captioner=str(tmp_path / evaluator.parent.name),
        )
    assert len(list((walk / "store" / "checkpoints" / "clips").iterdir())) == 2


def test_other_settings_have_checkpoints_of_their_own(tmp_path):
    names = {
        checkpoints_of("xe", str(tmp_path), key, *inputs).folder.relative_to(tmp_path).as_posix()
        for key, inputs in [("", ("a", 1)), ("", ("a", 2)), ("", ("b", 1)), ("k", ("a", 1))]
    }
    assert len(names) == 4
    assert all(name.startswith(("checkpoints/run/xe-", "checkpoints/k/xe-")) for name in names)
    with pytest.raises(UsageError, match="store: empty"):
        checkpoints_of("xe", "", "", "a")


def test_captions_are_one_line_an_image(walk):
    captions = read_captions(path(walk, "dico.jsonl"))
    assert list(captions) == [record.image_id for record in tiny.records(walk, "test")]
    assert read_captions(path(walk, "none.jsonl")) == {}


def test_evaluation_has_all_systems_and_their_difference(walk):
    metrics = json.loads((walk / "evaluation" / "metrics.json").read_text())
    assert set(metrics["systems"]) == {"dico", "xe", "human"}
    assert metrics["num_images"] == 6
    wanted = {"cider", "bleu_4", "pac_score", "clip_score", "recall_at_1", "rep_2", "bad_endings"}
    assert wanted <= set(metrics["systems"]["dico"])
    assert {"pac_score", "cider"} <= set(metrics["differences"]["dico - xe"])


def decide(walk, tmp_path, config):
    decision = tmp_path / "decision.json"
    outputs = compare_models(
        evaluation=path(walk, "evaluation"), config=to_json(config), output_decision=str(decision)
    )
    assert json.loads(decision.read_text())["promote"] is (outputs.promote == "true")
    return outputs, decision


def test_too_few_images_decide_nothing(walk, tmp_path):
    outputs, _ = decide(walk, tmp_path, GateConfig())
    assert outputs.promote == "false"
    assert outputs.reasons.startswith("6 test images decide nothing")


def test_registering_is_repeatable_and_obeys_the_decision(walk, tmp_path):
    (tmp_path / "report.html").write_text("<p>report</p>")
    registry = str(tmp_path / "registry")
    arguments = {
        "captioner": path(walk, "dico"),
        "evaluator": path(walk, "evaluator"),
        "evaluation": path(walk, "evaluation"),
        "report": str(tmp_path / "report.html"),
        "registry": registry,
        "model_name": "small",
        "lineage": json.dumps({"seed": 1}),
        "output_version": str(tmp_path / "version.json"),
    }
    decision = tmp_path / "decision.json"
    for promote in (False, True):
        decision.write_text(json.dumps({"promote": promote, "reasons": ["because"]}))
        outputs = register_model(decision=str(decision), **arguments)
        assert outputs.promoted == str(promote).lower()
        found = champion_of(registry)
        assert found.version == (outputs.version if promote else "")
    version = open_registry(registry).champion("small")
    policy, tower, decoding = load_version(
        open_registry(registry).fetch(version, tmp_path / "fetched")
    )
    assert policy.captioner.config.width == 16
    assert tower.config.image_size_px == 32
    assert to_json(decoding) == DECODING
    caption_with_champion(
        manifest=path(walk, "manifest.parquet"),
        registry=registry,
        model_name="small",
        version=found.version,
        split="test",
        output_captions=str(tmp_path / "champion.jsonl"),
    )
    # The tower's features are those of the store, so the captions are the candidate's own.
    assert read_captions(str(tmp_path / "champion.jsonl")) == read_captions(
        path(walk, "dico.jsonl")
    )


def test_a_champion_that_another_run_made_meanwhile_stays(walk, tmp_path, capsys):
    (tmp_path / "report.html").write_text("<p>report</p>")
    (tmp_path / "decision.json").write_text(json.dumps({"promote": True, "reasons": ["better"]}))
    registry = open_registry(tmp_path / "registry")
    other = tmp_path / "other"
    other.mkdir()
    (other / "weights").write_bytes(b"of another run")
    registry.register("small", other, {}, "another model")
    registry.set_alias("small", "champion", 1, "was there first")
    arguments = {
        "captioner": path(walk, "dico"),
        "evaluator": path(walk, "evaluator"),
        "evaluation": path(walk, "evaluation"),
        "decision": str(tmp_path / "decision.json"),
        "report": str(tmp_path / "report.html"),
        "registry": str(tmp_path / "registry"),
        "model_name": "small",
        "output_version": str(tmp_path / "version.json"),
    }
    outputs = register_model(lineage=json.dumps({"champion": ""}), **arguments)
    assert (outputs.version, outputs.promoted) == ("2", "false")
    assert "the champion is version 1 now" in capsys.readouterr().err
    assert registry.champion("small").number == 1
    for _ in range(2):  # a step that is tried again says the same
        outputs = register_model(lineage=json.dumps({"champion": "1"}), **arguments)
        assert (outputs.version, outputs.promoted) == ("2", "true")
    version = registry.champion("small")
    card = (registry.fetch(version, tmp_path / "cache") / "model_card.md").read_text()
    assert "captioner_model_sha256" in card
    assert version.metadata["decision"] == {"promote": True, "reasons": ["better"]}


def test_without_a_champion_there_are_no_captions(walk, tmp_path):
    assert champion_of(str(tmp_path)).version == ""
    caption_with_champion(
        manifest=path(walk, "manifest.parquet"),
        registry=str(tmp_path),
        model_name="small",
        version="",
        split="test",
        output_captions=str(tmp_path / "champion.jsonl"),
    )
    assert (tmp_path / "champion.jsonl").read_text() == ""


def test_damaged_inputs_are_found_before_use(walk, tmp_path):
    shutil.copytree(walk / "xe", tmp_path / "xe")
    weights = tmp_path / "xe" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-3] ^= 1
    weights.write_bytes(data)
    with pytest.raises(DigestError, match=r"model\.safetensors: its bytes changed"):
        finetune(walk, "x", captioner=str(tmp_path / "xe"), output_captioner=str(tmp_path / "x"))
    assert not (tmp_path / "x").exists()
    with pytest.raises(DataError, match="none"):
        open_features(str(tmp_path / "none"))


def test_wrong_settings_are_found_before_anything_is_written(walk, tmp_path):
    with pytest.raises(ConfigError, match=r"xe\.num_stepz: unknown setting"):
        pretrain(walk, "x", config='{"num_stepz": 3}', output_captioner=str(tmp_path / "x"))
    one = to_json(DecodingConfig(num_beams=1))
    with pytest.raises(ConfigError, match=r"decoding\.num_beams: .* at least 2 candidates"):
        finetune(walk, "x", decoding=one, output_captioner=str(tmp_path / "x"))
    assert list(tmp_path.iterdir()) == []


def champion_of(registry):
    return find_champion(registry, "small", "", "train", settings="", force=False, store="")


def test_the_small_world_is_rendered_once(tmp_path):
    toy = to_json(tiny.TOY)
    store = str(tmp_path / "store")
    first = resolve_dataset(dataset="", images="", toy=toy, seed=2, store=store)
    files = sorted(tmp_path.rglob("*.png"))
    times = [file.stat().st_mtime_ns for file in files]
    assert len(files) == 24 * 2 + 6 + 6
    again = resolve_dataset(dataset="", images="", toy=toy, seed=2, store=store)
    assert again == first
    assert [file.stat().st_mtime_ns for file in files] == times
    other = resolve_dataset(dataset="", images="", toy=toy, seed=3, store=store)
    assert other.dataset != first.dataset


def test_neither_dataset_nor_store_is_a_wrong_call():
    with pytest.raises(UsageError, match="store: empty"):
        resolve_dataset(dataset="", images="", toy="", seed=1, store="")
    with pytest.raises(UsageError, match="seed: must not be negative, got -1"):
        resolve_dataset(dataset="", images="", toy="", seed=-1, store="x")
    with pytest.raises(DataError, match=r"missing\.json"):
        resolve_dataset(dataset="missing.json", images="", toy="", seed=1, store="")
