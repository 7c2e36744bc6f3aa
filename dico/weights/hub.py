"""The Hugging Face Hub by its own client: names to commits, and files by their digests.

HF_ENDPOINT, HF_HOME, HF_HUB_OFFLINE and HF_TOKEN mean what they mean to the client. No code of a
repository is fetched or run.
"""

import fnmatch
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from dico.errors import AccessError, ConfigError, DataError, StorageError, one_line
from dico.storage import sha256_file

T = TypeVar("T")
TIMEOUT_SECONDS = 10.0
SHA256_DIGITS = 64
MODEL_FILES = (
    "*.json", "*.txt", "*.model", "*.jinja", "*.safetensors", "*.bin",
)  # fmt: skip
_NOT_WEIGHTS = ("training_args.bin", "optimizer.bin", "scheduler.bin", "rng_state*")
_NOT_TORCH = ("onnx", "tf_model", "flax_model", "openvino", "coreml")


@dataclass(frozen=True)
class HubFile:
    """A file of a commit."""

    path: str
    """Inside the repository."""
    num_bytes: int
    """Its size."""
    digest: str
    """SHA-256 where the Hub has it (large files), else git's."""


@dataclass(frozen=True)
class HubCommit:
    """A repository at one commit."""

    repository: str
    """ORG/NAME."""
    commit: str
    """Name of the commit, 40 digits."""
    files: tuple[HubFile, ...]
    """All its files."""
    licence: str
    """As its card has it."""
    gated: bool
    """Whether its owner asks users to accept terms first."""
    trained_on: str = ""
    """Data sets that its card names."""

    @property
    def paths(self) -> list[str]:
        """Names of all files."""
        return [file.path for file in self.files]

    def key(self, paths: Iterable[str], architecture: str = "") -> str:
        """Digest of some of the files by their content, so that equal files are kept once."""
        chosen = set(paths)
        lines = [f"{f.path} {f.digest}" for f in self.files if f.path in chosen]
        lines += [architecture] if architecture else []
        return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:32]


class HubUnreachableError(StorageError):
    """There is no network, or the Hub does not answer."""


def find_commit(repository: str, revision: str, setting: str) -> HubCommit:
    """What a repository's name means now.

    Raises:
        ConfigError: no such repository or revision.
        AccessError: it is gated, and this token may not read it.
        HubUnreachableError: nobody can be asked.
    """
    info = _asked(
        lambda api: api.model_info(
            repository, revision=revision or None, files_metadata=True, timeout=TIMEOUT_SECONDS
        ),
        repository,
        revision,
        setting,
    )
    card = getattr(info, "card_data", None)
    tags = [tag.removeprefix("license:") for tag in info.tags or [] if tag.startswith("license:")]
    licence = str(getattr(card, "license", None) or next(iter(tags), ""))
    files = tuple(
        HubFile(s.rfilename, s.size or 0, s.lfs.sha256 if s.lfs else str(s.blob_id))
        for s in info.siblings or []
    )
    return HubCommit(repository, str(info.sha), files, licence, bool(info.gated), _data_sets(card))


def _data_sets(card: Any) -> str:
    """``datasets`` of a card: a name, or a list of them."""
    named = getattr(card, "datasets", None) or []
    return ", ".join([named] if isinstance(named, str) else [str(name) for name in named])


def fetch(found: HubCommit, paths: Iterable[str], folder: Path, setting: str) -> None:
    """Copies files of a commit into ``folder``, from the client's cache where they are there.

    Raises:
        AccessError, ConfigError, HubUnreachableError: as by `find_commit`.
        DataError: the bytes are not those that the Hub lists.
    """
    import huggingface_hub
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    expected = {file.path: file for file in found.files}
    for path in paths:
        place = folder / path
        cached = huggingface_hub.try_to_load_from_cache(
            found.repository, path, revision=found.commit
        )
        if isinstance(cached, str):
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(cached, place)
        else:
            _download(found, path, folder, setting)
        digest = expected[path].digest
        if len(digest) == SHA256_DIGITS and sha256_file(place) != digest:
            raise DataError(
                f"{found.repository}/{path}: its bytes are not those that the Hub lists"
            )
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # the client's own notes


