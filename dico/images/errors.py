"""The error of an image that cannot be used, with its code."""

from dico.errors import DataError


class ImageError(DataError):
    """An image that cannot be used; ``code`` is the finding's name."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
