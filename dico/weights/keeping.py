"""Weights into a store, once, and out of it again.

    STORE/weights/files/KEY/   files of one commit, file or prefix, with their digests
    STORE/weights/names/       what each name meant when it was last resolved: asked without a network

Files and folders of the user's own stay where they are: their digest alone is taken.
"""

import dataclasses
import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dico.configuration.schema import from_dict, to_dict
from dico.errors import ConfigError, DigestError, StorageError
from dico.storage import Store, open_store, sha256_file, split_uri, verify_digests
from dico.storage.digests import DIGESTS
from dico.weights import hub
from dico.weights.names import PAC_FILES, Name, read_name
from dico.weights.pins import Pin

FILES, NAMES = "weights/files", "weights/names"
TEXT_CONFIG = "text_config.json"
"""Settings of the model of transformers that reads the text of an open_clip model."""
TOKENIZER_FILES = (
    "tokenizer", "vocab", "merges", "special_tokens", "added_tokens", "spiece", "sentencepiece",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Resolved:
    """A name, and the repository at the commit that it means now, where it is one."""

    name: Name
    """What was asked for."""
    setting: str
    """What the user called it."""
    found: hub.HubCommit | None = None
    """On the Hub; None for files, or where a pin is known already."""
    kept: Pin | None = None
    """What a store without a network knows it by."""
    architecture: str = ""
    """open_clip's MODEL:TAG."""

    @property
    def commit(self) -> str:
        """The commit that it means; empty for what is no repository."""
        return self.found.commit if self.found else self.kept.commit if self.kept else ""


def resolve(text: str, setting: str, store: Store) -> Resolved:
    """What a name means now; nothing large is fetched.

    Raises:
        ConfigError: it names nothing.
        AccessError: the repository is gated or private.
        StorageError: the Hub cannot be asked, and the store does not know the name.
    """
    name = read_name(text, setting)
    repository, revision, architecture = name.place, name.revision, ""
    if name.kind == "published":
        return _published(name, setting, store)
    if name.kind == "open_clip":
        repository, architecture = open_clip_repository(name.place, setting), name.place
    elif name.kind != "hub":
        return Resolved(name, setting)
    try:
        found = hub.find_commit(repository, revision, setting)
        return Resolved(name, setting, found, architecture=architecture)
    except hub.HubUnreachableError as error:
        kept = _known(name, store)
        if kept is None:
            raise StorageError(f"{error}; {how_to_fetch(text, store.uri)}") from None
        print(f"{error}; {text} is taken at commit {kept.commit[:12]}, as kept", file=sys.stderr)
        return Resolved(name, setting, kept=kept, architecture=architecture)


def keep(resolved: Resolved, store: Store) -> Pin:
    """The pin of a resolved name; its files are fetched where the store does not have them.

    Raises:
        StorageError: they cannot be fetched or written.
        DataError: they hold no weights that can be read safely.
    """
    name, found = resolved.name, resolved.found
    if resolved.kept is not None:
        return resolved.kept
    if name.kind == "local":
        return Pin(name.text, name.place, content_digest(Path(name.place)))
    if name.kind == "s3":
        return _keep_object(name, store)
    assert found is not None
    paths = hub.model_files(found)
    if not any(path.endswith((".safetensors", ".bin")) for path in paths):
        raise ConfigError(f"{resolved.setting}: {found.repository} holds no weights")
    key = f"{FILES}/{found.key(paths, resolved.architecture)}"
    if not store.exists(key):
        with tempfile.TemporaryDirectory(prefix="weights-") as working:
            folder = Path(working)
            hub.fetch(found, paths, folder, resolved.setting)
            convert_bin(folder)
            fetch_companions(folder, resolved.architecture, resolved.setting)
            store.publish(folder, key)
    pin = Pin(
        name.text,
        _uri(store, key),
        _folder_digest(store, key),
        found.commit,
        found.licence,
        found.trained_on,
        resolved.architecture,
    )
    remember_pin(pin, store)
    return pin


def keep_file(path: Path, store: Store) -> Pin:
    """Puts a file that its authors publish outside the Hub into the store, under its own name."""
    with tempfile.TemporaryDirectory(prefix="weights-") as working:
        shutil.copyfile(path, Path(working) / path.name)
        key = f"{FILES}/{sha256_file(path)[:32]}"
        store.publish(working, key)
    pin = Pin(path.name, _uri(store, f"{key}/{path.name}"), sha256_file(path))
    remember_pin(pin, store)
    return pin


def known_pins(store: Store) -> list[Pin]:
    """All names that the store knows, sorted."""
    pins = [_read_pin(store, key) for key in store.list(NAMES) if key.endswith(".json")]
    return sorted(pins, key=lambda pin: pin.name)


@contextmanager
def at_hand(pin: Pin) -> Iterator[Path]:
    """The pinned file or folder on this machine while it lasts, checked by its digest.

    Raises:
        DigestError: it is not what was pinned.
    """
    if "://" not in pin.uri:
        found = content_digest(Path(pin.uri))
        if found != pin.sha256:
            raise DigestError(f"{pin.uri}: changed since it was pinned; start the run again")
        yield Path(pin.uri)
        return
    prefix, key = split_uri(pin.uri)
    with tempfile.TemporaryDirectory(prefix="weights-") as working:
        yield open_store(prefix).fetch(key, Path(working) / (key or "weights"), pin.sha256)


def content_digest(path: Path) -> str:
    """SHA-256 of a file, or over the names and digests of a folder's files.

    A folder that has digests.json is known by that file's, which is what a store checks.
    """
    if path.is_file():
        return sha256_file(path)
    if (path / DIGESTS).is_file():
        verify_digests(path)
        return sha256_file(path / DIGESTS)
    names = sorted(p for p in path.rglob("*") if p.is_file() and ".cache" not in p.parts)
    lines = [f"{p.relative_to(path).as_posix()} {sha256_file(p)}" for p in names]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def open_clip_repository(place: str, setting: str) -> str:
    """The repository of open_clip's MODEL:TAG.

    Raises:
        ConfigError: open_clip knows no such model or tag.
    """
    from dico.models.torchvision_compat import ensure_torchvision_imports

    ensure_torchvision_imports()
    import open_clip

    model, _, tag = place.partition(":")
    if open_clip.get_model_config(model) is None:
        raise ConfigError(f"{setting}: open_clip knows no model {model!r}{_close(model)}")
    known = open_clip.get_pretrained_cfg(model, tag)
    if not known:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(model))
        raise ConfigError(f"{setting}: {model} has no {tag!r}; known are {tags}")
    return "/".join(str(known["hf_hub"]).split("/")[:2])


