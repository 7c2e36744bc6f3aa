"""``dico doctor``: what this machine has, what it lacks, and how to mend it."""

import importlib.metadata
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from dico.errors import DicoError
from dico.provenance import code_version

MIN_FREE_GB = 5.0
MIN_SHARED_MEMORY_GB = 1.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, and what was found."""

    subject: str
    """What was looked at."""

    found: str
    """What is there."""

    advice: str = ""
    """What to do about it; empty where all is well."""

    required: bool = False
    """Whether dico cannot do its work without it."""


def doctor(
    runs: Annotated[Path, typer.Option(help="Folder of runs, where space is needed.")] = Path(
        "runs"
    ),
    registry: Annotated[
        str, typer.Option(help="Registry to try, a folder or s3:// prefix; empty for none.")
    ] = "",
) -> None:
    """Check what this machine has and lacks. Ends with 70 when something required is missing."""
    findings = examine(runs, registry)
    for finding in findings:
        mark = "ok  " if not finding.advice else "MISS" if finding.required else "note"
        advice = f"; {finding.advice}" if finding.advice else ""
        print(f"{mark}  {finding.subject:<20}{finding.found}{advice}")
    broken = [f.subject for f in findings if f.advice and f.required]
    if broken:
        raise DicoError(f"missing: {', '.join(broken)}")


def examine(runs: Path, registry: str) -> list[Finding]:
    """Looks at everything; never raises for what is missing."""
    findings = [
        Finding("dico", code_version()),
        Finding("python", f"{platform.python_version()} at {sys.executable}"),
        _package("torch", "train", "training and captioning"),
        _package("open_clip_torch", "train", "reading CLIP weights"),
        _package("kfp", "pipelines", "running and submitting pipelines"),
        _package("great-expectations", "validate", "validating datasets"),
        _package("pycocoevalcap", "metrics", "METEOR"),
        _program("java", "METEOR is left out of evaluations; install a Java runtime, 8 or newer"),
        _accelerator(),
        _memory(),
        _space(runs),
        _shared_memory(),
    ]
    if registry:
        findings.append(_registry(registry))
    return findings


def _package(name: str, extra: str, purpose: str) -> Finding:
    try:
        return Finding(name, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, "absent", f"needed for {purpose}: pip install 'dico[{extra}]'")


def _program(name: str, advice: str) -> Finding:
    path = shutil.which(name)
    return Finding(name, path or "absent", "" if path else advice)


def _accelerator() -> Finding:
    try:
        import torch
    except ImportError:
        return Finding("accelerator", "unknown without torch")
    if torch.cuda.is_available():
        return Finding("accelerator", torch.cuda.get_device_name(0))
    return Finding("accelerator", f"none; {torch.get_num_threads()} CPU threads")


def _memory() -> Finding:
    num_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Finding("memory", f"{num_bytes / 1e9:.1f} GB")


def _space(folder: Path) -> Finding:
    existing = next(p for p in [folder, *folder.absolute().parents] if p.exists())
    free = shutil.disk_usage(existing).free / 1e9
    if not os.access(existing, os.W_OK):
        return Finding("runs", f"{existing} cannot be written", "choose another --runs", True)
    advice = "" if free >= MIN_FREE_GB else f"make at least {MIN_FREE_GB:.0f} GB free"
    return Finding("runs", f"{existing}, {free:.1f} GB free", advice)


def _shared_memory() -> Finding:
    path = Path("/dev/shm")
    if not path.is_dir():
        return Finding("shared memory", "none on this system")
    size = shutil.disk_usage(path).total / 1e9
    advice = "" if size >= MIN_SHARED_MEMORY_GB else "data-loading workers may die of bus errors"
    return Finding("shared memory", f"{size:.2f} GB", advice)


def _registry(uri: str) -> Finding:
    from dico.registry import open_registry

    try:
        names = open_registry(uri).names()
    except DicoError as error:
        return Finding("registry", uri, str(error), True)
    return Finding("registry", f"{uri}: {', '.join(names) or 'no models yet'}")
