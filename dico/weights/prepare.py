"""An evaluator's folder from published weights: base encoder, tuned weights, the captioner's tower."""

import dataclasses
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from dico.errors import ConfigError, DataError
from dico.images.preprocessing import ClipPixels
from dico.models.clip_config import ClipConfig
from dico.models.encoders import EncoderConfig, load_tokenizer
from dico.models.evaluator import EvaluatorConfig, save_evaluator
from dico.models.tokenizer import Tokenizer
from dico.storage import sha256_file
from dico.weights.clip import load_open_clip, open_clip_pixels
from dico.weights.encoders import ReadEncoder, read_encoder


@dataclass(frozen=True)
class ClipSource:
    """Where an encoder's weights come from."""

    name: str
    """A file or folder; ``MODEL:TAG`` of open_clip (``ViT-L-14:openai``), which open_clip fetches; or
    ``MODEL:FILE`` for a file whose sizes cannot be read off it."""
    quick_gelu: bool | None = None
    """For the path of a file: whether it was trained with QuickGELU, as OpenAI's were. None for what
    the base model was, of PAC weights, and for true of others. Names tell it."""
    sha256: str = ""
    """For a file: digest it must have; not checked when empty."""
    pixels: ClipPixels | None = None
    """The pixels that it was trained on. None for the name's or folder's own; of a file, PAC-tuned
    weights see what the base model sees, and others what OpenAI's do."""
    architecture: str = ""
    """open_clip's ``MODEL:TAG`` for a folder that was fetched by that name."""

    def read(self) -> ReadEncoder:
        """Architecture, weights, pixels and tokenizer.

        Raises:
            ConfigError: no such file or name, or an option that the name has no use for.
            DataError: the file is not what it should be.
            StorageError: the tag's weights cannot be fetched.
        """
        found = self._read()
        return dataclasses.replace(found, pixels=self.pixels) if self.pixels else found

    @property
    def tells_pixels(self) -> bool:
        """Whether its pixels are known, and not OpenAI's for want of anything better."""
        return self.pixels is not None or not Path(self.name).is_file()

    def _read(self) -> ReadEncoder:
        path = Path(self.name)
        if path.exists():
            if self.sha256 and path.is_file() and (found := sha256_file(path)) != self.sha256:
                raise DataError(
                    f"{path}: SHA-256 is {found}, expected {self.sha256}; fetch the file again"
                )
            return read_encoder(path, self.architecture, self.quick_gelu is not False)
        model, _, pretrained = self.name.partition(":")
        if not pretrained:
            raise ConfigError(
                f"weights: {self.name!r} is no file; expected a file or MODEL:TAG of open_clip, "
                "such as ViT-B-32:openai"
            )
        if self.quick_gelu is False or (self.sha256 and not Path(pretrained).is_file()):
            raise ConfigError(
                f"weights: {self.name!r} tells its activation and its digest itself; give these "
                "options with a file"
            )
        pixels = open_clip_pixels(model, pretrained) or ClipPixels()
        config, tensors = load_open_clip(model, pretrained, self.sha256)
        return ReadEncoder(config, tensors, pixels, Tokenizer.clip().save)


def prepare_evaluator(
    folder: str | Path,
    clip: ClipSource,
    pac: ClipSource | None = None,
    tower: ClipSource | None = None,
    w: float = 2.0,
    prompt: str = EvaluatorConfig.prompt,
    vocabulary: Tokenizer | None = None,
) -> None:
    """Writes an evaluator's folder.

    Args:
        folder: where to.
        clip: base encoder, for CLIP-S.
        pac: tuned weights of the same architecture, for PAC-S and the reward; without them PAC-S is
            the base encoder's cosine.
        tower: model whose vision tower feeds the captioner, if it is not ``clip``.
        w: factor of the cosine in PAC-S.
        prompt: written before captions when scores are computed.
        vocabulary: the captioner's words; None for those of the encoder, or CLIP's where the
            encoder's are in no order that a captioner can take.

    Raises:
        ConfigError: the two are not of one architecture, a name is unknown, or its images are
            resized in a way that is not built here.
        DataError: a file is not what it should be.
        StorageError: the weights of a name cannot be fetched.
    """
    base = clip.read()
    if pac is not None and pac.quick_gelu is None and isinstance(base.config, ClipConfig):
        pac = dataclasses.replace(pac, quick_gelu=base.config.quick_gelu)
    tuned = pac.read() if pac is not None else None
    if tuned is not None and pac is not None:
        _require_same(clip, base, pac, tuned)
    third = tower.read() if tower is not None else None
    pac_pixels = tuned.pixels if tuned and pac and pac.tells_pixels else base.pixels
    tower_pixels = third.pixels if third else base.pixels
    settings = EvaluatorConfig(
        **asdict(base.pixels),
        clip=base.config,
        tower=third.config if third else None,
        tuned=tuned is not None,
        w=w,
        prompt=prompt,
        pac_pixels=pac_pixels if pac_pixels != base.pixels else None,
        tower_pixels=tower_pixels if tower_pixels != base.pixels else None,
    )
    if base.save_tokenizer is None:
        raise ConfigError(f"weights: {clip.name} reads no text; an evaluator is a dual encoder")
    with tempfile.TemporaryDirectory(prefix="tokenizer-") as working:
        base.save_tokenizer(Path(working))
        if isinstance(base.config, EncoderConfig):
            tokenizer = load_tokenizer(base.config, Path(working))
        else:
            tokenizer = Tokenizer.load(working)
        if vocabulary is None and not isinstance(tokenizer, Tokenizer):
            vocabulary = Tokenizer.clip()
        save_evaluator(
            folder,
            settings,
            tokenizer,
            base.tensors,
            tuned.tensors if tuned else None,
            third.tensors if third else None,
            vocabulary,
        )


def _require_same(clip: ClipSource, base: ReadEncoder, pac: ClipSource, tuned: ReadEncoder) -> None:
    if tuned.config != base.config:
        raise ConfigError(
            f"weights: {clip.name} and {pac.name} must be of one architecture, but differ: "
            f"{base.config} and {tuned.config}"
        )
