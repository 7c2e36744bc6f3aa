"""Plug-ins: what other installed packages offer by name, one mechanism for every kind.

A package names a function or a class under the entry-point group of a kind; its name then stands in
a setting beside the names that are built in. docs/plugins.md says what each kind is given and returns.
"""

import difflib
import functools
import hashlib
import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from dico.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of plug-in. In a setting's type it says that the setting's text is such a name."""

    group: str
    """Entry-point group."""
    noun: str
    """What one is called in messages."""
    built_in: tuple[str, ...] = ()
    """Names that need no other package, and that none can take."""

    def offered(self) -> dict[str, EntryPoint]:
        """What other installed packages offer, by name."""
        found = {point.name: point for point in entry_points(group=self.group)}
        return {name: found[name] for name in sorted(found) if name not in self.built_in}

    def names(self) -> list[str]:
        """All names that are known here."""
        return [*self.built_in, *self.offered()]

    def check(self, name: str) -> None:
        """Does nothing where ``name`` is known; nothing is imported.

        Raises:
            ConfigError: neither dico nor an installed package has it.
        """
        if name in self.built_in or name in (offered := self.offered()):
            return
        known = [*self.built_in, *offered]
        close = difflib.get_close_matches(name, known, n=1)
        meant = f" (did you mean {close[0]}?)" if close else ""
        listed = ", ".join(known) or "none: no installed package offers one"
        raise ConfigError(f"unknown {self.noun} {name!r}{meant}; known are {listed}")

    def load(self, name: str) -> Any:
        """What the package that offers ``name`` registered.

        Raises:
            ConfigError: no installed package has it, or it cannot be imported.
        """
        self.check(name)
        point = self.offered()[name]
        try:
            return point.load()
        except (ImportError, AttributeError) as error:
            package = point.dist.name if point.dist else point.module
            raise ConfigError(f"{self.noun} {name!r} of {package}: {error}") from None

    def __str__(self) -> str:
        return " | ".join([*self.built_in, "a name that another package offers"])


CAPTIONERS = Kind("dico.captioners", "captioner", ("paper", "huggingface"))
"""Classes of captioners: `dico.policy.CaptionerClass`."""
REWARDS = Kind(
    "dico.rewards",
    "reward",
    (
        "pac",
        "pac-published",
        "ref-pac",
        "ref-pac-published",
        "clip",
        "clip-published",
        "ref-clip",
        "ref-clip-published",
        "cider-d",
        "generative",
        "self-retrieval",
    ),
)
"""Functions from a `dico.rewards.RewardContext` to a `dico.rewards.Reward`."""
LOSSES = Kind("dico.losses", "loss", ("dico", "scst"))
"""Functions from a `FinetuneConfig` to a `dico.training.objectives.Loss`."""
JUDGES = Kind("dico.judges", "judge")
"""Functions from a `dico.evaluation.judges.JudgeContext` to a `dico.evaluation.judges.OwnJudge`."""
CALLBACKS = Kind("dico.callbacks", "tracker", ("tensorboard", "mlflow", "wandb"))
"""Functions from text to a `dico.tracking.Callback`."""
KINDS = (CAPTIONERS, REWARDS, LOSSES, JUDGES, CALLBACKS)


@functools.cache
def plugins_digest() -> str:
    """Hex SHA-256 over the Python files of every package that offers a plug-in; empty without one."""
    points = [point for kind in KINDS for point in kind.offered().values()]
    packages = sorted({point.module.partition(".")[0] for point in points})
    if not packages:
        return ""
    digest = hashlib.sha256()
    for path in (path for package in packages for path in _files(package)):
        digest.update(f"{path.name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _files(package: str) -> Iterable[Path]:
    """The Python files of a top-level module or package, which is not imported."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        return []
    if spec.submodule_search_locations is not None:
        folders = map(Path, spec.submodule_search_locations)
        return [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    return [Path(spec.origin)] if spec.origin else []
