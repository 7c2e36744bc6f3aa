"""Checks of all that a run needs, before anything expensive starts.

Each check returns a `Finding` and never raises for what is missing; `require` then stops with all
that is, in one line. The preflight step of every pipeline and ``dico doctor`` share these checks.
"""

import dataclasses
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dico.errors import AccessError, DicoError, StorageError
from dico.storage import open_store

if TYPE_CHECKING:
    from dico.data.formats import Columns
    from dico.models.captioner_config import CaptionerSettings
    from dico.training.configs import EvaluatorTrainingConfig, JudgeConfig

_ENCODERS = ("weights", "pac", "tower")
"""Settings that name an evaluator's models."""
MIN_SHARED_MEMORY_GB = 1.0
MIN_FREE_GB = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, and what was found."""

    subject: str
    """What was looked at."""

    found: str
    """What was found, such as '2 GPUs'."""

    advice: str = ""
    """What to do about it; empty where all is well."""

    required: bool = False
    """Whether dico cannot do its work without it."""

    exit_code: int = 70
    """Exit code of a run that stops for it; see `dico.errors`."""

    @property
    def missing(self) -> bool:
        """Whether the run cannot start."""
        return self.required and bool(self.advice)


class PreflightError(DicoError):
    """Something that the run needs is missing; ``exit_code`` is the first finding's."""

    def __init__(self, findings: list[Finding]) -> None:
        super().__init__("; ".join(f"{f.subject}: {f.advice}" for f in findings))
        self.exit_code = findings[0].exit_code


def require(findings: Iterable[Finding]) -> None:
    """Does nothing where all that is required is there.

    Raises:
        PreflightError: names everything that is missing.
    """
    missing = [finding for finding in findings if finding.missing]
    if missing:
        raise PreflightError(missing)


def check_place(name: str, uri: str, write: bool = True) -> Finding:
    """Whether a store or a registry can be reached, read and, where asked for, written to.

    Writes a small object of a random name, reads it and removes it again. A local folder that is
    not there yet is tried in the nearest folder that is.

    Args:
        name: what the place is for, such as ``store``.
        uri: folder or s3:// prefix.
        write: whether the run writes there.
    """
    if not uri:
        return Finding(name, "", "empty; give a folder or s3://bucket/prefix", True, exit_code=2)
    try:
        if uri.startswith(("kubeflow+", "mlflow+")):
            return _check_records(name, uri, write)
        if "://" in uri and not uri.startswith("file://"):
            _try_store(uri, write)
        else:
            _try_folder(Path(uri.removeprefix("file://")), write)
    except DicoError as error:
        return Finding(name, uri, str(error), True, error.exit_code)
    return Finding(name, f"{uri}: {'read and written' if write else 'read'}", required=True)


def _check_records(name: str, uri: str, write: bool) -> Finding:
    """A registry whose records are kept by a server: it answers, and its store can be used."""
    from dico.registry import open_registry

    open_registry(uri).names()
    place = check_place(name, uri.partition("?store=")[2], write)
    return dataclasses.replace(place, found=f"{uri}: answers; {place.found}")


def _try_store(uri: str, write: bool) -> None:
    store, key = open_store(uri), f".preflight-{uuid.uuid4().hex}"
    if not write:
        store.exists(key)
        return
    store.write_bytes(key, b"dico")
    try:
        if store.read_bytes(key) != b"dico":
            raise StorageError(f"{uri}: gave back other bytes than were written")
    finally:
        store.delete(key)


def _try_folder(folder: Path, write: bool) -> None:
    existing = next(path for path in [folder, *folder.absolute().parents] if path.exists())
    if not existing.is_dir():
        raise StorageError(f"{existing}: is a file, not a folder")
    try:
        if write:
            with tempfile.TemporaryFile(dir=existing):
                return
        os.listdir(existing)
    except PermissionError:
        verb = "write" if write else "read"
        raise AccessError(
            f"{existing}: user {os.getuid()} may not {verb} there; change the folder's rights or "
            "choose another"
        ) from None
    except OSError as error:
        raise StorageError(f"{existing}: {error.strerror}") from None


