"""An evaluator's folder from published weights: base CLIP, PAC-tuned CLIP, the captioner's tower."""

from dataclasses import dataclass
from pathlib import Path

from dico.errors import ConfigError
from dico.models.clip import ClipConfig
from dico.models.evaluator import EvaluatorConfig, save_evaluator
from dico.models.tokenizer import Tokenizer
from dico.models.weights.clip import import_clip, load_open_clip
from dico.models.weights.files import Tensors


@dataclass(frozen=True)
class ClipSource:
    """Where a CLIP's weights come from."""

    name: str
    """``MODEL:TAG`` of open_clip (``ViT-L-14:openai``), or the path of a file."""
    quick_gelu: bool = True
    """For a file: whether it was trained with QuickGELU, as OpenAI's and PAC-S ViT-B/32 were."""
    sha256: str = ""
    """For a file: digest it must have; not checked when empty."""

    def load(self) -> tuple[ClipConfig, Tensors]:
        """Settings and weights."""
        if Path(self.name).exists():
            return import_clip(self.name, self.quick_gelu, self.sha256)
        model, _, tag = self.name.partition(":")
        if not tag:
            raise ConfigError(
                f"weights: {self.name!r} is no file; expected a file or MODEL:TAG of open_clip, "
                "such as ViT-B-32:openai"
            )
        return load_open_clip(model, tag)


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
        ConfigError: the two are not of one architecture, or a name is unknown.
        DataError: a file is not what it should be.
    """
    config, clip_weights = clip.load()
    pac_config, pac_weights = pac.load()
    if pac_config != config:
        raise ConfigError(
            f"weights: {clip.name} and {pac.name} must be of one architecture, but differ: "
            f"{config} and {pac_config}"
        )
    tower_config, tower_weights = tower.load() if tower is not None else (None, None)
    settings = EvaluatorConfig(clip=config, tower=tower_config, w=w)
    save_evaluator(folder, settings, Tokenizer.clip(), clip_weights, pac_weights, tower_weights)
