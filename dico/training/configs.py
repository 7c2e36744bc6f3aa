"""Settings of the three trainers; apart from them, because reading settings needs no torch."""

import dataclasses
from typing import Annotated, Literal

from dico.configuration.ranges import (
    Fraction,
    FractionBelowOne,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Ranged,
)
from dico.configuration.schema import check
from dico.plugins import LOSSES
from dico.training.resilience.limits import GuardConfig, RewardHackingConfig

Schedule = Literal["constant", "cosine"]
Precision = Literal["float32", "bfloat16"]
Weighting = Literal["softmax", "uniform", "hardest"]


@dataclasses.dataclass(frozen=True)
class EvaluatorTrainingConfig(Ranged):
    """Size of the evaluator and how it is trained. The defaults suit the toy dataset."""

    weights: str = ""
    """Published dual encoder to start from: a folder, a file, ``s3://``, ``ORG/NAME`` of the Hugging
    Face Hub or ``MODEL:TAG`` of open_clip; or the folder of an evaluator made before. Empty trains
    one from random weights, of the sizes below. Or ``pip:VISION+TEXT``, two published towers that
    packages carry (`dico.weights.packages`): the maps that join them are trained, in
    ``num_clip_steps``, and all else stays as it was published."""
    projection_dropout: FractionBelowOne = 0.7
    """Of such maps: share of their inputs that each step leaves out, 0 to below 1. High, because a
    few hundred images have fewer captions than a map has weights."""
    reward_folds: NonNegativeInt = 0
    """Folds of the training images, each with maps that have not seen it, for the reward
    ``self-retrieval``; 0 for none. Only with ``weights=pip:VISION+TEXT``: other weights need
    ``finetune.reward=pac`` or the like. 4 suit some hundred images, and cost 4 times the maps'
    training."""
    pac: str = ""
    """Weights tuned from it, such as ``clip_ViT-B-32.pth`` of PAC-S."""
    tower: str = ""
    """The captioner's vision tower (``features.tower=tower``), named like ``weights``."""
    vocabulary: Literal["clip", "captions"] = "clip"
    """The captioner's words beside published weights: CLIP's, or ``vocab_size`` learnt from the
    training captions."""
    adapt: Literal["none", "projections", "lora", "all"] = "none"
    """What of published weights is trained on the user's images, by PAC's loss for
    ``num_pac_steps``: nothing, the projections (PAC-S), low-rank updates (PAC-S++) or all."""
    lora_rank: PositiveInt = 4
    """Rank of those updates (4 in PAC-S++)."""
    image_size_px: PositiveInt = 64
    """Side of the square that the vision tower sees, pixels."""
    vision_layers: tuple[PositiveInt, ...] = (1, 1, 1, 1)
    """Blocks of the vision tower: four numbers for the stages of CLIP's ResNet, which learns from
    few images, two or three for those of a plain tower of finer stride, or one number for a vision
    transformer."""
    vision_width: PositiveInt = 16
    """Channels of the ResNet's first stage, or width of the transformer's image tokens."""
    patch_size_px: PositiveInt = 16
    """Side of a transformer's patch, pixels."""
    text_width: PositiveInt = 128
    """Width of a text token."""
    text_layers: PositiveInt = 3
    """Blocks of the text tower."""
    head_width: PositiveInt = 32
    """Width of one attention head in both towers."""
    embed_dim: PositiveInt = 128
    """Width E of the shared embedding."""
    context_tokens: PositiveInt = 40
    """Longest caption, tokens, BOS and EOS included."""
    vocab_size: PositiveInt = 512
    """Ids of the vocabulary that is learnt from the training captions; the captioner shares it."""
    w: PositiveFloat = 2.0
    """Factor of the cosine in PAC-S."""
    prompt: str = ""
    """Written before captions when scores are computed; this evaluator is trained without one."""
    num_word_steps: NonNegativeInt = 0
    """Steps before all others, in which the tower learns which words captions have (arXiv 1411.4952).
    It then stays as it is (arXiv 2111.07991): CLIP's and PAC's steps train its pooling, the text tower
    and the decoder, on what it makes of each image once. 0 trains all of them together."""
    word_batch_size: PositiveInt = 32
    """Images of such a step."""
    word_learning_rate: PositiveFloat = 5e-3
    """Peak rate of AdamW in these steps."""
    num_clip_steps: NonNegativeInt = 150
    """Steps with CLIP's loss, from random weights."""
    num_pac_steps: NonNegativeInt = 250
    """Steps with PAC's loss, from the CLIP weights."""
    batch_size: PositiveInt = 128
    """Images a step."""
    learning_rate: PositiveFloat = 1e-3
    """Peak rate of AdamW in both stages."""
    warmup_share: Fraction = 0.1
    """Part of each stage that warms up; the rate then falls along a half cosine."""
    weight_decay: NonNegativeFloat = 0.05
    """AdamW's decay."""
    max_gradient_norm: NonNegativeFloat = 0.0
    """Gradients are scaled down to this norm; 0 leaves them as they are."""
    lambda_visual: NonNegativeFloat = 0.5
    """Weight of the added positive image (0.05 in the paper, which starts from a strong CLIP)."""
    lambda_text: NonNegativeFloat = 0.5
    """Weight of the added positive caption (0.1 in the paper)."""
    swap_share: Fraction = 0.0
    """Share of images for which an added positive stands in, as an augmentation: with
    ``lambda_visual = 0`` each step then looks once at each image, and still sees all renderings."""
    negative_weight: NonNegativeFloat = 0.0
    """Weight of captions edited so that they are false, mined from the training captions (NegCLIP,
    arXiv 2210.01936); 0 leaves PAC's objective as it is."""
    caption_weight: NonNegativeFloat = 0.0
    """Weight of the captions' cross-entropy by a decoder on the same tower, which becomes the
    generative evaluator (CoCa, arXiv 2205.01917, has 2); 0 trains none."""
    caption_layers: PositiveInt = 2
    """Layers of that decoder."""
    captions_per_image: PositiveInt = 1
    """Human captions of an image that it reads in a step, the added positive besides."""
    blind_share: Fraction = 0.1
    """Share of images that it does not see, so that it knows captions' prior (classifier-free
    guidance, arXiv 2207.12598, leaves out 0.1 to 0.2)."""
    alpha: Fraction = 0.5
    """Share of the blind prior's log-probability that the generative score takes off, in [0, 1]."""
    judge_share: FractionBelowOne = 0.0
    """Share of the training images, by a hash of their content, that only the independent
    evaluator sees; 0 shares all."""
    checkpoint_every_steps: PositiveInt = 50
    """Steps between checkpoints."""
    validate_every_steps: PositiveInt = 50
    """Steps between measurements of retrieval on validation images."""
    guards: GuardConfig = dataclasses.field(default_factory=GuardConfig)
    """When a run goes back to its last checkpoint, or gives up."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(bool(self.vision_layers), "vision_layers", self.vision_layers, "must not be empty")
        folds = self.reward_folds
        check(folds != 1, "reward_folds", folds, "must be 0 or at least 2")
        joins = self.weights.startswith("pip:")
        constraint = "must be 0 where weights are no pip:VISION+TEXT, with a reward such as pac"
        check(not folds or joins, "reward_folds", folds, constraint)


@dataclasses.dataclass(frozen=True)
class JudgeConfig(EvaluatorTrainingConfig):
    """The independent evaluator, by which the gate judges and on which nothing is tuned."""

    enabled: bool = False
    """Whether there is one; without it the gate judges by references and facts."""

    def __post_init__(self) -> None:
        super().__post_init__()
        folds = self.reward_folds
        check(not folds, "reward_folds", folds, "must be 0: the judge rewards nothing")


@dataclasses.dataclass(frozen=True)
class CaptionerTrainingConfig(Ranged):
    """What pre-training and fine-tuning of a captioner have in common."""

    max_gradient_norm: NonNegativeFloat = 0.0
    """Gradients are scaled down to this norm; 0 leaves them as they are."""
    precision: Precision = "float32"
    """``float32`` or ``bfloat16`` for matrix products; scores and losses are float32."""
    activation_checkpointing: bool = False
    """Computes the activations of each layer again in the backward pass: less memory, more time."""
    compile_blocks: bool = False
    """Compiles each layer by torch.compile: for long runs on GPUs, where it may help. Values, and
    DiCO's Delta at the first step, are then equal up to rounding."""
    num_validation_images: PositiveInt = 500
    """Validation images captioned each time."""
    guards: GuardConfig = dataclasses.field(default_factory=GuardConfig)
    """When a run goes back to its last checkpoint, or gives up."""

    def __post_init__(self) -> None:
        super().__post_init__()
        once = not (self.activation_checkpointing and self.compile_blocks)
        constraint = "not together with activation_checkpointing"
        check(once, "compile_blocks", self.compile_blocks, constraint)