def fetch_companions(folder: Path, architecture: str, setting: str) -> None:
    """What an open_clip model takes from other repositories: its text model's settings and words."""
    text = open_clip_settings(folder, architecture).get("text_cfg", {})
    if text.get("hf_model_name"):
        found = hub.find_commit(str(text["hf_model_name"]), "", setting)
        with tempfile.TemporaryDirectory(prefix="weights-") as working:
            hub.fetch(found, ["config.json"], Path(working), setting)
            (Path(working) / "config.json").rename(folder / TEXT_CONFIG)
    if text.get("hf_tokenizer_name") and not (folder / "tokenizer_config.json").is_file():
        found = hub.find_commit(str(text["hf_tokenizer_name"]), "", setting)
        words = [path for path in hub.model_files(found) if path.startswith(TOKENIZER_FILES)]
        hub.fetch(found, words, folder, setting)


def open_clip_settings(folder: Path, architecture: str = "") -> dict[str, Any]:
    """``model_cfg`` of an open_clip model: by its name, or from its folder; empty for others."""
    if architecture:
        import open_clip

        return dict(open_clip.get_model_config(architecture.partition(":")[0]) or {})
    path = folder / "open_clip_config.json"
    if not path.is_file():
        return {}
    return dict(json.loads(path.read_text(encoding="utf-8")).get("model_cfg", {}))


