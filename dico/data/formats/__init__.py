"""Dataset formats: what an input looks like, and its images as a stream of entries."""

from dico.data.formats.columns import Columns
from dico.data.formats.dataset import FORMATS, Dataset
from dico.data.formats.detect import detect, facts_beside, read_entries

__all__ = ["FORMATS", "Columns", "Dataset", "detect", "facts_beside", "read_entries"]
