"""Caption metrics: exact, fast, without Java, and with their confidence.

Each function gives the corpus score and the score of each image. Text goes in raw and is tokenised
as the COCO evaluation does it, unless ``tokenizer="none"`` says that it is tokenised already.
"""

from dico.metrics.accumulate import CaptionScores
from dico.metrics.bert_score import bert_score
from dico.metrics.bleu import BleuScore, bleu
from dico.metrics.bootstrap import Difference, Interval, interval, paired_difference, resample_sums
from dico.metrics.chair import Chair, Synonyms, chair
from dico.metrics.cider import cider, cider_d
from dico.metrics.clip_score import clip_score, pac_score, ref_clip_score, ref_pac_score
from dico.metrics.diversity import div_n, self_bleu
from dico.metrics.fluency import (
    bad_endings,
    distinct_n,
    known_bigrams,
    novelty,
    num_words,
    rep_n,
    rep_n_share,
    unseen_bigrams,
    vocabulary_size,
)
from dico.metrics.meteor import meteor, meteor_missing
from dico.metrics.prepared import PreparedCaptions, PreparedReferences
from dico.metrics.retrieval import Retrieval, retrieval
from dico.metrics.rouge import rouge_l
from dico.metrics.scores import Score
from dico.metrics.spice import spice, spice_missing
from dico.metrics.symptoms import SYMPTOMS, symptoms, usage_of
from dico.metrics.tokenizer import tokenize
from dico.metrics.writing import odd_writing

__all__ = [
    "SYMPTOMS",
    "BleuScore",
    "CaptionScores",
    "Chair",
    "Difference",
    "Interval",
    "PreparedCaptions",
    "PreparedReferences",
    "Retrieval",
    "Score",
    "Synonyms",
    "bad_endings",
    "bert_score",
    "bleu",
    "chair",
    "cider",
    "cider_d",
    "clip_score",
    "distinct_n",
    "div_n",
    "interval",
    "known_bigrams",
    "meteor",
    "meteor_missing",
    "novelty",
    "num_words",
    "odd_writing",
    "pac_score",
    "paired_difference",
    "ref_clip_score",
    "ref_pac_score",
    "rep_n",
    "rep_n_share",
    "resample_sums",
    "retrieval",
    "rouge_l",
    "self_bleu",
    "spice",
    "spice_missing",
    "symptoms",
    "tokenize",
    "unseen_bigrams",
    "usage_of",
    "vocabulary_size",
]