@dataclasses.dataclass(frozen=True)
class XEConfig(CaptionerTrainingConfig):
    """How a captioner is pre-trained; the defaults are the paper's."""

    num_steps: NonNegativeInt = 10_000
    """Optimiser steps; 0 leaves a published captioner as it is."""
    batch_size: PositiveInt = 1024
    """Captions a step, over all ranks."""
    captions_per_image: PositiveInt = 1
    """Captions of one image in a step, sharing one encoder pass; divides ``batch_size``."""
    micro_batch_size: PositiveInt = 1024
    """Captions in one forward pass of one rank; gradients of a step are accumulated over them."""
    learning_rate: PositiveFloat = 2.5e-4
    """Peak rate of Adam."""
    warmup_share: Fraction = 0.05
    """Part of the run that warms up."""
    schedule: Schedule = "constant"
    """``constant`` or ``cosine`` after the warm-up."""
    label_smoothing: FractionBelowOne = 0.0
    """Share of each target spread over the vocabulary, 0 to 1."""
    validate_every_steps: PositiveInt = 1000
    """Steps between validations; the best weights by CIDEr are kept."""
    checkpoint_every_steps: PositiveInt = 500
    """Steps between checkpoints."""

    def __post_init__(self) -> None:
        super().__post_init__()
        constraint = f"must be a multiple of captions_per_image ({self.captions_per_image})"
        for name in ("batch_size", "micro_batch_size"):
            size = getattr(self, name)
            check(size % self.captions_per_image == 0, name, size, constraint)


