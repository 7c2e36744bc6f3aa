"""Captions over HTTP: decoding apart, dynamic batches, bounded queues, metrics, a page.

A request's way: `app` reads a bounded body, `decoding` cuts the image to its frame in a child
process, `batching` gathers frames, `model` captions them in one thread, `app` answers.
"""

from dico.serving.config import ServingConfig

__all__ = ["ServingConfig"]
