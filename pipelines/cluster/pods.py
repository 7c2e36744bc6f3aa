"""What a run's pods are made of, checked before anything is sent: names, image, resources, nodes."""

import re
from collections.abc import Mapping
from typing import Any

from dico.configuration.pods import check_nodes, resources_of
from dico.errors import ConfigError

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_IMAGE = re.compile(
    r"([A-Za-z0-9.-]+(:[0-9]+)?/)?"  # registry
    r"[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"
    r"(:\w[\w.-]{0,127})?(@sha256:[0-9a-f]{64})?"
)


_RESOURCES = ("gpu_type", "gpus", "num_nodes", "cpu", "memory")
_PARAMETERS = {"image", "volume", "secret", "node_selector", "tolerations", *_RESOURCES}


def check_pods(values: Mapping[str, Any]) -> None:
    """Refuses parameters of which Kubernetes would make no pod; of a pipeline of dico's alone.

    Raises:
        ConfigError: names the parameter, and what it may be.
    """
    if not values.keys() >= _PARAMETERS:
        return
    if not _IMAGE.fullmatch(values["image"]):
        raise ConfigError(
            f"image: {values['image']!r} is not the name of an image, such as "
            "registry.example.com/dico@sha256: and 64 digits"
        )
    for key in ("volume", "secret"):
        if not _NAME.fullmatch(values[key]):
            raise ConfigError(
                f"{key}: {values[key]!r} is not a name in Kubernetes: lower-case letters, digits, "
                "hyphens and dots"
            )
    resources_of(**{key: values[key] for key in _RESOURCES})
    check_nodes(values["node_selector"], values["tolerations"])
