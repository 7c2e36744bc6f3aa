"""Sizes of a captioner; apart from the captioner, because reading settings needs no torch."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

from dico.configuration.ranges import (
    FractionBelowOne,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Ranged,
)
from dico.configuration.schema import check
from dico.plugins import CAPTIONERS

T = TypeVar("T", "CaptionerConfig", "HuggingFaceConfig")


@dataclass(frozen=True)
class CaptionerConfig(Ranged):
    """Sizes of a captioner; the defaults are the paper's, for CLIP ViT-L/14."""

    feature_width: PositiveInt = 1024
    """Width F of an image token (1024 for ViT-L/14)."""
    num_image_positions: PositiveInt = 512
    """Rows of the encoder's table of positions: at least P (512 in the reference's BERT)."""
    num_text_positions: PositiveInt = 1024
    """Rows of the decoder's table of positions: at least T (1024 in the reference's GPT-2)."""
    vocab_size: PositiveInt = 49409
    """Ids V, PAD included; BOS, EOS and PAD are the last three."""
    width: PositiveInt = 512
    """Width D of the encoder and the decoder."""
    num_encoder_layers: NonNegativeInt = 3
    """Layers of the encoder; 0 leaves image tokens projected, with their positions."""
    num_decoder_layers: PositiveInt = 3
    """Layers of the decoder."""
    num_heads: PositiveInt = 8
    """Attention heads H of every layer."""
    ffn_width: PositiveInt = 2048
    """Hidden width of every feed-forward network."""
    dropout: FractionBelowOne = 0.1
    """Share of activations and of attention dropped in training, 0 to 1."""
    image_positions: Literal["random", "grid"] = "random"
    """How the encoder's table of positions starts: ``random`` as BERT's, or as sines of row and
    column, ``grid``, which saves learning where each token of a fine grid lies."""
    initial_std: PositiveFloat = 0.02
    """Standard deviation of the weights to start from: 0.02 is GPT-2's and BERT's, for a width of 768.
    Narrow captioners learn several times as fast from about 1 / sqrt(width) (Glorot and Bengio 2010)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.width % self.num_heads == 0, "width", self.width, "must hold whole heads")


@dataclass(frozen=True)
class HuggingFaceConfig(Ranged):
    """A captioner of the transformers library, and how much of it is trained."""

    checkpoint: str = ""
    """The model in transformers' layout, with safetensors, tokenizer and image processor: a folder, or
    a name on the Hub, with ``@COMMIT`` where one is meant."""
    instruction: str = ""
    """What a model with a chat template is asked about the image; ``Describe the image in one
    sentence.`` if empty."""
    prompt: str = ""
    """Text before the caption as it is, in place of the instruction and its template: with the
    image's place where the model's processor wants it spelt out, such as
    ``USER: <image> Describe the image. ASSISTANT:``."""
    image_px: NonNegativeInt = 0
    """Longest side, pixels, that a model of tiles or of dynamic resolution sees of an image; 0 is as
    much as its processor lets through. BLIP, GIT and encoder-decoders see their fixed square."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Weights that are not trained: ``bfloat16`` halves their memory, where adapters alone are
    trained, which stay float32."""
    load_in_4bit: bool = False
    """Whether weights that are not trained are kept in 4 bits, on a GPU of CUDA; needs the extra
    ``4bit``. What is saved is in bfloat16, its adapters added to the checkpoint's own weights."""
    freeze_image_encoder: bool = False
    """Leaves the vision tower as it is when all weights are trained."""
    lora_rank: NonNegativeInt = 0
    """Rank of low-rank adapters, which alone are trained; 0 trains all weights."""
    lora_alpha: PositiveFloat = 16.0
    """An adapter's output is scaled by this over its rank."""
    lora_dropout: FractionBelowOne = 0.0
    """Share of an adapter's inputs dropped in training, 0 to 1."""
    lora_targets: tuple[str, ...] = ()
    """Names that adapted modules end in, such as ``q_proj``, wherever they are; if empty, all linear
    ones of the language model but the head. Modules that share their weights with others are left
    out."""

    def __post_init__(self) -> None:
        super().__post_init__()
        either = not (self.prompt and self.instruction)
        check(either, "prompt", self.prompt, "must be empty where captioner.instruction is given")
        adapted = self.dtype == "float32" or self.lora_rank > 0
        frozen = "needs captioner.lora_rank above 0: weights that are trained are float32"
        check(adapted, "dtype", self.dtype, frozen)
        adapted = self.lora_rank > 0 or not self.load_in_4bit
        check(adapted, "load_in_4bit", self.load_in_4bit, frozen)


@dataclass(frozen=True)
class CaptionerSettings(HuggingFaceConfig, CaptionerConfig):
    """Which captioner is trained: the paper's by its sizes, transformers' by its folder, another's.

    Each reads its own settings and leaves the other's alone.
    """

    architecture: Annotated[str, CAPTIONERS] = "paper"
    """``paper`` starts from random weights and reads stored features; ``huggingface`` starts from
    ``checkpoint`` and sees the images' pixels; another package's starts as it says
    (docs/plugins.md)."""
    options: tuple[str, ...] = ()
    """What another package's captioner is told besides, such as ``["layers=2"]``."""

    def __post_init__(self) -> None:
        super().__post_init__()
        wanted = self.architecture == "huggingface"
        check(bool(self.checkpoint) >= wanted, "checkpoint", self.checkpoint, "must name a folder")
        own = self.architecture not in CAPTIONERS.built_in or not self.options
        check(own, "options", self.options, "must be empty: captioner.architecture has none")

    def sizes(self) -> CaptionerConfig:
        """The paper's captioner's part."""
        return _part(self, CaptionerConfig)

    def huggingface(self) -> HuggingFaceConfig:
        """The transformers captioner's part."""
        return _part(self, HuggingFaceConfig)


def _part(settings: CaptionerSettings, kind: type[T]) -> T:
    names = [field.name for field in dataclasses.fields(kind)]
    return kind(**{name: getattr(settings, name) for name in names})
