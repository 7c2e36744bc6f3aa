"""The step and the verb: a random network is unfit, ends a run, and a setting lets it go on."""

import json

import pytest

from dico.audit.audit import read_audit
from dico.cli import main
from dico.data.manifest import read_manifest
from dico.data.toy.config import ToyConfig
from dico.data.toy.world import write_toy_dataset
from dico.errors import DataError
from dico.models.judge import write_absent_judge
from dico.models.tokenizer import Tokenizer
from dico.steps.audit_evaluator import audit_evaluator
from dico.validation.config import ValidationConfig
from dico.validation.validate import validate
from tests.builders import clip_config, write_evaluator


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A manifest of a few images and an evaluator that has learnt nothing."""
    folder = tmp_path_factory.mktemp("world")
    toy = ToyConfig(num_train=20, num_validation=30, num_test=1, image_side_px=32)
    dataset = write_toy_dataset(folder / "toy", toy, 1)
    manifest = folder / "manifest.parquet"
    settings = ValidationConfig(near_duplicates=False, num_workers=1)
    validate(str(dataset), "", settings, manifest, folder / "report")
    texts = [text for r in read_manifest(manifest, "train") for text in r.captions]
    tokenizer = Tokenizer.train(texts, 300)
    clip = clip_config(tokenizer, num_text_positions=40)
    write_evaluator(folder / "evaluator", tokenizer, clip)
    return folder


def run(world, output, second="", **settings):
    config = json.dumps({"num_resamples": 100, "pool_size": 20, **settings})
    manifest, evaluator = str(world / "manifest.parquet"), str(world / "evaluator")
    return audit_evaluator(manifest, "", evaluator, str(second), config, str(output))


def test_an_unfit_evaluator_ends_the_run_and_the_audit_is_there(world, tmp_path):
    with pytest.raises(DataError, match=r"unfit to train on: .*audit\.allow_unfit=true"):
        run(world, tmp_path)
    data = json.loads((tmp_path / "audit.json").read_text())
    assert data["verdict"]["word"] == "unfit"
    assert data["edits_by"] == "facts"
    assert data["agreement"].keys() == {"evaluator, clip"}
    page = (tmp_path / "index.html").read_text()
    assert page.count("data:image/png;base64,") >= 20
    assert "<script" not in page
    assert data["verdict"]["reasons"][0] in page


def test_an_audit_is_of_one_evaluator(world, tmp_path):
    run(world, tmp_path, allow_unfit=True)
    assert read_audit(tmp_path, world / "evaluator") == read_audit(tmp_path / "audit.json")
    tokenizer = Tokenizer.train(["a red circle"], 300)
    write_evaluator(tmp_path / "other", tokenizer, clip_config(tokenizer, num_text_positions=40))
    told = r"audits 'evaluator, pac', not the evaluator in .*other as it is now; run dico audit"
    with pytest.raises(DataError, match=told):
        read_audit(tmp_path, tmp_path / "other")


def test_a_setting_lets_it_go_on(world, tmp_path):
    assert run(world, tmp_path, allow_unfit=True).verdict == "unfit"


@pytest.mark.parametrize("there", [True, False])
def test_the_judge_is_a_second_evaluator_where_there_is_one(world, tmp_path, there):
    if not there:
        write_absent_judge(tmp_path / "judge")
    second = world / "evaluator" if there else tmp_path / "judge"
    run(world, tmp_path, second, allow_unfit=True)
    agreement = json.loads((tmp_path / "audit.json").read_text())["agreement"]
    assert len(agreement) == 1 + there


def test_the_verb_prints_the_numbers_and_leaves_with_65(world, tmp_path, capsys):
    arguments = ["audit", str(world / "evaluator"), "--manifest", str(world / "manifest.parquet")]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--output", str(tmp_path / "audit"), "--part", "clip"])
    assert ended.value.code == 65
    said = capsys.readouterr()
    assert "evaluator, clip: unfit" in said.out
    assert "finds the image first among 30" in said.out
    assert said.err.splitlines()[-1].startswith("error: evaluator: unfit to train on")
    assert (tmp_path / "audit" / "index.html").exists()