def convert_bin(folder: Path) -> None:
    """Weights as ``.bin`` become safetensors, read without running what the file says.

    Raises:
        DataError: the file holds more than tensors.
    """
    for path in sorted(folder.glob("*.bin")):
        from safetensors.torch import save_file

        from dico.weights.files import read_tensors

        tensors = {
            name: value.clone().contiguous()
            for name, value in read_tensors(path, unwrap=False).items()
        }
        save_file(tensors, folder / safetensors_name(path.name), {"format": "pt"})
        path.unlink()
    for index in folder.glob("*.bin.index.json"):
        data = json.loads(index.read_text(encoding="utf-8"))
        data["weight_map"] = {k: safetensors_name(v) for k, v in data["weight_map"].items()}
        new = index.with_name(safetensors_name(index.name.removesuffix(".index.json")))
        new.with_name(f"{new.name}.index.json").write_text(json.dumps(data), encoding="utf-8")
        index.unlink()


def safetensors_name(name: str) -> str:
    """What a ``.bin`` is called as safetensors: ``pytorch_model*`` becomes ``model*``."""
    stem = name.removesuffix(".bin").replace("open_clip_pytorch_model", "open_clip_model")
    return f"{stem.replace('pytorch_model', 'model')}.safetensors"


def how_to_fetch(text: str, store: str) -> str:
    """What somebody with a network does, and what to do with it here."""
    return (
        f"where there is a network: `dico weights fetch {text} --store PLACE` and `dico weights "
        f"pack FILE.tar --store PLACE`; here: `dico weights unpack FILE.tar --store {store}`"
    )


def _published(name: Name, setting: str, store: Store) -> Resolved:
    kept = _known(name, store)
    if kept is None:
        raise ConfigError(
            f"{setting}: {name.text} is published at {PAC_FILES[name.text].url}, not on the Hub: "
            f"download it there, then give its path, or `dico weights fetch PATH --store {store.uri}`"
        )
    return Resolved(name, setting, kept=kept)


def _keep_object(name: Name, store: Store) -> Pin:
    """Weights in a bucket: a published folder stays there, anything else is kept by its content."""
    prefix, key = split_uri(name.place)
    source = open_store(prefix)
    if source.exists(f"{key}/{DIGESTS}" if key else DIGESTS):
        data = source.read_bytes(f"{key}/{DIGESTS}" if key else DIGESTS)
        return Pin(name.text, name.place, hashlib.sha256(data).hexdigest())
    with tempfile.TemporaryDirectory(prefix="weights-") as working:
        folder = Path(working)
        if source.exists(key):
            file = source.fetch(key, folder / key)
            kept = f"{FILES}/{sha256_file(file)[:32]}"
            store.publish(folder, kept)
            return Pin(name.text, _uri(store, f"{kept}/{key}"), sha256_file(file))
        names = source.list(key)
        if not names:
            raise ConfigError(f"{name.text}: nothing is there")
        for path in names:
            local = folder / path.removeprefix(f"{key}/")
            local.parent.mkdir(parents=True, exist_ok=True)
            source.fetch(path, local)
        kept = f"{FILES}/{content_digest(folder)[:32]}"
        return Pin(name.text, _uri(store, kept), store.publish(folder, kept))


def remember_pin(pin: Pin, store: Store) -> None:
    """Notes what a name means, for when nobody can be asked."""
    text = json.dumps(to_dict(pin), sort_keys=True, indent=1) + "\n"
    store.write_bytes(_name_key(pin.name), text.encode())


def _known(name: Name, store: Store) -> Pin | None:
    key = _name_key(name.text)
    return _read_pin(store, key) if store.exists(key) else None


def _read_pin(store: Store, key: str) -> Pin:
    """A name's pin, with its files in this store, wherever they were packed."""
    pin = from_dict(Pin, json.loads(store.read_bytes(key)), key)
    return dataclasses.replace(pin, uri=_uri(store, pin.uri[pin.uri.rindex(FILES) :]))


def _name_key(text: str) -> str:
    return f"{NAMES}/{quote(text.removeprefix('hf-hub:'), safe='')}.json"


def _uri(store: Store, key: str) -> str:
    return f"{store.uri.rstrip('/')}/{key}"


def _folder_digest(store: Store, key: str) -> str:
    return hashlib.sha256(store.read_bytes(f"{key}/{DIGESTS}")).hexdigest()


def _close(model: str) -> str:
    import difflib

    import open_clip

    close = difflib.get_close_matches(model, open_clip.list_models(), n=1)
    return f" (did you mean {close[0]}?)" if close else ""
