"""Step: what a run needs, checked before anything expensive starts; and what it starts from.

Resources leave this step as text, because a pod's limits are read from text: a number would be
taken for nothing, and the step would quietly run without its GPU.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dico.configuration.pods import check_nodes, resources_of
from dico.configuration.schema import to_json
from dico.data.formats.columns import Columns
from dico.errors import ConfigError
from dico.preflight import Finding, check_dataset, check_place, check_weights, require
from dico.presets.config import Config, resolve
from dico.presets.plugins import check_plugins
from dico.steps.find_champion import find_champion
from dico.storage.places import default_place

LARGEST_INTEGER = 2**53
"""From here on not every whole number is a 64-bit float, as which Kubeflow keeps numbers."""


class Outputs(NamedTuple):
    """Places, and resources of the pods, as later steps use them."""

    store: str
    registry: str
    gpu_type: str
    gpus: str
    one_gpu_type: str
    one_gpu: str
    cpu: str
    memory: str
    pod: str
    dataset: str
    images: str
    dataset_version: str
    model_name: str
    champion: str
    version: str
    known: str
    baseline: str


def preflight(
    purpose: str,
    dataset: str,
    images: str,
    preset: str,
    overrides: str,
    seed: int,
    store: str,
    registry: str,
    model_name: str,
    version: str,
    force: bool,
    gpu_type: str,
    gpus: int,
    num_nodes: int,
    cpu: str,
    memory: str,
    node_selector: Mapping[str, str],
    tolerations: Sequence[Mapping[str, Any]],
) -> Outputs:
    """Checks settings, dataset, store and registry, and says all that is missing at once.

    Then it names what the run starts from: the dataset, where none is given the toy dataset, and
    the model's versions.

    Raises:
        ConfigError: a setting is unknown, of the wrong type or out of range.
        PreflightError: a place or the dataset cannot be used.
        UsageError: there is no version to work with.
    """
    config = resolve(preset, overrides)
    check_plugins(config)
    _require_whole(seed=seed, gpus=gpus, num_nodes=num_nodes)
    resources = resources_of(gpu_type, gpus, num_nodes, cpu, memory)
    check_nodes(node_selector, tolerations)
    if config.captioner.load_in_4bit and not gpus:
        raise ConfigError("captioner.load_in_4bit: needs a GPU of CUDA; give gpus=1")
    store, registry = default_place(store, "store"), default_place(registry, "registry")
    findings = [check_place("store", store), check_place("registry", registry)]
    if purpose != "caption":
        findings.append(check_dataset(dataset, images, *_told(config)))
    if purpose == "train":
        findings += check_weights(config.evaluator, config.judge, config.captioner, store)
    _show(findings)
    require(findings)
    versions = find_champion(
        registry,
        model_name or preset,
        version,
        purpose,
        f"{preset} {overrides}",
        force,
        store,
        config.finetune.reward,
    )
    source = ("", "", "")
    if purpose != "caption":
        source = _find_dataset(config, dataset, images, seed, store)
    pod = {
        "resources": resources,
        "node_selector": dict(node_selector),
        "tolerations": [dict(toleration) for toleration in tolerations],
    }
    # With several nodes the step's own pod only follows them.
    own = gpus if num_nodes == 1 else 0
    return Outputs(
        store,
        registry,
        gpu_type if own else "",
        str(own),
        gpu_type if gpus else "",
        str(min(gpus, 1)),
        cpu,
        memory,
        json.dumps(pod, sort_keys=True),
        *source,
        *versions,
    )


def _require_whole(**numbers: float) -> None:
    """Refuses what Kubeflow takes for a whole number, or may have rounded on its way here."""
    for name, number in numbers.items():
        if not isinstance(number, int):
            raise ConfigError(f"{name}: expected a whole number, got {number}")
        if abs(number) >= LARGEST_INTEGER:
            raise ConfigError(f"{name}: {number} is 2^53 or more, which Kubeflow rounds")


def _find_dataset(
    config: Config, dataset: str, images: str, seed: int, store: str
) -> tuple[str, str, str]:
    from dico.steps.resolve_dataset import resolve_dataset

    return resolve_dataset(dataset, images, to_json(config.toy), seed, store, *_told(config))


def _told(config: Config) -> tuple[str, Columns]:
    """The format and the columns of the dataset, as the settings of validation name them."""
    told = config.validation
    return told.format, Columns.named(told.image_column, told.caption_column, told.where)


def _show(findings: Sequence[Finding]) -> None:
    width = max((len(finding.subject) for finding in findings), default=0)
    for finding in findings:
        mark = "MISS" if finding.missing else "ok  "
        print(f"{mark}  {finding.subject:<{width}}  {finding.found}")
