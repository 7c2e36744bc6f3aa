"""Location of a step's checkpoints: the same inputs, settings and code find them again."""

import hashlib

from dico.errors import UsageError
from dico.process.provenance import code_digest
from dico.storage import open_store
from dico.training.resilience.checkpoint import Checkpoints


def checkpoints_of(step: str, store: str, run_key: str, *inputs: object) -> Checkpoints:
    """The checkpoints of ``step`` below ``store``/checkpoints.

    Args:
        step: name of the step.
        store: folder or s3:// prefix.
        run_key: name of the run; empty shares the checkpoints of equal runs.
        inputs: all that the result depends on: digests, settings, seeds. The code is added.

    Raises:
        UsageError: no store is given.
    """
    if not store:
        raise UsageError("store: empty; give a folder or s3://bucket/prefix for checkpoints")
    text = "\0".join(map(str, (*inputs, code_digest())))
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return Checkpoints(open_store(store), f"checkpoints/{run_key or 'run'}/{step}-{digest}")
