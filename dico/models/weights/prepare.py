"""An evaluator's folder from published weights: base CLIP, PAC-tuned CLIP, the captioner's tower."""

from dataclasses import asdict, dataclass
from pathlib import Path

from dico.errors import ConfigError
from dico.images.preprocessing import ClipPixels
from dico.models.clip import ClipConfig
from dico.models.evaluator import EvaluatorConfig, save_evaluator
from dico.models.tokenizer import Tokenizer
from dico.models.weights.clip import import_clip, load_open_clip, open_clip_pixels
from dico.models.weights.files import Tensors


@dataclass(frozen=True)
class ClipSource:
    """Where a CLIP's weights come from."""

    name: str
    """``MODEL:TAG`` of open_clip (``ViT-L-14:openai``), the path of a file, or ``MODEL:FILE`` for a
    file whose sizes cannot be read off it."""
    quick_gelu: bool = True
    """For the path of a file: whether it was trained with QuickGELU, as OpenAI's and PAC-S ViT-B/32
    were. Names tell it."""
    sha256: str = ""
    """For a file: digest it must have; not checked when empty."""
    pixels: ClipPixels | None = None
    """The pixels that it was trained on. None for the tag's; without a tag, PAC-tuned weights see
    what the base CLIP sees, and others what OpenAI's do."""

    def load(self) -> tuple[ClipConfig, Tensors]:
        """Settings and weights.

        Raises:
            ConfigError: no such file or name, or an option that the name has no use for.
            DataError: the file is not what it should be.
            StorageError: the tag's weights cannot be fetched.
        """
        if Path(self.name).exists():
            return import_clip(self.name, self.quick_gelu, self.sha256)
        model, _, pretrained = self.name.partition(":")
        if not pretrained:
            raise ConfigError(
                f"weights: {self.name!r} is no file; expected a file or MODEL:TAG of open_clip, "
                "such as ViT-B-32:openai"
            )
        if not self.quick_gelu or (self.sha256 and not Path(pretrained).is_file()):
            raise ConfigError(
                f"weights: {self.name!r} tells its activation and its digest itself; give these "
                "options with a file"
            )
        return load_open_clip(model, pretrained, self.sha256)

    def pixels_or(self, default: ClipPixels) -> ClipPixels:
        """The pixels that it was trained on, ``default`` where nothing tells.

        Raises:
            ConfigError: they are made in a way that is not built here.
        """
        if self.pixels is not None or Path(self.name).exists():
            return self.pixels or default
        model, _, pretrained = self.name.partition(":")
        return open_clip_pixels(model, pretrained) or default


def prepare_evaluator(
    folder: str | Path,
    clip: ClipSource,
    pac: ClipSource,
    tower: ClipSource | None = None,
    w: float = 2.0,
) -> None:
    """Writes an evaluator's folder with CLIP's own vocabulary.

    Args:
        folder: where to.
        clip: base CLIP, for CLIP-S.
        pac: PAC-tuned weights of the same architecture, for PAC-S and the reward.
        tower: CLIP whose vision tower feeds the captioner, if it is not ``clip``.
        w: factor of the cosine in PAC-S.

    Raises:
        ConfigError: the two are not of one architecture, a name is unknown, or its pictures are
            resized in a way that is not built here.
        DataError: a file is not what it should be.
        StorageError: the weights of a name cannot be fetched.
    """
    pixels = clip.pixels_or(ClipPixels())
    pac_pixels = pac.pixels_or(pixels)
    tower_pixels = tower.pixels_or(ClipPixels()) if tower is not None else pixels
    config, clip_weights = clip.load()
    pac_config, pac_weights = pac.load()
    if pac_config != config:
        raise ConfigError(
            f"weights: {clip.name} and {pac.name} must be of one architecture, but differ: "
            f"{config} and {pac_config}"
        )
    tower_config, tower_weights = tower.load() if tower is not None else (None, None)
    settings = EvaluatorConfig(
        **asdict(pixels),
        clip=config,
        tower=tower_config,
        w=w,
        pac_pixels=pac_pixels if pac_pixels != pixels else None,
        tower_pixels=tower_pixels if tower_pixels != pixels else None,
    )
    save_evaluator(folder, settings, Tokenizer.clip(), clip_weights, pac_weights, tower_weights)
