"""Words and the punctuation that a tokenizer took off them, put together again.

Tokenizers that split text at punctuation and keep no spaces (WordPiece as of BERT, CLIP's) decode
"a man's hat" to "a man ' s hat", which a metric's tokenizer reads as other words.
"""

import re

_INSIDE = re.compile(r"(?<=\w) ?(['’/-]) ?(?=\w)")
_DIGITS = re.compile(r"(?<=\d) (?=\d)")
_AFTER = re.compile(r" ([.,!?;:%)\]])")
_BEFORE = re.compile(r"([(\[$#]) ")


def joined(text: str, digits: bool = False) -> str:
    """``text`` without the spaces that splitting at punctuation left.

    Args:
        text: of a tokenizer that splits.
        digits: whether it splits numbers too, as CLIP's.
    """
    if digits:
        text = _DIGITS.sub("", text)
    return _BEFORE.sub(r"\1", _AFTER.sub(r"\1", _INSIDE.sub(r"\1", text)))
