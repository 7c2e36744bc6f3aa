"""The Stanford PTB tokeniser as the COCO caption evaluation uses it, in Python.

Equal, token for token, to what pycocoevalcap 1.2 gets from Java: split, lower-cased, punctuation
dropped. Captions are one text of many lines, as there: rarely does a caption's last word depend on
the next caption ("section B." before "The ..." loses its point). Unlike there, line separators
inside a caption count as spaces instead of shifting all captions that follow.
"""

import re
from collections.abc import Sequence

from dico.metrics.ptb_rules import BEFORE_NUMBERS, rules

PUNCTUATION = frozenset(
    "'' ' `` ` -LRB- -RRB- -LCB- -RCB- . ? ! , : - -- ... ;".split(" ")  # noqa: SIM905
)
LINE_SEPARATORS = re.compile("[\n\r\x0b\x0c\u2028\u2029]")
_SUPPLEMENTARY = re.compile("[\U00010000-\U0010ffff]")
# words that what follows the space cannot change: no digits, no tags, no open end
_DEPENDS = re.compile(
    rf"[0-9<]|(?<![A-Za-z])(?:[A-Za-z]|{'|'.join(BEFORE_NUMBERS.split())})\.$", re.IGNORECASE
)
_LOOK_AHEAD = 40
_MAX_KNOWN_WORDS = 200_000


def tokenize_with_python(captions: Sequence[str]) -> list[str]:
    """Tokens of each caption, separated by single spaces."""
    result = []
    known = _known.__getitem__
    last = len(captions) - 1
    for number, caption in enumerate(captions):
        try:
            if number == last or not (caption.isascii() and caption.isprintable()):
                raise _Depends
            result.append(" ".join(filter(None, map(known, caption.split()))))
        except _Depends:
            result.append(_tokenize_in_place(captions, number))
    return result


class _Depends(Exception):
    """A word's tokens depend on what stands beside it."""


class _KnownWords(dict[str, str]):
    """Tokens of words that do not depend on their neighbours."""

    def __missing__(self, word: str) -> str:
        if _DEPENDS.search(word):
            raise _Depends
        if len(self) >= _MAX_KNOWN_WORDS:
            self.clear()
        tokens = self[word] = _join(split_text(word + " ", len(word)))
        return tokens


_known = _KnownWords()


def forget_words() -> None:
    """Forgets the tokens of words met before; for measurements."""
    _known.clear()


def _tokenize_in_place(captions: Sequence[str], number: int) -> str:
    """Tokens of one caption, looking at the captions after it."""
    text = LINE_SEPARATORS.sub(" ", captions[number])
    end = len(text)
    for following in captions[number + 1 :]:
        text += "\n" + LINE_SEPARATORS.sub(" ", following)
        if len(text) > end + _LOOK_AHEAD:
            break
    return _join(split_text(text, end))


def split_text(text: str, end: int) -> list[str]:
    """The tokens that begin before ``end``, punctuation included; the rest is only looked at."""
    if not text.isascii() and _SUPPLEMENTARY.search(text):
        end += len(_SUPPLEMENTARY.findall(text[:end]))
        text = _SUPPLEMENTARY.sub(_as_surrogates, text)
    own = rules(text.isascii())
    tokens, place = [], 0
    while place < end:
        longest, token_end, spell = 0, place + 1, None
        for rule in own:
            match = rule.pattern.match(text, place)
            if match and match.end() - place > longest and match.end(1) > place:
                longest, token_end, spell = match.end() - place, match.end(1), rule.spell
        if spell is not None:
            token = spell(text[place:token_end])
            if token:
                tokens.append(token.lower())
        place = token_end
    return tokens


def _join(tokens: Sequence[str]) -> str:
    text = " ".join(tokens).rstrip()
    if not text.isascii():
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return without_punctuation(text.split(" "))


def without_punctuation(tokens: Sequence[str]) -> str:
    """The tokens that count, separated by single spaces."""
    return " ".join(token for token in tokens if token not in PUNCTUATION)


def _as_surrogates(match: re.Match[str]) -> str:
    code = ord(match.group()) - 0x10000
    return chr(0xD800 + (code >> 10)) + chr(0xDC00 + (code & 0x3FF))
