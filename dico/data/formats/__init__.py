"""Dataset formats: what an input looks like, and its pictures as a stream of entries."""

from dico.data.formats.detect import FORMATS, Dataset, detect, facts_beside, read_entries

__all__ = ["FORMATS", "Dataset", "detect", "facts_beside", "read_entries"]
