"""Cross-entropy training at the paper's size: captions per second with and without stored features.

    python benchmarks/xe.py [--images 4] [--rounds 2]

Without: each caption's image goes through the frozen ViT-L/14 and the encoder, captions padded to
the limit and full logits, as the reference trains. With: stored features, one caption of each
image, and five of each image that share its encoder pass. One step each, Adam included, in
turn; with one caption of each image the losses must agree.
"""

import argparse
import copy
from collections.abc import Callable
from typing import Any

import torch
from beam_search import paper_captioner
from dico_step import tower_model
from measure import alternate, table, write
from sizes import NUM_IMAGE_TOKENS, SIZES
from torch import Tensor
from torch.nn import functional as F

from dico.losses import xe_loss
from dico.models.captioner import Captioner
from dico.models.scoring import caption_logits
from dico.training.optimizer import adam

CAPTIONS_PER_IMAGE = 5
PADDED_TOKENS = 30


def captions(captioner: Captioner, count: int) -> Tensor:
    """Captions (count, T) of random words, as long as COCO's: 8 to 16 tokens with BOS and EOS."""
    generator = torch.Generator().manual_seed(3)
    lengths = torch.randint(8, 17, (count,), generator=generator)
    tokens = torch.randint(0, captioner.bos_id, (count, 16), generator=generator)
    tokens[:, 0] = captioner.bos_id
    tokens[torch.arange(count), lengths - 1] = captioner.eos_id
    return tokens.masked_fill(torch.arange(16) >= lengths[:, None], captioner.pad_id)


def ours(captioner: Captioner, features: Tensor, tokens: Tensor) -> Tensor:
    """The loss as dico's training computes it."""
    logits, targets = caption_logits(captioner, captioner.encode(features), tokens)
    return xe_loss(logits, targets, captioner.pad_id)


def reference(captioner: Captioner, features: Tensor, tokens: Tensor) -> Tensor:
    """The loss over padded captions; padding is masked in ours and in this."""
    padded = F.pad(tokens, (0, PADDED_TOKENS - tokens.shape[1]), value=captioner.pad_id)
    logits = captioner.logits(captioner.encode(features), padded[:, :-1])
    return xe_loss(logits, padded[:, 1:], captioner.pad_id)


def stepper(captioner: Captioner, loss_of: Callable[[Captioner], Tensor]) -> Callable[[], float]:
    """One optimiser step; the rate is 0 so that losses stay comparable."""
    optimiser = adam(list(captioner.parameters()), 0.0)

    def step() -> float:
        loss = loss_of(captioner)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


def main() -> None:
    """Runs the comparison and writes results/xe.json and .md."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--images", type=int, default=4, help="images a step (default 4)")
    parser.add_argument("--rounds", type=int, default=2, help="measured turns (default 2)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    images, captioner, tower = options.images, paper_captioner(), tower_model()
    torch.manual_seed(2)
    pixels = torch.randn(images, 3, 224, 224)
    with torch.no_grad():
        stored = tower.encode_image_tokens(pixels)
    assert stored.shape[1:] == (NUM_IMAGE_TOKENS, SIZES.feature_width)
    many = captions(captioner, images * CAPTIONS_PER_IMAGE)
    one = many[::CAPTIONS_PER_IMAGE]

    def without(model: Captioner) -> Tensor:
        with torch.no_grad():
            features = tower.encode_image_tokens(pixels)
        return reference(model, features, one)

    steps = {
        "without features": stepper(copy.deepcopy(captioner), without),
        "with, 1 caption an image": stepper(captioner, lambda m: ours(m, stored, one)),
        "with, 5 captions an image": stepper(captioner, lambda m: ours(m, stored, many)),
    }
    losses: dict[str, float] = {}
    turns = {name: lambda n=name: losses.update({n: steps[n]()}) for name in steps}
    report(images, alternate(turns, options.rounds), losses)


def report(images: int, times: dict[str, dict[str, float]], losses: dict[str, float]) -> None:
    """Writes the results and prints them."""
    rates: dict[str, Any] = {}
    for name, took in times.items():
        count = images * (CAPTIONS_PER_IMAGE if "5" in name else 1)
        low, high = took["cpu_seconds_high"], took["cpu_seconds_low"]
        rates[name] = [count / seconds for seconds in (took["cpu_seconds"], low, high)]
    rival = "without features"
    base = rates[rival][0]
    gap = abs(losses["with, 1 caption an image"] - losses[rival]) / losses[rival]
    rows = [
        [name, f"{rate:.2f}", f"{low:.2f} to {high:.2f}", f"{rate / base:.1f}"]
        for name, (rate, low, high) in rates.items()
    ]
    result = {
        "images": images,
        "times": times,
        "captions_per_cpu_second": {name: rate[0] for name, rate in rates.items()},
        "speed_up": {name: rate[0] / base for name, rate in rates.items()},
        "relative_loss_gap": gap,
    }
    write("xe", result, table(["", "captions per CPU s", "range", "times"], rows))


if __name__ == "__main__":
    main()
