"""Step: what each name of weights means now, and its files in the store, before anything expensive.

All names are resolved and looked at before the first is fetched, so that a wrong one is said within
seconds.
"""

from collections.abc import Mapping
from typing import NamedTuple

from dico.configuration.schema import from_json
from dico.errors import UsageError
from dico.models.captioner_config import CaptionerSettings
from dico.storage import Store, open_store
from dico.training.configs import EvaluatorTrainingConfig, JudgeConfig
from dico.weights.checks import check_captioner, check_encoder
from dico.weights.keeping import Resolved, keep, resolve
from dico.weights.packages import PREFIX, find_pair, is_packaged
from dico.weights.pins import Pin, pins_to_json

ROLES = {"clip": "weights", "pac": "pac", "tower": "tower"}
"""Each model of an evaluator, and the setting that names it."""


class Outputs(NamedTuple):
    """Pins as JSON by role; ``{}`` where nothing is named. Caches and lineage go by them."""

    evaluator: str
    judge: str
    captioner: str


def prepare_weights(evaluator: str, judge: str, captioner: str, store: str) -> Outputs:
    """Pins all weights that the settings name.

    Raises:
        ConfigError: a name means nothing, or weights of another kind.
        AccessError: they are gated or private.
        StorageError: there is no network, and the store does not have them.
    """
    if not store:
        raise UsageError("store: empty; give a folder or s3://bucket/prefix for the weights")
    opened = open_store(store)
    evaluators = from_json(EvaluatorTrainingConfig, evaluator, "evaluator")
    judges = from_json(JudgeConfig, judge, "judge")
    wanted = {
        "evaluator": resolve_evaluator(evaluators, "evaluator", opened),
        "judge": resolve_evaluator(judges, "judge", opened) if judges.enabled else {},
        "captioner": resolve_captioner(
            from_json(CaptionerSettings, captioner, "captioner"), opened
        ),
    }
    texts = {part: pins_to_json(_kept(roles, opened)) for part, roles in wanted.items()}
    return Outputs(**texts)


def resolve_evaluator(
    settings: EvaluatorTrainingConfig, section: str, store: Store
) -> dict[str, Resolved]:
    """What the names of an evaluator's models mean, each checked to be an encoder."""
    named = {
        role: (f"{section}.{field}", getattr(settings, field)) for role, field in ROLES.items()
    }
    for setting, name in named.values():
        if is_packaged(name):
            find_pair(name.removeprefix(PREFIX), setting)
    found = {
        role: resolve(name, setting, store)
        for role, (setting, name) in named.items()
        if name and not is_packaged(name)
    }
    for role, resolved in found.items():
        if role != "pac":
            check_encoder(resolved)
    return found


def resolve_captioner(settings: CaptionerSettings, store: Store) -> dict[str, Resolved]:
    """What the name of a captioner of transformers means, checked to be one."""
    if settings.architecture != "huggingface":
        return {}
    found = resolve(settings.checkpoint, "captioner.checkpoint", store)
    check_captioner(found, settings)
    return {"checkpoint": found}


def _kept(roles: Mapping[str, Resolved], store: Store) -> dict[str, Pin]:
    pins = {}
    for role, resolved in roles.items():
        pins[role] = keep(resolved, store)
        facts = [f"commit {pins[role].commit[:12]}"] if pins[role].commit else []
        facts += [f"licence {pins[role].licence}"] if pins[role].licence else []
        print(f"{resolved.setting}: {pins[role].name}  {'  '.join(facts)}  {pins[role].uri}")
    return pins
