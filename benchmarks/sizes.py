"""The paper's captioner and its image tokens, which all benchmarks of models share."""

from dico.models.captioner import CaptionerConfig

SIZES = CaptionerConfig()
NUM_IMAGE_TOKENS = 257
