"""A registered version, loaded and verified, that captions batches of pictures."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from dico.errors import DataError
from dico.registry.bundle import load_version
from dico.registry.signing import verify_if_configured
from dico.serving.source import Source
from dico.storage import verify_digests


class Caption(NamedTuple):
    """One caption of a picture."""

    text: str
    """Single spaces; lower-case words from the paper's captioner."""
    logp: float
    """Sum of the tokens' log-probabilities, EOS included."""


class ServedModel:
    """Captions pictures; one thread at a time.

    Attributes:
        frame: the part of a picture that is seen.
        shape: its height and width, pixels.
    """

    def __init__(self, source: Source, device: str = "cpu") -> None:
        """Loads and verifies the version.

        Raises:
            DigestError: a byte is not what was registered, or its signature is not trusted.
            DataError: a part is missing, or a signature is asked for and there is none; or the
                captioner's frames differ in size.
        """
        verify_digests(source.folder)
        self.signed = verify_if_configured(source.folder)
        self.source, self.digest = source, source.digest
        self.policy, self.tower, self.decoding = load_version(source.folder, device)
        seen = self.policy.preprocess if self.tower is None else self.tower.config
        assert seen is not None
        self.frame = seen.frame
        if self.frame.shape is None:
            raise DataError(
                f"{source.name}: its image processor keeps each picture's proportions, so pictures "
                "do not fit one batch; set do_center_crop and crop_size there"
            )
        self.shape = self.frame.shape

    def blank(self) -> bytes:
        """A black frame, for warming up."""
        return bytes(3 * math.prod(self.shape))

    @torch.inference_mode()
    def caption(self, frames: Sequence[bytes]) -> list[list[Caption]]:
        """Captions of each frame of RGB bytes, the likeliest first, as many as there are beams."""
        stacked = torch.frombuffer(bytearray(b"".join(frames)), dtype=torch.uint8)
        seen = self._look(stacked.view(len(frames), *self.shape, 3))
        found = self.policy.search(self.policy.encode(seen), self.decoding)
        texts = [self.policy.tokenizer.decode_batch(rows) for rows in found.tokens]
        return [
            [Caption(*pair) for pair in zip(*columns, strict=True)]
            for columns in zip(texts, found.logps.tolist(), strict=True)
        ]

    def _look(self, frames: Tensor) -> Tensor:
        """What the captioner encodes, of frames (B, H, W, 3), uint8."""
        frames = frames.to(next(self.policy.module.parameters()).device)
        if self.tower is None:
            assert self.policy.preprocess is not None
            return self.policy.preprocess.normalise(frames)
        return self.tower.image_tokens(self.tower.normalise(frames))[0].float()