@dataclasses.dataclass(frozen=True)
class FinetuneConfig(CaptionerTrainingConfig):
    """How a captioner is fine-tuned; the defaults are the paper's."""

    method: Annotated[str, LOSSES] = "dico"
    """``dico``, ``scst`` to compare with, or another package's loss (docs/plugins.md)."""
    reward: str = "pac"
    """What candidates are judged by: ``pac``, ``ref-pac``, ``clip``, ``cider-d``, ... or a weighted
    sum such as ``0.7*pac+0.3*cider-d``; see `dico.rewards.build_reward`."""
    num_steps: PositiveInt = 250_000
    """Optimiser steps at most."""
    batch_size: PositiveInt = 16
    """Images a step, over all ranks."""
    micro_batch_size: PositiveInt = 16
    """Images in one pass of one rank; gradients of a step are accumulated over them."""
    learning_rate: PositiveFloat = 1e-6
    """Rate of Adam."""
    schedule: Schedule = "constant"
    """``constant``, as the paper's, or ``cosine``: falls to 0, so that the last steps of a short run
    settle instead of jumping about."""
    beta: PositiveFloat = 0.2
    """Strength of the tie to the pre-trained model."""
    tau: PositiveFloat = 300.0
    """How much more a larger gap of rewards counts among the losers (for 2 * cosine)."""
    weighting: Weighting = "softmax"
    """Weights of the losers: ``softmax``, ``uniform`` or ``hardest``."""
    anchor: float = 0.0
    """Weight of the winner's own log-probability per token beside DiCO's loss, so that it does not
    fall with the losers' (arXiv 2404.19733 has 1); 0 is the paper's loss."""
    pay_untold: bool = True
    """Whether words are paid for that no evaluator tells, by the audit; if not, candidates are scored
    without them. Only a dataset with facts says which words these are."""
    candidates: Literal["beam", "sample"] = "beam"
    """``beam``: all beams of a search, as the paper; ``sample``: drawn independently, which differ
    more, so that the best of them is further above the others."""
    num_candidates: NonNegativeInt = 0
    """Candidates K per image, found or drawn, at least 2; 0 for ``decoding.num_beams``."""
    num_groups: NonNegativeInt = 0
    """Groups of beams that are kept from each other's words while candidates are searched, so that
    they differ; 0 for ``decoding.num_groups``, by which captions are made afterwards."""
    temperature: PositiveFloat = 1.0
    """Divides the logits that they are drawn by; below 1 draws fewer unlikely words."""
    baseline: Literal["mean", "greedy", "none"] = "mean"
    """SCST's baseline: mean reward of the candidates, reward of the greedy caption, or none."""
    keep_reference_gigabytes: NonNegativeFloat = 0.0
    """Main memory of each rank for what the reference model's encoder makes of images (526 kB
    each for ViT-L/14, 60 for COCO); images beyond it are encoded at each step. Each image is
    then encoded by itself, so Delta at the first step is 0 up to rounding only; 0 keeps nothing."""
    validate_every_steps: PositiveInt = 1750
    """Steps between validations (a quarter epoch of COCO)."""
    best_by: Literal["ref_pac_score", "cider", "cider_and_facts"] = "ref_pac_score"
    """Which validation score picks the weights that are kept. ``ref_pac_score`` is the paper's and
    rises with the reward; ``cider`` and ``cider_and_facts`` do not. The latter adds the harmonic mean
    of the facts' precision and recall, each as a ratio to its start, and passes over weights whose
    captions are less often true than at the start."""
    patience: NonNegativeInt = 0
    """Validations in a row without a better one that end the run; 0 runs all steps."""
    checkpoint_every_steps: PositiveInt = 250
    """Steps between checkpoints."""
    reward_hacking: RewardHackingConfig = dataclasses.field(default_factory=RewardHackingConfig)
    """When a run stops, because the reward rises at the cost of the captions."""

    def __post_init__(self) -> None:
        super().__post_init__()
        compared = self.num_candidates != 1
        check(compared, "num_candidates", 1, "fine-tuning compares at least 2 candidates")
