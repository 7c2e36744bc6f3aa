"""Tiny models with random weights, for every test that needs one."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from dico.models.captioner import Captioner, CaptionerConfig
from dico.models.clip import ClipModel
from dico.models.clip_config import ClipConfig, TextConfig, VisionConfig
from dico.models.evaluator import EvaluatorConfig, save_evaluator
from dico.models.generative import GenerativeEvaluator
from dico.models.tokenizer import Tokenizer

TINY = CaptionerConfig(
    num_text_positions=16,
    width=16,
    num_encoder_layers=1,
    num_decoder_layers=1,
    num_heads=2,
    ffn_width=32,
)
"""The smallest captioner, for whatever tower feeds it."""
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
"""Sizes that all differ, so that no axis can be taken for another."""


def tiny_config(**sizes) -> CaptionerConfig:
    """`TINY` with other sizes."""
    return dataclasses.replace(TINY, **sizes)


def random_captioner(seed: int = 0, **sizes: int) -> Captioner:
    """A captioner of `SIZES` that prefers some words clearly."""
    torch.manual_seed(seed)
    return shaken(Captioner(dataclasses.replace(SIZES, **sizes)).eval(), 0.15)


def shaken(model: nn.Module, scale: float):
    """The model with noise on all its weights, so that none is where it was initialised."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * scale)
    return model


def clip_config(
    tokenizer: Tokenizer,
    width: int = 32,
    patch_size: int = 8,
    num_layers: int = 1,
    num_text_layers: int = 1,
    num_text_positions: int = 24,
) -> ClipConfig:
    """A CLIP of images of 32 pixels, with two heads on each side."""
    return ClipConfig(
        embed_dim=16,
        vision_cfg=VisionConfig(
            image_size=32,
            layers=num_layers,
            width=width,
            head_width=width // 2,
            patch_size=patch_size,
        ),
        text_cfg=TextConfig(
            num_text_positions, tokenizer.vocab_size - 1, width, 2, num_text_layers
        ),
    )


def write_evaluator(folder: Path, tokenizer: Tokenizer, clip: ClipConfig, noise: float = 0.0):
    """An evaluator's folder whose base and tuned weights are two draws."""
    torch.manual_seed(0)
    weights = [shaken(ClipModel(clip), noise).state_dict() for _ in range(2)]
    save_evaluator(folder, EvaluatorConfig(clip=clip), tokenizer, *weights)


def generative_evaluator(captions: Sequence[str]) -> GenerativeEvaluator:
    """A generative evaluator of 4 image tokens of 6 values that knows the words of ``captions``."""
    torch.manual_seed(0)
    tokenizer = Tokenizer.train(captions, 300)
    config = tiny_config(
        feature_width=6,
        num_image_positions=4,
        vocab_size=tokenizer.vocab_size,
        num_encoder_layers=0,
    )
    made = GenerativeEvaluator(Captioner(config, tokenizer).eval(), alpha=0.5)
    made.blind_tokens.data.normal_()
    shaken(made.captioner, 0.3)
    return made
