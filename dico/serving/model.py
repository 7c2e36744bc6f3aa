"""A registered version, loaded and verified, that captions batches of squares."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from dico.errors import DataError
from dico.models.evaluator import normalise
from dico.policy import policy_of
from dico.registry.signing import verify_if_configured
from dico.serving.source import Source
from dico.steps.bundle import load_version
from dico.storage import verify_digests


class Caption(NamedTuple):
    """One caption of a picture."""

    text: str
    """Lower-case words, single spaces."""
    logp: float
    """Sum of the tokens' log-probabilities, EOS included."""


class ServedModel:
    """Captions squares; one thread at a time."""

    def __init__(self, source: Source, device: str = "cpu") -> None:
        """Loads and verifies the version.

        Raises:
            DigestError: a byte is not what was registered, or its signature is not trusted.
            DataError: a part is missing, or a signature is asked for and there is none.
        """
        verify_digests(source.folder)
        self.signed = verify_if_configured(source.folder)
        self.source, self.digest = source, source.digest
        captioner, self.tower, self.decoding = load_version(source.folder)
        self.policy = policy_of(captioner)
        if self.policy.preprocess is not None:
            raise DataError(
                f"{source.name}: it prepares its own pixels; served are captioners that see "
                "through the evaluator's tower"
            )
        self.policy.module.to(device).eval()
        self.tower.model.to(device)

    @property
    def size_px(self) -> int:
        """Side of the square that the tower sees, pixels."""
        return self.tower.config.image_size_px

    @property
    def interpolation(self) -> str:
        """How pictures are resized."""
        return self.tower.config.interpolation

    def blank(self) -> bytes:
        """A black square, for warming up."""
        return bytes(3 * self.size_px * self.size_px)

    @torch.inference_mode()
    def caption(self, squares: Sequence[bytes]) -> list[list[Caption]]:
        """Captions of each square of RGB bytes, the likeliest first, as many as there are beams."""
        size = self.size_px
        stacked = torch.frombuffer(bytearray(b"".join(squares)), dtype=torch.uint8)
        stacked = stacked.view(len(squares), size, size, 3).to(self.tower.device)
        tokens, _ = self.tower.image_tokens(normalise(stacked, self.tower.config))
        found = self.policy.search(self.policy.encode(tokens.float()), self.decoding)
        texts = [self.policy.tokenizer.decode_batch(rows) for rows in found.tokens]
        return [
            [Caption(*pair) for pair in zip(*columns, strict=True)]
            for columns in zip(texts, found.logps.tolist(), strict=True)
        ]
