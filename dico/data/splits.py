"""Splits for datasets that have none: by the image's content, so that they never change."""

import hashlib


def split_of(identity: str, validation_share: float, test_share: float) -> str:
    """The split of an image.

    Args:
        identity: SHA-256 of the image, or of the first of a group of near-duplicates.
        validation_share: share of images for validation, 0 to 1.
        test_share: share of images for test, 0 to 1.
    """
    digest = hashlib.sha256(b"dico-split:" + identity.encode("utf-8", "surrogatepass")).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < test_share:
        return "test"
    return "validation" if place < test_share + validation_share else "train"
