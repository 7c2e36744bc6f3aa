"""The committed YAML is what the code compiles to, and needs no torch to compile."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipelines.compile import FOLDER, PIPELINES, compile_all
from pipelines.run_folder import PLACES

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.xdist_group("kfp")


def without_sdk_version(path):
    lines = path.read_text().splitlines()
    return [line for line in lines if not line.startswith("sdkVersion:")]


@pytest.mark.parametrize("name", PIPELINES)
def test_committed_yaml_is_up_to_date(name, tmp_path):
    compile_all(tmp_path)
    assert without_sdk_version(tmp_path / name) == without_sdk_version(FOLDER / name), (
        "pipelines or components changed; run `make compile` and commit the YAML"
    )


def test_compiling_loads_no_heavy_library():
    code = (
        "import sys, pipelines.dico;"
        "print([m for m in ('torch', 'pandas', 'open_clip', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stderr


def read_pipeline():
    return list(yaml.safe_load_all((FOLDER / "dico.yaml").read_text()))


def test_every_parameter_is_described_and_has_a_plain_default():
    parameters = read_pipeline()[0]["root"]["inputDefinitions"]["parameters"]
    assert set(parameters) == {
        "dataset",
        "images",
        "preset",
        "overrides",
        "seed",
        "store",
        "registry",
        "model_name",
        "run_key",
    }
    for name, parameter in parameters.items():
        assert parameter["description"].endswith("."), name
        assert isinstance(parameter["defaultValue"], str | int | float), name


def test_steps_that_look_at_the_world_are_never_cached():
    tasks = read_pipeline()[0]["root"]["dag"]["tasks"]
    cached = {name for name, task in tasks.items() if task["cachingOptions"].get("enableCache")}
    assert set(tasks) - cached == {
        "resolve-dataset",
        "find-champion",
        "compare-models",
        "report-run",
        "register-model",
    }


def test_nothing_is_trained_before_the_dataset_passed():
    tasks = read_pipeline()[0]["root"]["dag"]["tasks"]

    def upstream(name):
        direct = tasks[name].get("dependentTasks", [])
        return set(direct).union(*(upstream(task) for task in direct)) if direct else set()

    for name in ("train-evaluator", "pretrain-captioner", "finetune-captioner", "register-model"):
        assert "require-valid-dataset" in upstream(name), name


def test_every_pod_runs_as_a_plain_user():
    executors = read_pipeline()[0]["deploymentSpec"]["executors"]
    platform = read_pipeline()[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(platform) == set(executors)
    for name, settings in platform.items():
        assert settings["securityContext"]["runAsNonRoot"] is True, name
        assert int(settings["securityContext"]["runAsUser"]) > 0, name


def test_every_place_in_the_run_folder_is_an_output_of_a_step():
    pipeline = read_pipeline()[0]
    outputs = set()
    for task in pipeline["root"]["dag"]["tasks"].values():
        component = pipeline["components"][task["componentRef"]["name"]]
        step = task["taskInfo"]["name"].replace("-", "_")
        names = component.get("outputDefinitions", {}).get("artifacts", {})
        outputs |= {(step, name) for name in names}
    assert outputs == set(PLACES)
