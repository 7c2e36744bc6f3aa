"""A captioner of small sizes whose random weights prefer some words clearly."""

import dataclasses

import torch

from dico.models.captioner import Captioner, CaptionerConfig

SIZES = CaptionerConfig(
    feature_width=12,
    num_image_positions=9,
    num_text_positions=24,
    vocab_size=40,
    width=32,
    num_encoder_layers=2,
    num_decoder_layers=2,
    num_heads=4,
    ffn_width=64,
)


def random_captioner(seed: int = 0, **sizes: int) -> Captioner:
    torch.manual_seed(seed)
    captioner = Captioner(dataclasses.replace(SIZES, **sizes)).eval()
    with torch.no_grad():
        for parameter in captioner.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.15)
    return captioner
