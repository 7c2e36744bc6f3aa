"""The pipeline run that this process is a step of."""

import os

RUN_VARIABLE = "DICO_RUN_ID"
"""Names the run; without it no notes are written."""


def current_run() -> str:
    """The run's name; empty where the environment names none."""
    return os.environ.get(RUN_VARIABLE, "")
