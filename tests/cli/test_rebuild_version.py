"""A version is rebuilt from its lineage to the same SHA-256, in another process."""

import json
import shutil
import subprocess
import sys

import pytest

from dico.cli import rebuild_version as rebuilding
from dico.errors import DataError, DigestError
from dico.process.provenance import code_digest, code_version
from dico.registry.version import identity
from dico.storage import write_digests

OVERRIDES = (
    "toy.num_train=24 toy.num_validation=6 toy.num_test=6 toy.image_side_px=32 "
    "validation.near_duplicates=false evaluator.image_size_px=32 evaluator.vision_layers=[1] "
    "evaluator.patch_size_px=16 evaluator.text_width=16 evaluator.text_layers=1 "
    "evaluator.head_width=8 evaluator.embed_dim=16 evaluator.vocab_size=300 "
    "evaluator.num_word_steps=2 evaluator.num_pac_steps=2 evaluator.batch_size=8 "
    "judge.num_word_steps=2 judge.num_pac_steps=2 judge.batch_size=8 "
    "captioner.width=16 captioner.num_encoder_layers=1 captioner.num_decoder_layers=1 "
    "captioner.num_heads=2 captioner.ffn_width=32 decoding.num_beams=3 xe.num_steps=3 "
    "xe.batch_size=10 xe.micro_batch_size=10 xe.num_validation_images=4 finetune.num_steps=2 "
    "finetune.batch_size=4 finetune.micro_batch_size=4 finetune.num_validation_images=4"
)


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    """The folder of a version that was trained here, with the lineage that registering writes."""
    folder = tmp_path_factory.mktemp("rebuild")
    lineage = {
        "preset": "toy",
        "overrides": OVERRIDES,
        "seed": 5,
        "dataset": "/gone/datasets/toy-0123456789abcdef/dataset.jsonl",
        "code_version": code_version(),
        "code_sha256": code_digest(),
    }
    config = rebuilding.resolve_config("toy", OVERRIDES)
    dataset = rebuilding.resolve_dataset("", "", config.toy, 5, str(folder / "store")).dataset
    validated = rebuilding.validate_dataset(
        dataset,
        "",
        config.validation,
        *(str(folder / name) for name in ("manifest.parquet", "report.html", "summary.json")),
    )
    lineage["fingerprint"] = validated.fingerprint
    rebuilding._train(5, config, str(folder / "manifest.parquet"), folder)
    made = folder / "version"
    for part in ("captioner", "evaluator"):
        shutil.copytree(folder / part, made / part)
    (made / "lineage.json").write_text(json.dumps(lineage))
    write_digests(made)
    return made


def test_another_process_makes_the_same_weights(version, tmp_path):
    command = [sys.executable, "-m", "dico", "rebuild", str(version), "--work", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-1000:]
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith(("same", "DIFF"))]
    assert {line[1] for line in lines} >= {"captioner", "evaluator/pac.safetensors"}
    assert all(line[0] == "same" and line[2] == line[3] for line in lines)
    assert identity(tmp_path / "captioner") == identity(version / "captioner")


def changed(version, folder, **changes):
    copied = shutil.copytree(version, folder)
    path = copied / "lineage.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    write_digests(copied)
    return str(copied)


def test_other_settings_make_other_weights(version, tmp_path):
    overrides = OVERRIDES.replace("xe.num_steps=3", "xe.num_steps=4")
    other = changed(version, tmp_path / "version", overrides=overrides)
    rebuilt = rebuilding.rebuild_version(other, str(tmp_path / "work"))
    assert not rebuilt.same
    assert (
        rebuilt.rebuilt["evaluator/pac.safetensors"]
        == (rebuilt.registered["evaluator/pac.safetensors"])
    )


def test_other_code_and_other_data_are_refused(version, tmp_path):
    other = changed(version, tmp_path / "code", code_sha256="0" * 64)
    with pytest.raises(DataError, match="this is other code"):
        rebuilding.rebuild_version(other, str(tmp_path / "work"))
    other = changed(version, tmp_path / "data", fingerprint="0" * 64)
    with pytest.raises(DataError, match="the version was trained on 000"):
        rebuilding.rebuild_version(other, str(tmp_path / "work"))


def test_a_changed_version_is_not_rebuilt(version, tmp_path):
    copied = shutil.copytree(version, tmp_path / "version")
    (copied / "lineage.json").write_text("{}")
    with pytest.raises(DigestError):
        rebuilding.rebuild_version(str(copied), str(tmp_path / "work"))
