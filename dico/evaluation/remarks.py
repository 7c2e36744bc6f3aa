"""Says what captions hold that is no caption: nothing, control tokens, markup, a placeholder.

They are scored as they are, as the published scorers do; but nobody should have to guess why a score
is low.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from dico.data.captions import check_caption
from dico.metrics.scores import name_some

_WHAT = {
    "caption_empty": "empty",
    "caption_special_token": "with control tokens as text",
    "caption_markup": "with markup",
    "caption_boilerplate": "placeholders or stock phrases",
    "caption_control": "with control characters",
    "caption_encoding": "in a wrong encoding",
    "caption_mojibake": "in a wrong encoding",
    "caption_lines": "of several lines",
    "caption_escaped": "with escapes as text",
    "caption_joined": "with separators, as of several captions in one",
}
"""What is said of captions, by the codes of `dico.data.captions.check_caption`."""


def remarks(
    systems: Mapping[str, Mapping[str, str]], references: Mapping[str, Sequence[str]]
) -> list[str]:
    """A note for each system, and for the references, on each kind of such captions, and on copies."""
    notes = []
    for name, captions in systems.items():
        notes += _of(name, captions.items())
        if len(captions) > 1 and all(captions[i] in references.get(i, ()) for i in captions):
            what = "every caption is a reference of its image, word for word"
            notes.append(f"{name}: {what}; is it the file of the references?")
    pairs = ((i, caption) for i, captions in references.items() for caption in captions)
    return [*notes, *_of("references", pairs)]


def _of(name: str, captions: Iterable[tuple[str, str]]) -> list[str]:
    found: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    num = 0
    for image_id, caption in captions:
        num += 1
        for what in {_WHAT[code] for code, _ in check_caption(caption) if code in _WHAT}:
            found[what][image_id] += 1
    return [
        f"{name}: {sum(ids.values())} of {num} captions {what}, scored as they are "
        f"({name_some(list(ids))})"
        for what, ids in found.items()
    ]
