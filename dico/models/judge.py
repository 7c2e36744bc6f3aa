"""The folder of an independent evaluator, or a note that a run has none.

An evaluator's folder (`dico.models.evaluator`), perhaps with ``generative/``. Where nothing
independent judges, the folder holds ``absent.json`` alone, so that it can be handed on all the same.
"""

import json
from pathlib import Path

from dico.storage import write_digests

ABSENT_FILE = "absent.json"


def write_absent_judge(folder: str | Path) -> None:
    """Writes the note that there is no independent evaluator."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ABSENT_FILE).write_text(json.dumps({"format": 1, "absent": True}) + "\n")
    write_digests(folder)


def has_judge(folder: str | Path) -> bool:
    """Whether ``folder`` names an independent evaluator: not empty, and not the note."""
    return bool(folder) and Path(folder).is_dir() and not (Path(folder) / ABSENT_FILE).is_file()
