"""The committed YAML is what the code compiles to, and needs no torch to compile."""

import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dico_pipelines import variables
from dico_pipelines.compile import FOLDER, PIPELINES, compile_all
from dico_pipelines.local.run_folder import PLACES

ROOT = Path(__file__).parents[2]


def without_sdk_version(path):
    lines = path.read_text().splitlines()
    return [line for line in lines if not line.startswith("sdkVersion:")]


FILES = [*PIPELINES, *(f"s3/{name}" for name in PIPELINES)]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compiled")
    compile_all(folder)
    return folder


@pytest.mark.parametrize("name", FILES)
def test_committed_yaml_is_up_to_date(name, compiled):
    assert without_sdk_version(compiled / name) == without_sdk_version(FOLDER / name), (
        "pipelines or components changed; run `make compile` and commit the YAML"
    )


@pytest.mark.parametrize("name", PIPELINES)
def test_for_buckets_the_same_pipeline_mounts_no_claim(name):
    """Kubeflow has no optional claim: a pod that names one waits for it, an empty name fails."""
    (whole, mounted), (same, bucket) = read(name), read(f"s3/{name}")
    pods = mounted["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert all(pod.pop("pvcMount") for pod in pods.values())
    assert bucket == mounted
    for key, container in containers_of(whole).items():
        assert container.pop("env") == [{"name": "DICO_WORK", "value": "/data"}], key
    assert same == whole
    read.cache_clear()


def test_compiling_loads_no_heavy_library():
    code = (
        "import sys, dico_pipelines.compile;"
        "print([m for m in ('torch', 'pandas', 'open_clip', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stderr


@functools.cache
def read(name):
    """The pipeline, and what Kubernetes gets."""
    return list(yaml.load_all((FOLDER / name).read_text(), Loader=yaml.CSafeLoader))


def tasks_of(pipeline):
    """Every step by its name, wherever it is nested."""
    parts = [pipeline["root"], *pipeline["components"].values()]
    named = {k: v for part in parts for k, v in part.get("dag", {}).get("tasks", {}).items()}
    return {
        name: task
        for name, task in named.items()
        if "dag" not in pipeline["components"][task["componentRef"]["name"]]
    }


def containers_of(pipeline):
    return {k: v["container"] for k, v in pipeline["deploymentSpec"]["executors"].items()}


GROUPS = ("Data", "Settings", "Places", "Model", "Pods")


@pytest.mark.parametrize("name", PIPELINES)
def test_every_parameter_is_in_a_group_described_and_has_a_plain_default(name):
    parameters = read(name)[0]["root"]["inputDefinitions"]["parameters"]
    for key, parameter in parameters.items():
        group, _, text = parameter["description"].partition(". ")
        assert group in GROUPS, key
        assert text.endswith("."), key
        if (name, key) != ("caption.yaml", "inputs"):
            default = parameter["defaultValue"]
            assert isinstance(default, str | int | float | bool) or not default, key


def test_parameters_read_the_same_in_all_pipelines():
    first = {}
    for name in PIPELINES:
        for key, parameter in read(name)[0]["root"]["inputDefinitions"]["parameters"].items():
            assert first.setdefault(key, parameter) == parameter, (name, key)


def test_default_preset_is_one_of_the_librarys():
    from dico.presets.config import presets

    parameters = read("dico.yaml")[0]["root"]["inputDefinitions"]["parameters"]
    assert parameters["preset"]["defaultValue"] in presets()


NEVER_CACHED = {
    "caption-batch",
    "check-pod",
    "preflight",
    "prepare-weights",
    "register-model",
    "summarise-run",
}


@pytest.mark.parametrize("name", PIPELINES)
def test_steps_that_decide_record_or_look_at_the_world_are_never_cached(name):
    tasks = tasks_of(read(name)[0])
    cached = {key for key, task in tasks.items() if task["cachingOptions"].get("enableCache")}
    assert set(tasks) - cached == set(tasks) & NEVER_CACHED


@pytest.mark.parametrize("name", PIPELINES)
def test_nothing_expensive_starts_before_the_preflight(name):
    pipeline = read(name)[0]
    tasks = tasks_of(pipeline)
    free = {key for key, task in tasks.items() if not task.get("dependentTasks")}
    inside = {key for key in free if "preflight-store" not in yaml.dump(tasks[key])}
    assert inside <= {"preflight", "resolve-config"}


@pytest.mark.parametrize("name", ["dico.yaml", "retrain.yaml"])
def test_nothing_is_trained_before_the_dataset_passed(name):
    pipeline = read(name)[0]
    parts = [pipeline["root"], *pipeline["components"].values()]
    tasks = {k: v for part in parts for k, v in part.get("dag", {}).get("tasks", {}).items()}
    holder = {
        inner: outer
        for outer, task in tasks.items()
        for inner in pipeline["components"][task["componentRef"]["name"]]
        .get("dag", {})
        .get("tasks", {})
    }

    @functools.cache
    def upstream(key):
        direct = set(tasks[key].get("dependentTasks", []))
        outer = {holder[key]} if key in holder else set()
        return direct.union(*(upstream(one) for one in direct | outer))

    trained = {"train-evaluator", "pretrain-captioner", "finetune-captioner", "register-model"}
    for key in trained & set(tasks):
        assert "validate-dataset" in upstream(key), key


LEVELS = {"dico.yaml": 20, "retrain.yaml": 20, "evaluate.yaml": 12, "caption.yaml": 8}
"""Most levels of pods, one after the other, that a run may have: each costs 10 s on a cluster."""


def levels_of(pipeline, part):
    """Pods one after the other: a driver for each group, a driver and a container for each step."""
    tasks, components = part["dag"]["tasks"], pipeline["components"]

    @functools.cache
    def end(name):
        inner = components[tasks[name]["componentRef"]["name"]]
        own = levels_of(pipeline, inner) if "dag" in inner else 2
        return own + max(map(end, tasks[name].get("dependentTasks", [])), default=0)

    return 1 + max(map(end, tasks))


@pytest.mark.parametrize("name", PIPELINES)
def test_the_longest_path_has_few_levels(name):
    pipeline = read(name)[0]
    assert levels_of(pipeline, pipeline["root"]) <= LEVELS[name]


def test_levels_are_counted():
    step = {"executorLabel": "x"}
    chain = {
        "a": {"componentRef": {"name": "step"}},
        "b": {"componentRef": {"name": "step"}, "dependentTasks": ["a"]},
        "beside": {"componentRef": {"name": "step"}},
    }
    group = {"dag": {"tasks": chain}}
    root = {"dag": {"tasks": {"group": {"componentRef": {"name": "group"}}}}}
    pipeline = {"components": {"step": step, "group": group}}
    assert levels_of(pipeline, root) == 6  # two groups' drivers, and two steps of two pods


@pytest.mark.parametrize("name", PIPELINES)
def test_no_step_takes_a_float(name):
    """A whole one, such as 1.0, reaches a step on a cluster as an integer."""
    for component in read(name)[0]["components"].values():
        for key, parameter in component.get("inputDefinitions", {}).get("parameters", {}).items():
            assert parameter["parameterType"] != "NUMBER_DOUBLE", key


@pytest.mark.parametrize("name", PIPELINES)
def test_every_pod_is_a_plain_user_with_limits_a_deadline_and_optional_secrets(name):
    pipeline, kubernetes = read(name)
    containers = containers_of(pipeline)
    platform = kubernetes["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(platform) == set(containers)
    for key, pod in platform.items():
        assert pod["securityContext"]["runAsNonRoot"] is True, key
        assert int(pod["securityContext"]["runAsUser"]) > 0, key
        assert int(pod["activeDeadlineSeconds"]) > 0, key
        assert all(secret["optional"] for secret in pod["secretAsEnv"]), key
        limits = containers[key]["resources"]
        assert {"resourceCpuLimit", "resourceMemoryLimit"} <= set(limits), key
        assert {"resourceCpuRequest", "resourceMemoryRequest"} <= set(limits), key


@pytest.mark.parametrize("name", ["dico.yaml", "retrain.yaml"])
def test_training_gets_its_gpus_and_shared_memory(name):
    pipeline, kubernetes = read(name)
    platform = kubernetes["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for step in ("pretrain-captioner", "finetune-captioner"):
        pod = platform[f"exec-{step}"]
        (shared,) = pod["emptyDirMounts"]
        assert (shared["mountPath"], shared["medium"]) == ("/dev/shm", "Memory")
        assert pod["nodeSelector"]["nodeSelectorJson"]
        assert pod["tolerations"][0]["tolerationJson"]
        gpus = containers_of(pipeline)[f"exec-{step}"]["resources"]["accelerator"]
        assert "preflight-gpu_type" in gpus["resourceType"]
        assert "preflight-gpus" in gpus["resourceCount"]


def test_what_the_pipelines_write_out_is_what_the_library_calls_it():
    from dico.configuration import pods
    from dico.process import retry
    from dico.process.run_name import RUN_VARIABLE
    from dico.storage.places import WORK_VARIABLE

    assert variables.NODE_VARIABLE == retry.NODE_VARIABLE
    assert variables.RUN_VARIABLE == RUN_VARIABLE
    assert variables.WORK_VARIABLE == WORK_VARIABLE
    assert variables.CPU_REQUEST == pods.CPU_REQUEST
    assert variables.MEMORY_REQUEST == pods.MEMORY_REQUEST


@pytest.mark.parametrize("name", PIPELINES)
def test_steps_try_again_by_themselves_alone(name):
    pipeline, kubernetes = read(name)
    assert not [key for key, task in tasks_of(pipeline).items() if "retryPolicy" in task]
    platform = kubernetes["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for key, pod in platform.items():
        fields = {entry["name"]: entry["fieldPath"] for entry in pod["fieldPathAsEnv"]}
        assert fields["DICO_NODE"] == "metadata.annotations['workflows.argoproj.io/node-name']", key


@pytest.mark.parametrize("name", PIPELINES)
def test_steps_that_run_a_model_in_one_process_get_one_gpu_and_others_none(name):
    pipeline, kubernetes = read(name)
    platform = kubernetes["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    ranks = {"pretrain-captioner", "finetune-captioner", "check-pod"}
    single = {"train-evaluator", "train-judge", "audit-evaluator", "extract-features",
              "generate-captions", "caption-with-champion", "evaluate-captions", "caption-batch"}  # fmt: skip
    for key, container in containers_of(pipeline).items():
        step = key.removeprefix("exec-")
        gpus = container["resources"].get("accelerator")
        assert (gpus is not None) == (step in ranks | single), key
        if step in single:
            assert "preflight-one_gpu_type" in gpus["resourceType"]
            assert "preflight-one_gpu" in gpus["resourceCount"]
            assert platform[key]["nodeSelector"]["nodeSelectorJson"]
            assert platform[key]["tolerations"][0]["tolerationJson"]


@pytest.mark.parametrize("name", PIPELINES)
def test_what_a_pod_refers_to_reaches_it(name):
    """Kubeflow finds a value only among the inputs of the group that the step is in."""
    pipeline, kubernetes = read(name)
    platform = kubernetes["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for part in (pipeline["root"], *pipeline["components"].values()):
        given = set(part.get("inputDefinitions", {}).get("parameters", {}))
        for key, task in part.get("dag", {}).get("tasks", {}).items():
            inputs = task.get("inputs", {}).get("parameters", {})
            asked = {
                one["componentInputParameter"]
                for one in inputs.values()
                if "componentInputParameter" in one
            }
            label = pipeline["components"][task["componentRef"]["name"]].get("executorLabel")
            if label:
                asked |= set(
                    re.findall("componentInputParameter: ([^\\n]+)", yaml.dump(platform[label]))
                )
                placeholders = yaml.dump(containers_of(pipeline)[label].get("resources", {}))
                wanted = set(re.findall(r"inputs\.parameters\['+([^']+)'", placeholders))
                assert wanted <= set(inputs), key
            assert asked <= given, key


@pytest.mark.parametrize("name", PIPELINES)
def test_no_host_and_no_floating_tag(name):
    text = (FOLDER / name).read_text()
    assert ":latest" not in text
    assert not re.findall(r"https?://(?!localhost)[\w.]+", text)
    images = {container["image"] for container in containers_of(read(name)[0]).values()}
    assert len(images) == 1
    assert "pipelinechannel--image" in images.pop()


@pytest.mark.parametrize("name", PIPELINES)
def test_the_run_is_summarised_whatever_happens(name):
    tasks = read(name)[0]["root"]["dag"]["tasks"]
    finish = tasks["summarise-run"]
    assert finish["triggerPolicy"]["strategy"] == "ALL_UPSTREAM_TASKS_COMPLETED"
    assert set(tasks) == {"summarise-run", "exit-handler-1"}


def test_places_in_the_run_folder_are_outputs_of_steps():
    outputs = set()
    for name in PIPELINES:
        pipeline = read(name)[0]
        for task in tasks_of(pipeline).values():
            component = pipeline["components"][task["componentRef"]["name"]]
            step = task["taskInfo"]["name"].replace("-", "_")
            names = component.get("outputDefinitions", {}).get("artifacts", {})
            outputs |= {(step, name) for name in names}
    assert outputs == set(PLACES)
