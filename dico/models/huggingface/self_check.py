"""Self-check: captions with shared prompt states must score like captions on their own.

Looked at when a model is opened, on images of noise, so that a type nobody tried here, or another
version of transformers, cannot be silently wrong.

B = 2 images, K = 2 captions each, T tokens.
"""

import sys
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dico.errors import ConfigError
from dico.models.huggingface.image_text import ImageTextToText
from dico.models.huggingface.inputs import InputBatch
from dico.models.huggingface.memory import ImageMemory

TOLERANCES = {torch.float64: 1e-6, torch.float32: 1e-3, torch.bfloat16: 0.15, torch.float16: 0.05}
"""Largest difference of a token's log-probability, by the dtype of the weights: some times its
rounding. A wrong position or mask is off by .05 to 1 in random models."""
SIZE_PX = 96
LENGTHS = (6, 3)


def noise(seed: int) -> Image.Image:
    """An image of noise."""
    values = np.random.default_rng(seed).integers(0, 256, (SIZE_PX, SIZE_PX, 3), dtype=np.uint8)
    return Image.fromarray(values)


def check(captioner: ImageTextToText) -> None:
    """Looks at a captioner that has its processor, unless this transformers was looked at before."""
    import transformers

    device = next(captioner.model.parameters()).device
    images = captioner.pixels.of_frames([noise(1), noise(2)]).to(device)
    captioner.longest_prompt = max(one["input_ids"].shape[1] for one in images)
    if captioner.checked.get("transformers") != transformers.__version__:
        choose_route(captioner, images)
        captioner.checked = {"transformers": transformers.__version__, "route": captioner.route}
    captioner.route = "full" if captioner.checked.get("route") == "full" else "shared"


@torch.no_grad()
def choose_route(captioner: ImageTextToText, images: InputBatch) -> None:
    """Takes the shared route if it is right, else the full one, which is said in a line.

    Args:
        captioner: in eval mode.
        images: two images.

    Raises:
        ConfigError: captions that go through all of the model depend on those beside them.
    """
    expected, tokens = _alone(captioner, images), _captions(captioner)
    captioner.route = "shared"
    off = _difference(captioner, images, tokens, expected)
    if off is None:
        return
    captioner.route = "full"
    kind = captioner.model.config.model_type
    if (worse := _difference(captioner, images, tokens, expected)) is not None:
        raise ConfigError(
            f"captioner: the type {kind!r} is not supported: scores of its captions depend on the "
            f"captions beside them ({worse})"
        )
    print(
        f"captioner: captions of {kind!r} do not share their prompt ({off}): each goes through all "
        "of the model",
        file=sys.stderr,
    )


def _difference(
    captioner: ImageTextToText, images: InputBatch, tokens: Tensor, expected: Tensor
) -> str | None:
    """What is wrong with a route; None where it is right."""
    try:
        found = captioner.score_candidates(captioner.encode(images), tokens)
    except Exception as error:  # whatever a model that was never tried may raise
        return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
    num_words = torch.tensor(LENGTHS, device=found.device) - 1
    off = float(((found - expected).abs() / num_words).max())
    most = TOLERANCES.get(captioner.model.dtype, 1e-3)
    return None if off <= most else f"log-probabilities are off by {off:.1g}"


def _alone(captioner: ImageTextToText, images: InputBatch) -> Tensor:
    """Log-probabilities (B, K) of the captions, each by a pass of its own through the model."""
    captioner.route = "full"
    tokens = _captions(captioner)
    scores = []
    for place, image in enumerate(images.split(1)):
        memory: ImageMemory = captioner.encode(image)
        for row, length in zip(tokens[place], LENGTHS, strict=True):
            scores.append(captioner.score_candidates(memory, row[None, None, :length])[0, 0])
    return torch.stack(scores).view(2, 2)  # (B, K)


def _captions(captioner: Any) -> Tensor:
    """Captions (B, K, T) of words by chance."""
    generator = torch.Generator().manual_seed(0)
    barred = {*captioner.excluded_ids, *captioner.eos_ids, captioner.bos_id}
    words = [i for i in range(min(captioner.vocab_size, 20_000)) if i not in barred]
    tokens = torch.full((2, 2, max(LENGTHS)), captioner.pad_id)
    for image in range(2):
        for k, length in enumerate(LENGTHS):
            drawn = torch.randint(len(words), (length - 2,), generator=generator).tolist()
            caption = [captioner.bos_id, *(words[i] for i in drawn), captioner.eos_id]
            tokens[image, k, :length] = torch.tensor(caption)
    return tokens.to(next(captioner.model.parameters()).device)
