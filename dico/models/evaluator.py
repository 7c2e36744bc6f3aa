"""The caption evaluator: a dual encoder, its tuned weights (PAC), pixels and tokenizers.

PAC-S: Sarto et al. 2023 (arXiv 2303.12112). One folder holds a base dual encoder, whose vision tower
also feeds the captioner, and the tuned weights of the same architecture. A third model may be there
whose vision tower feeds the captioner instead (the paper uses ViT-L/14 for the captioner and ViT-B/32 for the reward):

    config.json  clip.safetensors  [pac.safetensors]  [tower.safetensors]  digests.json
    tokenizer/      what the encoder reads texts with
    [vocabulary/]   the captioner's words, where they are others

CLIP is built here (`dico.models.clip`); SigLIP, EVA, CoCa and others by their own libraries
(`dico.models.encoders`). Each set of weights is given the pixels that it was trained on: the base
model's, unless the config says otherwise.

B images, N captions, K candidates per image, T tokens, E embedding.
"""

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor

from dico.configuration.ranges import PositiveFloat
from dico.configuration.schema import from_dict
from dico.errors import ConfigError, DataError
from dico.images.frame import Frame
from dico.images.preprocessing import ClipPixels, normalise, preprocess
from dico.models.clip import ClipModel
from dico.models.clip_config import ClipConfig
from dico.models.encoders import EncoderConfig, TextTokenizer, build_encoder, load_tokenizer
from dico.models.files import load_weights, parse_settings, save_weights, settings_text
from dico.models.skip_init import SkipInit
from dico.models.tokenizer import Tokenizer
from dico.storage import verify_digests, write_digests
from dico.storage.digests import read_digests

FORMAT = 1
CONFIG_FILE = "config.json"
Weights = Literal["clip", "pac", "tower"]
Architecture = ClipConfig | EncoderConfig
_OWN_PIXELS = ("pac_pixels", "tower_pixels")