def check_dataset(
    dataset: str, images: str = "", format_name: str = "", columns: "Columns | None" = None
) -> Finding:
    """Whether a dataset's annotations are there, readable and of a known format.

    Args:
        dataset: annotations, a path or s3:// URI; empty for the toy dataset.
        images: folder of the images; empty if the annotations hold their paths.
        format_name: the dataset's format; empty means by content.
        columns: the columns that the settings name; None where they name none.
    """
    if not dataset:
        return Finding("dataset", "the toy dataset, rendered by the run", required=True)
    from dico.data.formats import Columns as KnownNames
    from dico.data.formats import detect

    try:
        found = detect(dataset, images, format_name, columns or KnownNames())
    except DicoError as error:
        return Finding("dataset", dataset, str(error), True, error.exit_code)
    return Finding("dataset", f"{dataset}: {found.format}", required=True)


def check_weights(
    evaluator: "EvaluatorTrainingConfig",
    judge: "JudgeConfig",
    captioner: "CaptionerSettings",
    store: str,
) -> list[Finding]:
    """Whether each name of published weights means an encoder or a captioner; nothing is fetched.

    Where the Hub cannot be asked from here, prepare_weights says so, from where it must be.
    """
    named = [(f"evaluator.{field}", getattr(evaluator, field)) for field in _ENCODERS]
    if judge.enabled:
        named += [(f"judge.{field}", getattr(judge, field)) for field in _ENCODERS]
    findings = [_check_name(setting, name, store, None) for setting, name in named if name]
    if captioner.architecture == "huggingface":
        setting = "captioner.checkpoint"
        findings.append(_check_name(setting, captioner.checkpoint, store, captioner))
    return findings


def _check_name(
    setting: str, name: str, store: str, captioner: "CaptionerSettings | None"
) -> Finding:
    from dico.weights.checks import check_captioner, check_encoder
    from dico.weights.keeping import resolve
    from dico.weights.packages import PREFIX, find_pair, is_packaged

    try:
        if is_packaged(name):
            find_pair(name.removeprefix(PREFIX), setting)
            return Finding(setting, name, required=True)
        resolved = resolve(name, setting, open_store(store))
        if captioner is not None:
            check_captioner(resolved, captioner)
        elif not setting.endswith(".pac"):
            check_encoder(resolved)
    except StorageError as error:
        return Finding(setting, name, str(error))
    except DicoError as error:
        advice = str(error).removeprefix(f"{setting}: ")
        return Finding(setting, name, advice, True, error.exit_code)
    commit = f" at commit {resolved.commit[:12]}" if resolved.commit else ""
    return Finding(setting, f"{name}{commit}", required=True)


def check_gpus(num_gpus: int) -> Finding:
    """Whether at least ``num_gpus`` GPUs are visible to this process and work.

    Args:
        num_gpus: how many the run asked for; with 0 torch is not loaded.
    """
    if num_gpus == 0:
        return Finding("GPUs", "none asked for", required=True)
    import torch

    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    if len(names) < num_gpus:
        advice = (
            f"{num_gpus} asked for, {len(names)} visible; check the image (a CUDA build: "
            f"torch is {torch.__version__}), the node's driver, gpu_type and tolerations"
        )
        return Finding("GPUs", ", ".join(names) or "none", advice, True)
    try:
        for i in range(num_gpus):
            torch.ones(8, 8, device=f"cuda:{i}").sum().item()
    except RuntimeError as error:
        return Finding("GPUs", ", ".join(names), f"visible but unusable: {error}", True)
    return Finding("GPUs", ", ".join(names), required=True)


def check_shared_memory(required: bool = False) -> Finding:
    """Whether /dev/shm is large enough for loading workers and for ranks that exchange tensors."""
    path = Path("/dev/shm")
    if not path.is_dir():
        return Finding("shared memory", "none on this system")
    size = shutil.disk_usage(path).total / 1e9
    advice = ""
    if size < MIN_SHARED_MEMORY_GB:
        advice = f"mount {MIN_SHARED_MEMORY_GB:.0f} GB of memory or more at /dev/shm"
    return Finding("shared memory", f"{size:.2f} GB", advice, required)


def check_space(folder: Path, min_free_gb: float = MIN_FREE_GB, required: bool = False) -> Finding:
    """Whether the disk below ``folder`` has room for copies of features and models."""
    existing = next(p for p in [folder, *folder.absolute().parents] if p.exists())
    free = shutil.disk_usage(existing).free / 1e9
    advice = "" if free >= min_free_gb else f"make at least {min_free_gb:.0f} GB free"
    return Finding("space", f"{existing}, {free:.1f} GB free", advice, required, exit_code=74)
