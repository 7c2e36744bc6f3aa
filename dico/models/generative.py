"""The generative evaluator: how likely a captioner finds a caption, with and without the image.

    score(c, I) = log p(c | I) - alpha log p(c | nothing)

A likelihood sees the order of words, which the cosine of two embeddings hardly does: CapPa (Tschannen
et al. 2023, arXiv 2306.07915) reads such a score off a captioner pre-trained for vision, VQAScore
(Lin et al. 2024, arXiv 2404.01291) off a question-answering model. It also prefers what people often
write, whatever the image: VisualGPTScore (Lin et al. 2024, arXiv 2306.01879) divides by the prior to
the power alpha, which is here the same captioner blind, looking at the mean image's tokens. It is
trained on these for a share of its images, as classifier-free guidance is (Ho and Salimans 2022,
arXiv 2207.12598).

alpha 1 is pointwise mutual information: summed over a caption it can be raised by saying true things
again, and its mean over tokens by saying little. Below 1 each further token must pay for itself, and
an end where people do not end costs as much as a false word; alone it still rewards brevity, so as a
reward it belongs beside one that knows how much people say.

B images, K candidates per image, T tokens, P image tokens, F their width.
"""

from pathlib import Path

import torch
from torch import Tensor

from dico.errors import DataError
from dico.models.captioner import Captioner
from dico.models.files import load_weights, read_settings, save_weights, settings_text
from dico.models.scoring import score_candidates
from dico.models.tokenizer import Tokenizer
from dico.storage import write_digests

BLIND_FILE = "blind.safetensors"
SETTINGS_FILE = "generative.json"
FOLDER = "generative"
"""Where an evaluator's folder keeps it."""
FORMAT = 1


class GenerativeEvaluator(torch.nn.Module):
    """A captioner that scores captions of images which are given as a tower's image tokens."""

    def __init__(self, captioner: Captioner, alpha: float = 0.5, tower: str = "pac") -> None:
        """Scores by ``captioner``, with ``alpha`` of its blind prior taken off.

        Args:
            captioner: reads the image tokens of one tower.
            alpha: share of the blind log-probability.
            tower: which weights of the evaluator that it lies beside make these tokens.
        """
        super().__init__()
        self.captioner, self.alpha, self.tower = captioner, alpha, tower
        config = captioner.config
        self.blind_tokens = torch.nn.Parameter(
            torch.zeros(config.num_image_positions, config.feature_width), requires_grad=False
        )

    @property
    def tokenizer(self) -> Tokenizer:
        """The vocabulary of the ids that it scores.

        Raises:
            DataError: it was saved without one.
        """
        if self.captioner.tokenizer is None:
            raise DataError("generative evaluator: it has no tokenizer/ folder")
        return self.captioner.tokenizer

    @property
    def max_tokens(self) -> int:
        """Longest caption it has places for, BOS and EOS included."""
        return self.captioner.config.num_text_positions

    @torch.no_grad()
    def likelihood(self, features: Tensor, tokens: Tensor) -> Tensor:
        """Log p(c | I), (B, K), float32 nats: summed over tokens, EOS included.

        An image is encoded once and a prefix that its candidates share goes through the decoder
        once.

        Args:
            features: (B, P, F) image tokens of the tower that this evaluator was trained on.
            tokens: (B, K, T) ids BOS..EOS, PAD after.
        """
        memory = self.captioner.encode(features.to(self.blind_tokens))  # (B, P, D)
        return score_candidates(self.captioner, memory, tokens.to(memory.device))

    @torch.no_grad()
    def blind(self, tokens: Tensor) -> Tensor:
        """Log p(c | nothing), (B, K), float32 nats: all candidates as of one image."""
        # The mean image, encoded once for all: (1, P, D) -> (B, P, D).
        memory = self.captioner.encode(self.blind_tokens[None]).expand(len(tokens), -1, -1)
        return score_candidates(self.captioner, memory, tokens.to(memory.device))

    def score(self, features: Tensor, tokens: Tensor, alpha: float | None = None) -> Tensor:
        """Log p(c | I) - alpha log p(c | nothing), (B, K), float32 nats."""
        share = self.alpha if alpha is None else alpha
        likelihood = self.likelihood(features, tokens)
        # alpha = 1 is pointwise mutual information, alpha = 0 the likelihood alone.
        return likelihood - share * self.blind(tokens) if share else likelihood

    def save(self, folder: str | Path) -> None:
        """Writes the captioner's files, blind.safetensors, generative.json and digests.json."""
        folder = Path(folder)
        self.captioner.save(folder)
        save_weights(folder / BLIND_FILE, {"blind_tokens": self.blind_tokens})
        text = settings_text({"alpha": self.alpha, "tower": self.tower}, FORMAT)
        (folder / SETTINGS_FILE).write_text(text, encoding="utf-8")
        write_digests(folder)

    @classmethod
    def load(cls, folder: str | Path, device: str | torch.device = "cpu") -> "GenerativeEvaluator":
        """Reads what `save` wrote, checked by its digests, in eval mode.

        Raises:
            DigestError: a file is not what was written.
            DataError: a file is missing or is not what its name says.
        """
        folder = Path(folder)
        made = cls(Captioner.load(folder), *_settings(folder / SETTINGS_FILE))
        blind = torch.nn.ParameterDict({"blind_tokens": torch.empty_like(made.blind_tokens)})
        load_weights(blind, folder / BLIND_FILE)
        made.blind_tokens.data.copy_(blind["blind_tokens"].data)
        return made.to(device).eval().requires_grad_(False)


def has_generative(evaluator: str | Path) -> bool:
    """Whether the evaluator in this folder has a generative one beside it."""
    return (Path(evaluator) / FOLDER / SETTINGS_FILE).is_file()


def tower_of(evaluator: str | Path) -> str:
    """Which weights of the evaluator make the tokens that its generative one reads."""
    return _settings(Path(evaluator) / FOLDER / SETTINGS_FILE)[1]


def _settings(path: Path) -> tuple[float, str]:
    """The share of the prior, and the tower."""
    settings = read_settings(path, "a generative evaluator", FORMAT)
    try:
        return float(settings["alpha"]), str(settings["tower"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not a generative evaluator's settings: {error}") from None
