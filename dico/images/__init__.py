"""Images: safe decoding, tar members, near duplicates, and the pixels that a model gets."""
