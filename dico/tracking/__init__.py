"""Curves of a run where people look: TensorBoard, MLflow, Weights & Biases, and own callbacks."""

from dico.tracking.callback import Callback, Sample, Stage
from dico.tracking.listening import captions_made, listening, rows_made, scores_made

__all__ = [
    "Callback",
    "Sample",
    "Stage",
    "captions_made",
    "listening",
    "rows_made",
    "scores_made",
]
