"""``dico doctor``: what this machine or this pod has, what it lacks, and how to fix it."""

import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import typer

from dico.cli.cluster import Endpoint, Namespace, TokenFile
from dico.errors import DicoError
from dico.preflight import (
    Finding,
    check_dataset,
    check_gpus,
    check_place,
    check_shared_memory,
    check_space,
    require,
)
from dico.process import limits
from dico.process.provenance import code_version
from dico.storage.places import default_place


def doctor(
    runs: Annotated[Path, typer.Option(help="Folder of runs; checked for free space.")] = Path(
        "runs"
    ),
    store: Annotated[
        str, typer.Option(help="Store to test, a folder or s3:// prefix; empty for none.")
    ] = "",
    registry: Annotated[
        str, typer.Option(help="Registry to test, a folder or s3:// prefix; empty for none.")
    ] = "",
    dataset: Annotated[str, typer.Option(help="Annotations to test; empty for none.")] = "",
    images: Annotated[str, typer.Option(help="Folder of the dataset's images.")] = "",
    gpus: Annotated[int, typer.Option(min=0, help="GPUs that must work here.")] = 0,
    endpoint: Endpoint = "",
    namespace: Namespace = "",
    token_file: TokenFile = "",
) -> None:
    """Check what this machine, or the pod it runs in, has and lacks.

    Ends with 0 where nothing required is missing, else with the code of the first that is.
    """
    findings = examine(runs, registry, store, dataset, images, gpus)
    findings += _cluster(endpoint, namespace, token_file)
    width = max(len(finding.subject) for finding in findings)
    for finding in findings:
        mark = "ok  " if not finding.advice else "MISS" if finding.required else "note"
        advice = f"; {finding.advice}" if finding.advice else ""
        print(f"{mark}  {finding.subject:<{width}}  {finding.found}{advice}")
    require(findings)


def examine(
    runs: Path,
    registry: str = "",
    store: str = "",
    dataset: str = "",
    images: str = "",
    gpus: int = 0,
) -> list[Finding]:
    """Looks at everything here; never raises for what is missing."""
    findings = [
        Finding("dico", code_version()),
        Finding("python", f"{platform.python_version()} at {sys.executable}"),
        _package("torch", "train", "training and captioning"),
        _package("open_clip_torch", "train", "reading CLIP weights"),
        _package("kfp", "pipelines", "running and submitting pipelines"),
        _package("great-expectations", "validate", "validating datasets"),
        _package("pycocoevalcap", "metrics", "METEOR"),
        _program("java", "METEOR is left out of evaluations; install a Java runtime, 8 or newer"),
        _place_of_work(),
        _accelerator(gpus),
        _cpus(),
        _memory(),
        check_shared_memory(required=gpus > 1),
        _writable(Path(tempfile.gettempdir())),
        _runs(runs),
    ]
    places = {
        "store": default_place(store, "store"),
        "registry": default_place(registry, "registry"),
    }
    if any(uri.startswith("s3://") for uri in (*places.values(), dataset)):
        findings.append(_credentials())
    findings += [_place(name, uri) for name, uri in places.items() if uri]
    if dataset:
        findings.append(check_dataset(dataset, images))
    return findings


def _package(name: str, extra: str, purpose: str) -> Finding:
    try:
        return Finding(name, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(
            name, "absent", f"needed for {purpose}: pip install 'dico-captioner[{extra}]'"
        )


def _program(name: str, advice: str) -> Finding:
    path = shutil.which(name)
    return Finding(name, path or "absent", "" if path else advice)


def _place_of_work() -> Finding:
    """Whether this is a pod, and as whom it runs."""
    user = f"user {os.getuid()}, group {os.getgid()}"
    if "KUBERNETES_SERVICE_HOST" not in os.environ:
        return Finding("here", f"no pod, {user}")
    advice = "run as another user than root" if os.getuid() == 0 else ""
    return Finding("here", f"pod {os.environ.get('HOSTNAME', '')}, {user}", advice)


def _accelerator(gpus: int) -> Finding:
    try:
        import torch
    except ImportError:
        missing = gpus > 0
        return Finding("GPUs", "unknown without torch", "install torch" if missing else "", missing)
    if gpus:
        return check_gpus(gpus)
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return Finding("GPUs", ", ".join(names) or "none")


def _memory() -> Finding:
    """Memory that this process may use, and how much the machine has."""
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    usable = limits.memory_bytes()
    beside = f", of the machine's {installed / 1e9:.1f} GB" if usable < installed else ""
    return Finding("memory", f"{usable / 1e9:.1f} GB{beside}")


def _cpus() -> Finding:
    """CPUs that this process may use, fractions included."""
    cpus, installed = limits.num_cpus(), os.cpu_count() or 1
    beside = f", of the machine's {installed}" if cpus < installed else ""
    return Finding("CPUs", f"{cpus:g}{beside}; {limits.num_threads()} threads")


def _writable(folder: Path) -> Finding:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return Finding("temporary files", f"{folder}, written")
    except OSError as error:
        advice = "mount an empty volume there, or name another folder by TMPDIR"
        return Finding("temporary files", f"{folder}: {error.strerror}", advice, True, 74)


def _runs(folder: Path) -> Finding:
    found = check_space(folder)
    existing = next(path for path in [folder, *folder.absolute().parents] if path.exists())
    if not os.access(existing, os.W_OK):
        return Finding("runs", f"{existing} cannot be written", "choose another --runs", True, 77)
    return Finding("runs", found.found, found.advice)


def _place(name: str, uri: str) -> Finding:
    """A store or a registry, the latter with the models that it holds."""
    found = check_place(name, uri)
    if name != "registry" or found.missing:
        return found
    from dico.registry import open_registry

    try:
        names = open_registry(uri).names()
    except DicoError as error:
        return Finding(name, uri, str(error), True, error.exit_code)
    return Finding(name, f"{found.found}; {', '.join(names) or 'no models yet'}", required=True)


def _credentials() -> Finding:
    """Where boto3 finds keys: never the keys."""
    import boto3

    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
    where = {
        "env": "variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        "shared-credentials-file": "the file of AWS credentials",
        "assume-role-with-web-identity": "the pod's service account, by an IAM role",
    }
    try:
        found = boto3.Session().get_credentials()
    except Exception as error:  # a broken profile: whatever boto3 makes of it
        return Finding("credentials", "broken", f"{type(error).__name__}: {error}", True, 77)
    if found is None:
        advice = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or bind the account to a role"
        return Finding("credentials", "none", advice, True, 77)
    return Finding("credentials", f"from {where.get(found.method, found.method)}", required=True)


def _cluster(endpoint: str, namespace: str, token_file: str) -> list[Finding]:
    found = next(iter(entry_points(group="dico.commands", name="doctor")), None)
    if found is None:
        return []
    try:
        return list(found.load()(endpoint, namespace, token_file))
    except ImportError as error:
        advice = "pip install 'dico-captioner[pipelines]'"
        return [Finding("kubeflow pipelines", f"no client ({error.name})", advice)]
    except DicoError as error:
        return [Finding("kubeflow pipelines", "not usable", str(error), True, error.exit_code)]
