"""Structured facts of images, and how true captions are to them."""

from dico.facts.checking import Verdict, check_caption
from dico.facts.files import FACTS_FILE, facts_of_objects, read_facts, write_facts
from dico.facts.reading import Reading, read_caption
from dico.facts.scene import Scene, Thing
from dico.facts.scores import FactScores, check_captions, fact_columns, scores_from_sums
from dico.facts.vocabulary import Vocabulary

__all__ = [
    "FACTS_FILE",
    "FactScores",
    "Reading",
    "Scene",
    "Thing",
    "Verdict",
    "Vocabulary",
    "check_caption",
    "check_captions",
    "fact_columns",
    "facts_of_objects",
    "read_caption",
    "read_facts",
    "scores_from_sums",
    "write_facts",
]
