"""Limits of an image that is read, where no setting names others."""

MAX_PIXELS = 50_000_000
"""Width times height."""
MAX_BYTES = 200_000_000
"""Of the file."""
MAX_ASPECT_RATIO = 30.0
"""Longer side by shorter side."""