@dataclass(frozen=True)
class EvaluatorConfig(ClipPixels):
    """What an evaluator is, beside its weights; its pixels are the base CLIP's."""

    clip: Architecture = field(default_factory=ClipConfig)
    """Architecture of both sets of weights."""
    tower: Architecture | None = None
    """Architecture of the model whose vision tower feeds the captioner, if it is a third one."""
    tuned: bool = True
    """Whether there are tuned weights; if not, PAC-S is the base model's cosine."""
    w: PositiveFloat = 2.0
    """Factor of the cosine in PAC-S (2.0 in the paper; some PAC-S++ code uses 2.5)."""
    prompt: str = "A photo depicts "
    """Written before a caption by the published scores (not by the reward)."""
    pac_pixels: ClipPixels | None = None
    """Pixels of the PAC-tuned weights, if they are not the base CLIP's."""
    tower_pixels: ClipPixels | None = None
    """Pixels of the third CLIP, if they are not the base CLIP's."""

    @property
    def image_size_px(self) -> int:
        """Side of the square that the vision tower sees, pixels."""
        return self.clip.image_size

    @property
    def frame(self) -> Frame:
        """The square that the vision tower sees."""
        return self.square(self.image_size_px)

    def of(self, weights: Weights) -> "EvaluatorConfig":
        """The config of one set of weights: ``clip`` is their architecture, the pixels are theirs."""
        third = self.tower if weights == "tower" else None
        pixels = {"pac": self.pac_pixels, "tower": self.tower_pixels}.get(weights)
        own = dataclasses.asdict(pixels) if pixels else {}
        return dataclasses.replace(self, clip=third or self.clip, **own)

    def to_json(self) -> str:
        """The content of config.json; what is None is left out."""
        data = dataclasses.asdict(self)
        for name in ("tower", *_OWN_PIXELS):
            if data[name] is None:
                del data[name]
        return settings_text(data, FORMAT)

    @classmethod
    def from_json(cls, text: str, where: str) -> "EvaluatorConfig":
        """Reads config.json.

        Raises:
            DataError: not such a file, or of another format.
        """
        data = parse_settings(text, where, "an evaluator", FORMAT)
        try:
            data["clip"] = _architecture(data["clip"])
            tower = data.get("tower")
            data["tower"] = _architecture(tower) if tower else None
            for name in ("image_mean", "image_std"):
                data[name] = tuple(data[name])
            for name in data.keys() & set(_OWN_PIXELS):
                data[name] = from_dict(ClipPixels, data[name], name)
            return cls(**data)
        except (ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
            raise DataError(f"{where}: not an evaluator's config: {error}") from None


def _architecture(data: Any) -> Architecture:
    """An architecture of config.json: open_clip's settings of a CLIP, or another library's."""
    if "library" in data:
        return EncoderConfig(**data)
    return ClipConfig.from_dict(data)


class Evaluator:
    """Embeds images and captions so that their cosine says how well they fit."""

    def __init__(
        self,
        config: EvaluatorConfig,
        model: Any,
        tokenizer: Any,
        digest: str = "",
        vocabulary: Tokenizer | None = None,
    ) -> None:
        """Takes the parts of an evaluator.

        Args:
            config: what it is.
            model: a `dico.models.encoders.DualEncoder`, or a `VisionTower` of which only
                `image_tokens` is asked.
            tokenizer: a `TextTokenizer`, what the model reads texts with.
            digest: of weights and config.
            vocabulary: the captioner's words; None where they are the tokenizer's.
        """
        self.config, self.tokenizer, self.digest = config, tokenizer, digest
        self.model = model.eval().requires_grad_(False)
        self._vocabulary = vocabulary

    @property
    def vocabulary(self) -> Tokenizer:
        """The words of a captioner that learns from it.

        Raises:
            DataError: the evaluator's folder holds none.
        """
        found = self._vocabulary if self._vocabulary is not None else self.tokenizer
        if not isinstance(found, Tokenizer):
            raise DataError("evaluator: its folder has no vocabulary/ for the captioner")
        return found

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = next(self.model.parameters()).device
        return device

    def preprocess(self, image: Image.Image) -> Tensor:
        """Pixels (3, H, W), float32, of an image: resized, centre-cropped, normalised."""
        return preprocess(image, self.config)

    def normalise(self, squares: Tensor) -> Tensor:
        """Pixels (..., 3, H, W), float32, of RGB squares (..., H, W, 3), uint8."""
        return normalise(squares, self.config)

    @torch.no_grad()
    def embed_images(self, pixels: Tensor) -> Tensor:
        """Embeddings (B, E), float32, of length 1, of pixels (B, 3, H, W)."""
        embeddings: Tensor = self.model.encode_image(pixels.to(self.device))
        return embeddings.float()

    @torch.no_grad()
    def image_tokens(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Image tokens (B, P, D) for a captioner and embeddings (B, E), in one pass."""
        tokens, embeddings = self.model.encode_pixels(pixels.to(self.device))
        return tokens, embeddings.float()

    def embed_texts(self, captions: Sequence[str], prompt: str = "") -> Tensor:
        """Embeddings (N, E), float32, of length 1, of captions with ``prompt`` before each."""
        texts = [prompt + caption for caption in captions]
        limit = self.config.clip.context_length
        return self.embed_tokens(self.tokenizer.encode_batch(texts, limit))

    @torch.no_grad()
    def embed_tokens(self, tokens: Tensor) -> Tensor:
        """Embeddings (..., E), float32, of length 1, of (..., T) ids BOS..EOS, PAD after."""
        flat = tokens.reshape(-1, tokens.shape[-1]).to(self.device)  # (..., T) -> (N, T)
        embeddings: Tensor = self.model.encode_text(flat)
        return embeddings.float().reshape(*tokens.shape[:-1], -1)  # (N, E) -> (..., E)

    @torch.no_grad()
    def embed_candidates(self, tokens: Tensor) -> Tensor:
        """Embeddings (B, K, E), float32, of length 1, of K candidates (B, K, T) of each image."""
        embeddings: Tensor = self.model.encode_candidates(tokens.to(self.device))
        return embeddings.float()

    def drop_vision(self) -> "Evaluator":
        """Frees the vision tower, of a judge that is given embeddings of images; returns itself."""
        self.model.drop_vision()
        return self

    @classmethod
    def load(
        cls, folder: str | Path, weights: Weights = "pac", device: str | torch.device = "cpu"
    ) -> "Evaluator":
        """Reads an evaluator's folder, checked by its digests.

        Args:
            folder: what `save_evaluator` wrote.
            weights: ``pac`` for PAC-S, which is ``clip`` where there are no tuned weights; ``clip``
                for CLIP-S; ``tower`` for the model whose vision tower feeds the captioner, which is
                ``clip`` where there is no third one.
            device: where to put the weights.

        Raises:
            DigestError: a file is not what was written.
            DataError: a file is missing or is not what its name says.
        """
        folder = Path(folder)
        verify_digests(folder)
        path = folder / CONFIG_FILE
        if not path.is_file():
            raise DataError(f"{path}: missing, so {folder} is not an evaluator")
        text = path.read_bytes().decode(errors="replace")
        config = EvaluatorConfig.from_json(text, str(path))
        if (weights == "tower" and config.tower is None) or (weights == "pac" and not config.tuned):
            weights = "clip"
        config = config.of(weights)
        model = _empty(config.clip)
        load_weights(model, folder / f"{weights}.safetensors")
        parts = [str(read_digests(folder)[f"{weights}.safetensors"]["sha256"]), text]
        digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
        own = folder / "vocabulary"
        vocabulary = Tokenizer.load(own) if own.is_dir() else None
        tokenizer = None if weights == "tower" else _tokenizer(config, folder)
        return cls(config, model.to(device), tokenizer, digest, vocabulary)


def save_evaluator(
    folder: str | Path,
    config: EvaluatorConfig,
    tokenizer: TextTokenizer,
    clip_weights: dict[str, Tensor],
    pac_weights: dict[str, Tensor] | None,
    tower_weights: dict[str, Tensor] | None = None,
    vocabulary: Tokenizer | None = None,
) -> None:
    """Writes an evaluator's folder.

    A caller that adds files calls ``dico.storage.write_digests`` again.

    Args:
        folder: where to.
        config: what it is.
        tokenizer: what the model reads texts with.
        clip_weights: state dict of the base model, of CLIP with open_clip's names.
        pac_weights: tuned weights of the same architecture; None where ``config.tuned`` is false.
        tower_weights: belong to ``config.tower``: both or neither.
        vocabulary: the captioner's words, where they are not the tokenizer's.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG_FILE).write_text(config.to_json(), encoding="utf-8")
    tokenizer.save(folder / "tokenizer")
    if vocabulary is not None:
        vocabulary.save(folder / "vocabulary")
    named = {"clip": clip_weights, "pac": pac_weights, "tower": tower_weights}
    for name, weights in named.items():
        if weights is not None:
            save_weights(folder / f"{name}.safetensors", weights)
    write_digests(folder)


def _empty(config: Architecture) -> torch.nn.Module:
    """A model to load weights into."""
    if isinstance(config, EncoderConfig):
        return build_encoder(config.library, config.settings)
    return empty_model(ClipModel, config)


def _tokenizer(config: EvaluatorConfig, folder: Path) -> TextTokenizer:
    """What the model reads texts with."""
    if isinstance(config.clip, EncoderConfig):
        return load_tokenizer(config.clip, folder / "tokenizer")
    return Tokenizer.load(folder / "tokenizer")


def empty_model(make: type[ClipModel], config: ClipConfig) -> ClipModel:
    """A model whose weights hold no values yet: for loading, without the cost of random ones."""
    with SkipInit():
        return make(config)