def tensor_shapes(found: HubCommit, setting: str) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors of a repository, by the headers of its safetensors; none without any.

    Raises:
        AccessError, ConfigError, HubUnreachableError: as by `find_commit`.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for path in model_files(found):
        if path.endswith(".safetensors"):
            shapes |= _shapes_of(found, path, setting)
    return shapes


def _shapes_of(found: HubCommit, path: str, setting: str) -> dict[str, tuple[int, ...]]:
    def ask(api: Any) -> Any:
        return api.parse_safetensors_file_metadata(found.repository, path, revision=found.commit)

    header = _asked(ask, found.repository, found.commit, setting)
    return {name: tuple(tensor.shape) for name, tensor in header.tensors.items()}


def _download(found: HubCommit, path: str, folder: Path, setting: str) -> None:
    import huggingface_hub

    _asked(
        lambda api: huggingface_hub.hf_hub_download(
            found.repository,
            path,
            revision=found.commit,
            local_dir=folder,
            endpoint=api.endpoint,
            token=api.token,
        ),
        found.repository,
        found.commit,
        setting,
    )


def upload(repository: str, folder: Path, message: str, private: bool, setting: str) -> str:
    """Commits a folder's files to a repository, which is made where there is none.

    Returns:
        The address of the commit.

    Raises:
        AccessError: HF_TOKEN is missing or may not write there.
        HubUnreachableError: the Hub cannot be asked.
    """

    def commit(api: Any) -> str:
        api.create_repo(repository, private=private, exist_ok=True)
        made = api.upload_folder(
            repo_id=repository, folder_path=str(folder), commit_message=message
        )
        return str(made.commit_url)

    return _asked(commit, repository, "main", setting)


def model_files(found: HubCommit) -> list[str]:
    """Files at the top of a repository that a model is read from, without other libraries' weights.

    Weights as safetensors leave out the same weights as ``.bin``.
    """
    top = [path for path in found.paths if "/" not in path and _is_model_file(path)]
    if any(path.endswith(".safetensors") for path in top):
        top = [path for path in top if not path.endswith((".bin", ".bin.index.json"))]
    if "open_clip_model.safetensors" in top and "model.safetensors" in top:
        top.remove("model.safetensors")
    return top


def _is_model_file(path: str) -> bool:
    known = any(fnmatch.fnmatch(path, pattern) for pattern in MODEL_FILES)
    refused = any(fnmatch.fnmatch(path, pattern) for pattern in _NOT_WEIGHTS)
    return known and not refused and not path.startswith(_NOT_TORCH)


def is_offline() -> bool:
    """Whether the user forbade to ask the Hub."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def _asked(ask: Callable[[Any], T], repository: str, revision: str, setting: str) -> T:
    """The Hub's answer, its refusals and absences in one line each."""
    import huggingface_hub
    from huggingface_hub import errors

    if is_offline():
        raise HubUnreachableError(f"{setting}: {repository}: HF_HUB_OFFLINE is set")
    endpoint = os.environ.get("HF_ENDPOINT") or None
    api = huggingface_hub.HfApi(endpoint=endpoint, token=os.environ.get("HF_TOKEN") or None)
    try:
        return ask(api)
    except errors.GatedRepoError:
        raise AccessError(
            f"{setting}: {repository} is gated: accept its terms at {api.endpoint}/{repository} and "
            "give your token as HF_TOKEN"
        ) from None
    except errors.RepositoryNotFoundError:
        raise ConfigError(
            f"{setting}: {api.endpoint} has no model {repository}, or it is private and HF_TOKEN "
            "may not read it"
        ) from None
    except errors.RevisionNotFoundError:
        raise ConfigError(f"{setting}: {repository} has no revision {revision!r}") from None
    except errors.EntryNotFoundError as error:
        raise ConfigError(f"{setting}: {repository}: {_short(error)}") from None
    except errors.HFValidationError as error:
        raise ConfigError(f"{setting}: {_short(error)}") from None
    except Exception as error:
        if getattr(getattr(error, "response", None), "status_code", 0) in (401, 403):
            raise AccessError(
                f"{setting}: {api.endpoint} refuses this for {repository}; HF_TOKEN must be a token "
                "that may do it"
            ) from None
        reason = f"{type(error).__name__}: {_short(error)}"
        raise HubUnreachableError(
            f"{setting}: {api.endpoint} cannot be asked for {repository} ({reason})"
        ) from None


def _short(error: BaseException) -> str:
    return one_line(error, 160)
