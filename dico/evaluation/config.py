"""Settings of the evaluation."""

from dataclasses import dataclass
from typing import Annotated, Literal

from dico.configuration.ranges import NonNegativeInt, Range, Ranged
from dico.plugins import JUDGES


@dataclass(frozen=True)
class EvaluationConfig(Ranged):
    """What is computed, and how."""

    tokenizer: Literal["python", "java", "none"] = "python"
    """PTB tokeniser: python needs no Java, java is the original, none takes the text as it is."""

    meteor: bool = True
    """METEOR, where Java and pycocoevalcap are installed."""

    spice: bool = False
    """SPICE, where Java and its Stanford models are installed; minutes for a large set."""

    bert_model: str = ""
    """Folder of an encoder in Hugging Face's format, for BERTScore; empty for none."""

    bert_layer: NonNegativeInt = 0
    """Layer whose output BERTScore compares; 0 for the last. Published: roberta-large 17."""

    chair: Literal["lemma", "singular"] = "lemma"
    """Procedure by which CHAIR finds objects in captions; singular is that of 2018."""

    retrieval: Literal["clip", "pac"] = "clip"
    """Whose embeddings find a caption's image; where only one evaluator is given, that one."""

    judges: Annotated[tuple[str, ...], JUDGES] = ()
    """Other packages' judges of captions, by name, whose scores the gate hears (docs/plugins.md)."""

    human: bool = True
    """Whether each image's first reference is scored against its others, as the system "human"."""

    partial: bool = False
    """Whether images that lack a caption or references are left out; else they are an error."""

    num_resamples: NonNegativeInt = 1000
    """Bootstrap resamples behind each interval; 0 for none."""

    confidence: Annotated[float, Range(0, 1, above=True, below=True)] = 0.95
    """Of the intervals, in (0, 1)."""

    seed: NonNegativeInt = 0
    """Of the resamples."""
