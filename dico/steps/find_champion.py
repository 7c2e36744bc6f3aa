"""Step: which version of a model is champion, which one to work with, and what it was made from."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from dico.errors import ConfigError, UsageError
from dico.registry import Registry, Version, open_registry
from dico.registry.version import EVALUATOR
from dico.rewards.needs import check_evaluator
from dico.storage import open_store
from dico.storage.store import split_uri
from dico.validation.accepted import manifest_uri


class Outputs(NamedTuple):
    """A model's versions, numbers as text."""

    model_name: str
    """Name of the model."""
    champion: str
    """Number of its champion; empty where there is none."""
    version: str
    """Number of the version to work with, the champion's unless another was asked for."""
    known: str
    """Fingerprint of the dataset that teaches that version nothing; empty where every one does."""
    baseline: str
    """URI of its dataset's manifest, to measure drift from; empty where the store has none."""


def find_champion(
    registry: str,
    model_name: str,
    version: str,
    purpose: str,
    settings: str,
    force: bool,
    store: str,
    reward: str = "",
) -> Outputs:
    """Asks ``registry`` for the champion of ``model_name``.

    Args:
        registry: folder or s3:// prefix.
        model_name: name of the model.
        version: number of the version to work with; empty for the champion.
        purpose: train, retrain, evaluate or caption; all but the first need a version.
        settings: preset and overrides of this run.
        force: whether a retraining trains in any case.
        store: folder or s3:// prefix that holds the manifests of earlier runs.
        reward: what a retraining fine-tunes on; the version's evaluator must have what it asks for.

    Raises:
        ConfigError: it has not.
        UsageError: there is no such version, or no champion where one is needed.
    """
    opened = open_registry(registry)
    champion = opened.champion(model_name)
    current = str(champion.number) if champion else ""
    if purpose == "train":
        return Outputs(model_name, current, current, "", "")
    chosen = version or current
    if not chosen:
        raise UsageError(
            f"{model_name}: has no champion in {registry} to {purpose} with; train one by "
            "pipelines/dico.yaml, or name a version that is registered"
        )
    found = _get(opened, model_name, chosen)
    known, baseline = "", ""
    if purpose == "retrain":
        if reward:
            _check_evaluator(found, reward)
        known = _known(found.metadata, settings, force)
        baseline = manifest_uri(store, str(found.metadata.get("fingerprint", "")))
    return Outputs(model_name, current, chosen, known, baseline)


def _check_evaluator(version: Version, reward: str) -> None:
    place, key = split_uri(version.uri)
    opened = open_store(place)
    try:
        check_evaluator(reward, lambda name: opened.exists(f"{key}/{EVALUATOR}/{name}"))
    except ConfigError as error:
        raise ConfigError(f"{version.name}@{version.number}: {error}") from None


def _get(registry: Registry, model_name: str, version: str) -> Any:
    if not version.isdigit():
        raise UsageError(f"version: expected the number of a version, got {version!r}")
    return registry.get(model_name, int(version))


def _known(lineage: Mapping[str, Any], settings: str, force: bool) -> str:
    """The champion's fingerprint where only another dataset would be worth a training."""
    before = f"{lineage.get('preset', '')} {lineage.get('overrides', '')}"
    if force:
        print("trains in any case, as asked")
        return ""
    if settings.split() != before.split():
        print(f"the settings changed: {before.strip()!r} -> {settings.strip()!r}")
        return ""
    return str(lineage.get("fingerprint", ""))
