"""Names of weights: what a user may write, and which kind of place it is."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dico.errors import ConfigError

Kind = Literal["hub", "open_clip", "published", "local", "s3"]

_HUB = re.compile(r"(?:hf-hub:)?([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")
_OPEN_CLIP = re.compile(r"[\w.-]+:[\w./-]+")
FORMS = (
    "a folder, a file, s3://BUCKET/PREFIX, ORG/NAME of the Hugging Face Hub (ORG/NAME@COMMIT), or "
    "MODEL:TAG of open_clip, such as ViT-B-32:openai"
)


@dataclass(frozen=True)
class Published:
    """A file that its authors publish outside the Hub."""

    base: str
    """The weights that it was tuned from."""
    url: str
    """Where its authors say how to get it."""


PAC_FILES = {
    "clip_ViT-B-32.pth": Published("ViT-B-32:openai", "https://github.com/aimagelab/pacscore"),
    "openClip_ViT-L-14.pth": Published(
        "ViT-L-14:laion2b_s32b_b82k", "https://github.com/aimagelab/pacscore"
    ),
    "PAC++_clip_ViT-B-32.pth": Published(
        "ViT-B-32:openai", "https://github.com/aimagelab/pacscore"
    ),
    "PAC++_clip_ViT-L-14.pth": Published(
        "ViT-L-14:openai", "https://github.com/aimagelab/pacscore"
    ),
}
"""PAC-S and PAC-S++ by the names that their authors publish."""


@dataclass(frozen=True)
class Name:
    """A name, read."""

    text: str
    """As the user wrote it."""
    kind: Kind
    """Which kind of place it names."""
    place: str
    """Repository, path, URI, file name or open_clip's MODEL:TAG."""
    revision: str = ""
    """Branch, tag or commit of a repository; empty for its main branch."""


def read_name(text: str, setting: str) -> Name:
    """What ``text`` names; nothing is looked up.

    Args:
        text: the name.
        setting: what the user called it, for errors, such as ``captioner.checkpoint``.

    Raises:
        ConfigError: no such file, or nothing that weights are named by.
    """
    if text.startswith("s3://"):
        return Name(text, "s3", text.rstrip("/"))
    if Path(text).expanduser().exists():
        return Name(text, "local", str(Path(text).expanduser().absolute()))
    if text in PAC_FILES:
        return Name(text, "published", text)
    if _looks_like_a_path(text):
        raise ConfigError(f"{setting}: {text}: no such file or folder")
    if found := _HUB.fullmatch(text):
        return Name(text, "hub", found[1], found[2] or "")
    if _OPEN_CLIP.fullmatch(text) and not text.startswith("hf-hub:"):
        return Name(text, "open_clip", text)
    raise ConfigError(f"{setting}: {text!r} names no weights; give {FORMS}")


def _looks_like_a_path(text: str) -> bool:
    starts = text.startswith(("/", "./", "../", "~"))
    return starts or text.count("/") > 1 or Path(text).suffix in (".pt", ".pth", ".safetensors")
