"""dico: train image captioners by cross-entropy, then by Direct CLIP-based Optimization."""

__version__ = "0.1.0"
