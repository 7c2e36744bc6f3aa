"""The values that a submitted run gets, checked here as far as a laptop can."""

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dico.errors import UsageError
from dico_pipelines.bucket_only import write_bucket_only
from dico_pipelines.cluster.pods import check_pods
from dico_pipelines.local.specification import Specification, parse_arguments, read_specification
from dico_pipelines.presets import settle

PLACES = ("dataset", "images", "inputs", "destination", "store", "registry")
"""Parameters that name a place, which pods must reach."""


def read_values(pipeline: Path, arguments: list[str]) -> tuple[Specification, dict[str, Any]]:
    """The pipeline, and the values that ``arguments`` give, each of its parameter's type.

    What is not given is left to the pipeline's own defaults.

    Raises:
        UsageError: an argument is wrong, or names a place of this machine.
        ConfigError: an unknown parameter, preset or setting, a value of the wrong type, or one of
            which no pod can be made.
    """
    specification = read_specification(pipeline)
    every = parse_arguments(specification, arguments)
    values = {key: every[key] for key in (text.partition("=")[0] for text in arguments)}
    settled = settle(every)
    values |= {key: value for key, value in settled.items() if value != every[key]}
    for key in PLACES:
        _require_shared(key, str(every.get(key, "")))
    check_pods(every)
    return specification, values


def needs_claim(values: Mapping[str, Any]) -> bool:
    """Whether a run keeps anything on the work volume: its store or its registry is no bucket."""
    places = [str(values[key]) for key in ("store", "registry") if key in values]
    return not places or not all("s3://" in place for place in places)


@contextmanager
def what_is_sent(pipeline: Path, values: Mapping[str, Any]) -> Iterator[Path]:
    """The file to send: the pipeline, without its claim where every place is in a bucket."""
    if needs_claim(values):
        yield pipeline
        return
    with tempfile.TemporaryDirectory(prefix="dico-") as folder:
        yield write_bucket_only(pipeline, Path(folder) / pipeline.name)


def check_pipeline_root(place: str) -> None:
    """Refuses a pipeline root that Kubeflow's driver would fail at, in the run's first pod.

    Raises:
        UsageError: it is neither empty nor a bucket.
    """
    if place and not re.match(r"(s3|minio|gs)://[^/?]", place):
        raise UsageError(
            f"--pipeline-root: {place} is no bucket; Kubeflow takes s3://, minio:// or gs://, a "
            "bucket and perhaps a folder in it"
        )


def _require_shared(key: str, value: str) -> None:
    """Refuses what only this machine has: a relative path."""
    for part in value.split(","):
        place = part.rpartition("=")[2] if "://" not in part else part
        if place and "://" not in place and not place.startswith("/"):
            raise UsageError(
                f"{key}: {place} is a path of this machine, which pods do not see; upload it and "
                f"give {key}=s3://bucket/..., or the path on a mounted volume"
            )
