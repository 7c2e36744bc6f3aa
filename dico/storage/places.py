"""Default places of a run: folders of the mounted work volume where no URI is given."""

import os

WORK_VARIABLE = "DICO_WORK"
"""Names the folder for stores and registries that nobody names: a pod's mounted work volume."""


def default_place(uri: str, name: str) -> str:
    """``uri``, or the folder ``name`` of the mounted work volume where ``uri`` is empty."""
    work = os.environ.get(WORK_VARIABLE, "")
    return uri or (f"{work}/{name}" if work else "")
