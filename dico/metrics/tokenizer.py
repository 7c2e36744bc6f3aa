"""Tokenisation of captions as the COCO evaluation does it.

Stanford's PTBTokenizer (CoreNLP 3.4.1) splits, text is lower-cased, punctuation tokens are dropped.
"""

from collections.abc import Callable, Sequence
from typing import Literal

from dico.errors import ConfigError
from dico.metrics.java_tokenizer import tokenize_with_java
from dico.metrics.ptb import tokenize_with_python

TokenizerName = Literal["python", "java", "none"]


def tokenize(captions: Sequence[str], tokenizer: TokenizerName = "python") -> list[str]:
    """Tokens of each caption, separated by single spaces.

    Args:
        captions: raw text; new-lines count as spaces.
        tokenizer: ``python`` (no Java needed), ``java`` (the original, which pycocoevalcap ships)
            or ``none`` (the text is taken as it is).

    Raises:
        ConfigError: another name.
    """
    kinds: dict[str, Callable[[Sequence[str]], list[str]]] = {
        "python": tokenize_with_python,
        "java": tokenize_with_java,
        "none": list,
    }
    if tokenizer not in kinds:
        raise ConfigError(f"tokenizer: expected one of {', '.join(kinds)}, got {tokenizer!r}")
    return kinds[tokenizer](captions)
