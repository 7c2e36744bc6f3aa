"""Ids that begin and end a caption, wherever a model's configurations keep them."""

from collections.abc import Iterator
from typing import Any


def end_ids(model: Any) -> list[int]:
    """Ids that end a caption: the generation config's, else the config's; the first is written.

    The config of a model's text part may hold one id, a list, or have no such attribute at all.
    """
    return list(dict.fromkeys(_found(model, "eos_token_id")))


def begin_id(model: Any) -> int | None:
    """Id that begins a caption; None where the model has none."""
    return next(_found(model, "bos_token_id"), None)


def _found(model: Any, name: str) -> Iterator[int]:
    """The ids called ``name`` of the first configuration that has any."""
    text = model.config.get_text_config(decoder=True)
    for config in (getattr(model, "generation_config", None), text, model.config):
        value = getattr(config, name, None)
        ids = value if isinstance(value, list | tuple) else [value]
        if found := [i for i in ids if isinstance(i, int)]:
            yield from found
            return
