"""Every model that open_clip builds as a dual encoder: SigLIP, EVA, MobileCLIP, CoCa, and others.

Plain CLIP with its own text transformer has a faster path, `dico.models.clip`.
"""

import json
import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from dico.errors import ConfigError, one_line
from dico.models.encoders.library import LibraryEncoder, as_tokens
from dico.models.encoders.protocol import TextTokenizer
from dico.models.encoders.text import LibraryTokenizer, raw_tokenizer
from dico.models.tokenizer import Tokenizer
from dico.models.torchvision_compat import ensure_torchvision_imports


class OpenClipEncoder(LibraryEncoder):
    """An open_clip model; image tokens are what its vision tower hands to its pooling."""

    def __init__(self, model: nn.Module, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self.model = model
        self._context_length = _context_length(settings)
        self._pad_id = int(_text_settings(settings).get("pad_id", 0))
        self._vocab_size = int(_text_settings(settings).get("vocab_size", 49408))
        self._own_words = not _text_settings(settings).get("hf_tokenizer_name")

    @property
    def logit_scale(self) -> nn.Parameter:
        scale = self.model.logit_scale
        assert isinstance(scale, nn.Parameter)
        return scale

    def encode_image(self, pixels: Tensor) -> Tensor:
        embeddings: Tensor = self.model.encode_image(pixels, normalize=True)  # type: ignore[operator]
        return embeddings

    def encode_pixels(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        visual: Any = self.model.visual
        if hasattr(visual, "trunk"):
            tokens = visual.trunk.forward_features(pixels)
            pooled = visual.head(visual.trunk.forward_head(tokens))
            return as_tokens(tokens), F.normalize(pooled, dim=-1)
        pools = getattr(visual, "attnpool", None)
        with _kept(visual.transformer if pools is None else visual.layer4) as kept:
            embeddings = self.encode_image(pixels)
        return as_tokens(kept[-1]), embeddings

    def encode_text(self, tokens: Tensor) -> Tensor:
        if self._own_words:
            tokens = tokens.masked_fill(tokens >= self._vocab_size, self._pad_id)
            missing = self._context_length - tokens.shape[-1]
            tokens = F.pad(tokens, (0, missing), value=self._pad_id)
        embeddings: Tensor = self.model.encode_text(tokens, normalize=True)  # type: ignore[operator]
        return embeddings

    def projections(self) -> list[nn.Parameter]:
        visual, text = self.model.visual, getattr(self.model, "text", self.model)
        places = (visual, "proj"), (visual, "head"), (text, "text_projection"), (text, "proj")
        found: list[nn.Parameter] = []
        for owner, name in places:
            value = getattr(owner, name, None)
            found += [value] if isinstance(value, nn.Parameter) else []
            found += list(value.parameters()) if isinstance(value, nn.Module) else []
        trunk: Any = getattr(visual, "trunk", None)
        if trunk is not None and not list(visual.head.parameters()):  # type: ignore[union-attr]
            found += list(trunk.get_classifier().parameters())
        return found

    def drop_vision(self) -> None:
        del self.model.visual


def build(settings: Mapping[str, Any]) -> OpenClipEncoder:
    """The encoder of ``settings``: ``model_cfg`` as in open_clip's JSON, and ``text_config``.

    The latter is config.json of the model of transformers that reads the text, where one does.

    Raises:
        ConfigError: open_clip cannot build it.
    """
    ensure_torchvision_imports()
    import open_clip

    with tempfile.TemporaryDirectory(prefix="open-clip-") as working:
        folder = Path(working)
        data = json.loads(json.dumps(settings["model_cfg"]))
        if settings.get("text_config"):
            data["text_cfg"]["hf_model_name"] = str(folder)
            (folder / "config.json").write_text(json.dumps(settings["text_config"]))
        (folder / "open_clip_config.json").write_text(
            json.dumps({"model_cfg": data, "preprocess_cfg": {}})
        )
        try:
            with _quiet():
                model = open_clip.create_model(
                    f"local-dir:{folder}", load_weights=False, pretrained_text=False
                )
        except Exception as error:
            raise ConfigError(f"encoder: open_clip cannot build it: {one_line(error)}") from None
    return OpenClipEncoder(model, settings)


def tokenizer(settings: Mapping[str, Any], folder: Path, context_length: int) -> TextTokenizer:
    """CLIP's own words, or the tokenizer of transformers that the settings ask for."""
    text = _text_settings(settings)
    if not text.get("hf_tokenizer_name"):
        return Tokenizer.load(folder)
    ensure_torchvision_imports()
    import open_clip.tokenizer

    theirs = open_clip.tokenizer.HFTokenizer(
        str(folder),
        context_length=context_length,
        tokenizer_mode=text.get("tokenizer_mode"),
        **text.get("tokenizer_kwargs", {}),
    )

    def read(texts: list[str], max_tokens: int) -> Tensor:
        ids: Tensor = theirs(texts, min(max_tokens, context_length))
        return F.pad(ids, (0, context_length - ids.shape[1]), value=_fill(theirs.tokenizer))

    return LibraryTokenizer(theirs.tokenizer, read)


def converted(model: nn.Module, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights under the model's names, from the layouts that open_clip itself takes."""
    from open_clip.convert import convert_state_dict
    from open_clip.model import convert_to_custom_text_state_dict

    found: dict[str, Tensor] = convert_state_dict(model, tensors)
    if "positional_embedding" in found and not hasattr(model, "positional_embedding"):
        found = convert_to_custom_text_state_dict(found)
    found.pop("text.transformer.embeddings.position_ids", None)
    for name in ("logit_scale", "logit_bias"):
        own = getattr(model, name, None)
        if own is not None and name in found:
            found[name] = found[name].reshape(own.shape)
    return found


def image_size(model: nn.Module) -> int:
    """Side of the square that the model sees, pixels."""
    size: Any = model.visual.image_size  # type: ignore[union-attr]
    return int(size if isinstance(size, int) else size[0])


def needs_tokenizer(settings: Mapping[str, Any]) -> bool:
    """Whether the text is read by a tokenizer of transformers."""
    return bool(_text_settings(settings).get("hf_tokenizer_name"))


def save_tokenizer(settings: Mapping[str, Any], source: Path, folder: Path) -> None:
    """Writes the tokenizer that `tokenizer` reads, from the folder of the model's files."""
    if needs_tokenizer(settings):
        raw_tokenizer(source).save_pretrained(folder)
    else:
        Tokenizer.clip().save(folder)


def _fill(raw: Any) -> int:
    return int(raw.pad_token_id or 0)


def _text_settings(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    text: Mapping[str, Any] = settings["model_cfg"].get("text_cfg", {})
    return text


def _context_length(settings: Mapping[str, Any]) -> int:
    return int(_text_settings(settings).get("context_length", 77))


@contextmanager
def _kept(module: nn.Module) -> Iterator[list[Tensor]]:
    """What ``module`` gives while it lasts."""
    kept: list[Tensor] = []
    hook = module.register_forward_hook(lambda _module, _given, output: kept.append(output))
    try:
        yield kept
    finally:
        hook.remove()


@contextmanager
def _quiet() -> Iterator[None]:
    """open_clip warns that weights are random, which is what was asked for."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
