"""Step: a preset and overrides, checked, as one JSON text per section.

Each later step is given its own section only, so that an edited setting runs again only what
depends on it.
"""

from typing import NamedTuple

from dico.configuration.schema import to_json
from dico.models.huggingface_checks import check_folder
from dico.presets.config import resolve


class ResolvedConfig(NamedTuple):
    """One JSON text per section of `dico.presets.config.Config`."""

    toy: str
    validation: str
    evaluator: str
    judge: str
    audit: str
    features: str
    captioner: str
    decoding: str
    xe: str
    finetune: str
    evaluation: str
    gate: str


def resolve_config(preset: str, overrides: str) -> ResolvedConfig:
    """Resolves ``preset`` with ``overrides`` such as ``xe.num_steps=200 finetune.beta=0.1``.

    Raises:
        ConfigError: unknown preset, section or setting, wrong type or value out of range; or a
            captioner's folder that is here cannot be what the settings say.
        DataError: such a folder is not a model's.
    """
    config = resolve(preset, overrides)
    if config.captioner.architecture == "huggingface":
        check_folder(config.captioner.huggingface())
    return ResolvedConfig(
        *(to_json(getattr(config, section)) for section in ResolvedConfig._fields)
    )
