"""A registered version, loaded and verified, that captions batches of images."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from dico.errors import DataError
from dico.models.huggingface import PixelConfig
from dico.policy.captioning import Caption, caption_inputs
from dico.policy.protocol import Images
from dico.registry.bundle import load_version
from dico.registry.signing import verify_if_configured
from dico.serving.decoding import Cut
from dico.serving.source import Source
from dico.storage import verify_digests

_BLANK = (224, 224)
"""Height and width of a frame for warming up, where frames follow their images' sizes."""


class ServedModel:
    """Captions images; one thread at a time.

    Attributes:
        frame: the part of an image that is seen.
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
        if self.frame.shape is None and isinstance(seen, PixelConfig):
            raise DataError(
                f"{source.name}: its image processor keeps each image's proportions, so images "
                "do not fit one batch; set do_center_crop and crop_size there"
            )

    def blank(self) -> Cut:
        """A black frame, for warming up."""
        height, width = self.frame.shape or _BLANK
        return Cut((width, height), bytes(3 * width * height))

    @torch.inference_mode()
    def caption(self, frames: Sequence[Cut]) -> list[list[Caption]]:
        """Captions of each frame, the likeliest first, as many as there are beams."""
        inputs = self._inputs([Image.frombytes("RGB", *frame) for frame in frames])
        return caption_inputs(self.policy, inputs, self.decoding, self.decoding.num_beams)

    def _inputs(self, frames: Sequence[Image.Image]) -> Images:
        """What the captioner encodes, of frames."""
        device = next(self.policy.module.parameters()).device
        if self.tower is None:
            assert self.policy.preprocess is not None
            return self.policy.preprocess.of_frames(frames).to(device)
        stacked = torch.from_numpy(np.stack([np.array(frame) for frame in frames])).to(device)
        return self.tower.image_tokens(self.tower.normalise(stacked))[0].float()
