"""Evaluation of captions: files, scores with intervals, and the gate that decides on promotion."""
