"""What a run asks for its pods."""

import pytest

from dico.configuration.pods import check_nodes, resources_of
from dico.errors import ConfigError


def test_resources_are_what_kubernetes_reads():
    assert resources_of("nvidia.com/gpu", 2, 1, "500m", "16Gi") == {
        "limits": {"cpu": "500m", "memory": "16Gi", "nvidia.com/gpu": "2"},
        "requests": {"cpu": "250m", "memory": "512Mi"},
    }
    assert "nvidia.com/gpu" not in resources_of("nvidia.com/gpu", 0, 1, "4", "16Gi")["limits"]


@pytest.mark.parametrize("cpu", ["250m", "0.25", "1", "1k"])
def test_the_least_of_cpus(cpu):
    assert resources_of("", 0, 1, cpu, "16Gi")["limits"]["cpu"] == cpu


@pytest.mark.parametrize("memory", ["536870912", "524288Ki", "512Mi", "537M", "0.5Gi"])
def test_the_least_of_memory(memory):
    assert resources_of("", 0, 1, "4", memory)["limits"]["memory"] == memory


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"cpu": "249m"}, "cpu: must be at least 250m, which pods request; got 249m"),
        ({"cpu": "0"}, "cpu: must be at least 250m"),
        ({"memory": "512M"}, "memory: must be at least 512Mi, which pods request; got 512M"),
        ({"memory": "511Mi"}, "memory: must be at least 512Mi"),
        ({"memory": "16K"}, "memory: expected a quantity such as 4 or 16Gi, got '16K'"),
        ({"gpus": 1, "gpu_type": ""}, "gpu_type: empty"),
    ],
)
def test_pods_that_kubernetes_would_refuse(asked, words):
    sound = {"gpu_type": "", "gpus": 0, "num_nodes": 1, "cpu": "4", "memory": "16Gi"}
    with pytest.raises(ConfigError, match=words):
        resources_of(**sound | asked)


@pytest.mark.parametrize(
    "toleration",
    [
        {"key": "gpu", "operator": "Exists", "effect": "NoSchedule"},
        {"key": "gpu", "value": "a100", "effect": "NoExecute", "tolerationSeconds": 60},
        {"operator": "Exists"},
    ],
)
def test_tolerations_as_kubernetes_writes_them(toleration):
    check_nodes({"pool": "gpu", "size": "8"}, [toleration])


@pytest.mark.parametrize(
    ("toleration", "words"),
    [
        ("gpu", "expected an object with key, operator, effect in gpu"),
        ({"kye": "gpu"}, "unknown field kye; known are effect, key, operator"),
        ({"key": "gpu", "operator": "exists"}, "operator must be Equal or Exists, got 'exists'"),
        ({"key": "gpu", "effect": "NoRun"}, "effect must be one of NoSchedule, PreferNoSchedule"),
        ({"value": "gpu"}, "without a key operator must be Exists"),
        ({"key": "a", "operator": "Exists", "value": "b"}, "Exists takes no value"),
    ],
)
def test_tolerations_that_are_none(toleration, words):
    with pytest.raises(ConfigError, match=f"tolerations: {words}"):
        check_nodes({}, [toleration])


def test_a_label_is_a_text():
    with pytest.raises(ConfigError, match='node_selector: size: expected a text such as "8"'):
        check_nodes({"size": 8}, [])
