"""Makes glibc keep freed memory in the process, which speeds up CPU steps.

glibc hands large blocks back to the system as soon as they are free; the next step asks for the
same sizes again, and the system clears every page anew. That costs as much as a tenth of a training
step, and of a pass through a convolutional tower more than its arithmetic.
"""

import ctypes
import sys

TRIM_THRESHOLD, MMAP_MAX = -1, -4
"""Names of two settings in glibc's malloc.h."""


def keep_freed_memory() -> None:
    """From now on this process keeps what it frees; without glibc nothing changes."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(TRIM_THRESHOLD, 2**31 - 1)
        mallopt(MMAP_MAX, 0)
