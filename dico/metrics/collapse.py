"""Says in words when a captioner has collapsed, for a mean over images hides it."""

from collections.abc import Sequence

import numpy as np

from dico.metrics.fluency import bad_endings, commonest, num_words, rep_n_share

MIN_CAPTIONS = 5
MAX_SAME_SHARE = 0.3
MAX_REPEATING_SHARE = 0.2
MAX_BAD_ENDINGS = 0.15
MAX_LENGTH_RATIO = 2.0
_REPEATED_WORDS = 0.5


def collapse_warnings(
    system: str, captions: Sequence[str], references: Sequence[Sequence[str]]
) -> list[str]:
    """One sentence for each way in which the captions of ``system`` went wrong, worst first.

    Args:
        system: its name.
        captions: tokenised.
        references: raw human captions, for the usual length.
    """
    warnings = []
    empty = sum(not caption.strip() for caption in captions)
    if empty:
        warnings.append(f"{system}: {empty} of {len(captions)} captions are empty.")
    caption, share = commonest(captions)
    if share > MAX_SAME_SHARE and len(captions) >= MIN_CAPTIONS:
        warnings.append(f'{system}: {share:.0%} of the images get one caption, "{caption}".')
    repeats = rep_n_share(captions, 1).per_image >= _REPEATED_WORDS
    if repeats.mean() > MAX_REPEATING_SHARE:
        example = captions[int(np.argmax(repeats))]
        warnings.append(
            f"{system}: {repeats.mean():.0%} of the captions repeat half of their words or more, "
            f'such as "{_shorten(example)}".'
        )
    endings = bad_endings(captions)
    if endings.total > MAX_BAD_ENDINGS:
        example = captions[int(np.argmax(endings.per_image))]
        warnings.append(
            f"{system}: {endings.total:.0%} of the captions end on a determiner, preposition or "
            f'conjunction, such as "{_shorten(example)}".'
        )
    usual = num_words([text for group in references for text in group]).total
    length = num_words(captions).total
    if length > MAX_LENGTH_RATIO * usual:
        warnings.append(
            f"{system}: captions have {length:.1f} words on average, those of people {usual:.1f}."
        )
    return warnings


def _shorten(caption: str, num_characters: int = 80) -> str:
    return caption if len(caption) <= num_characters else "... " + caption[-num_characters:]
