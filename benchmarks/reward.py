"""The reward of 40 candidates: padded to CLIP's 77 tokens one by one, and by shared prefixes.

    python benchmarks/reward.py [--rounds 5]

ViT-B/32's text tower with random weights; candidates of 8 images x 5 beams of a search, so that
those of an image begin alike. Both must give the same cosines.
"""

import argparse

import torch
from beam_search import paper_captioner, random_memory
from dico_step import REWARD
from measure import alternate, write
from reference_step import padded_texts
from torch import Tensor

from dico.decoding import DecodingConfig, beam_search
from dico.models.clip import ClipModel
from dico.models.clip_config import ClipConfig


def main() -> None:
    """Runs the comparison and writes results/reward.json."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=5, help="measured turns (default 5)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    captioner = paper_captioner()
    tokens = beam_search(captioner, random_memory(captioner, 8), DecodingConfig()).tokens
    tower = ClipModel(ClipConfig.from_dict(REWARD)).eval().requires_grad_(False)
    last: dict[str, Tensor] = {}

    def padded() -> None:
        last["padded"] = padded_texts(tower, tokens)

    def shared() -> None:
        last["shared"] = tower.encode_candidates(tokens)

    def trimmed() -> None:
        last["trimmed"] = tower.encode_text(tokens.flatten(0, 1)).view(8, 5, -1)

    times = alternate({"shared": shared, "trimmed": trimmed, "padded": padded}, options.rounds)
    gap = (last["shared"] - last["padded"]).abs().max().item()
    lengths = (tokens < captioner.pad_id).sum(-1).float()
    write(
        "reward",
        {
            "candidates": tokens.shape[0] * tokens.shape[1],
            "mean_tokens": lengths.mean().item(),
            "times": times,
            "speed_up": times["padded"]["cpu_seconds"] / times["shared"]["cpu_seconds"],
            "largest_gap_of_features": gap,
        },
    )


if __name__ == "__main__":
    main()
