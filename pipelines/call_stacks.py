"""kfp's look at its callers, without reading the source of every one of them.

Each setter of a task asks `inspect.stack` for the name of its caller (kfp 2.17, for a message),
which reads source files and searches all loaded modules for each frame: compiling the pipelines
took 14 s, minutes where torch and transformers are loaded too. Frames without source say the same.
"""

import inspect
from types import ModuleType
from typing import Any

from kfp.dsl import pipeline_task


class _Inspect(ModuleType):
    """The module `inspect` with a `stack` that opens no file."""

    def __getattr__(self, name: str) -> Any:
        return getattr(inspect, name)

    @staticmethod
    def stack() -> list[inspect.FrameInfo]:
        """The callers' frames, innermost first, without lines of source."""
        return inspect.stack(context=0)[1:]


def skip_source() -> None:
    """From here on kfp's tasks look at their callers by `_Inspect`."""
    pipeline_task.inspect = _Inspect("inspect")
