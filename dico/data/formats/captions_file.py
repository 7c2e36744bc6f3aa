"""A captions file beside a folder of pictures: ``picture.jpg<TAB>caption`` (or comma, or ``|``).

The forms of Flickr8k and Flickr30k are read: ``name.jpg#0<TAB>caption``, ``name.jpg,caption`` and
``name.jpg| 0| caption``.
"""

import re
from collections.abc import Iterator

from dico.data.formats.rows import Row
from dico.data.formats.texts import open_text

_LINE = re.compile(
    r"^(?P<image>[^\t|]*?\.(?:jpe?g|png|webp|gif|bmp|tiff?|avif))(?:#\d+)?\s*"
    r"(?:\t|\|\s*\d+\s*\||\||,)\s*(?P<caption>.*)$",
    re.IGNORECASE,
)
_HEADER = re.compile(r"^(image|file_?name|image_name)\s*[,\t|]", re.IGNORECASE)


def read(path: str) -> Iterator[Row]:
    """Rows of a captions file, one caption each."""
    with open_text(path) as file:
        for number, line in enumerate(file, 1):
            text, where = line.rstrip("\r\n"), f"{path}:{number}"
            if not text.strip() or (number == 1 and _HEADER.match(text)):
                continue
            match = _LINE.match(text)
            if match is None:
                detail = f"not picture<TAB>caption: {text[:100]!r}"
                yield where, None, [("row_malformed", detail)]
            else:
                yield where, {"image": match["image"].strip(), "caption": match["caption"]}, []
