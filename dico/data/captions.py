"""Checks of one caption: is it text that a model should learn to say?

Plain captions pass one regular expression; only the others are looked at closely.
"""

import html
import re
import unicodedata
from typing import Any

MAX_CHARS = 1_000
_PLAIN = re.compile(
    r"(?=.*[A-Za-z])[A-Za-z0-9,.'\"!?;()%$+\-]+(?: +[A-Za-z0-9,.'\"!?;()%$+\-]+)+ *"
)
_TIDY = re.compile(r"[!-~]+(?: [!-~]+)*")
_LINES = re.compile(r"\S[ \t]*[\r\n]+\s*\S")
_JOINED = re.compile(
    r"^\s*\(?1[.)]\s.+\s\(?2[.)]\s|\|\||&&|#{3}|<sep>|\w\|\w|^\s*(?:[\[{].*[,;].*[\]}]|(?:c|list)\(.*\))\s*$",
    re.IGNORECASE,
)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_DIRECTION = re.compile(r"[\u200e\u200f\u202a-\u202e\u2066-\u2069\u061c]")
_INVISIBLE = re.compile(r"[\u200b\u2060\ufeff\u00ad\U000e0000-\U000e007f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_SPECIAL = re.compile(
    r"<\|[^|>\n]{1,40}\|>|</?s>|<(?:pad|unk|bos|eos|mask|image|start_of_text|end_of_text)>"
    r"|\[(?:PAD|CLS|SEP|UNK|MASK|BOS|EOS|INST)\]|<<SYS>>",
    re.IGNORECASE,
)
_MARKUP = re.compile(  # also Flickr30k Entities' [/EN#1/people A man]
    r"</?[a-z][a-z0-9]*(?:\s[^<>]*)?/?>|\[/EN#\d+", re.IGNORECASE
)
_ADDRESS = re.compile(r"https?://|www\.|\S+@\S+\.[a-z]{2,}", re.IGNORECASE)
_MOJIBAKE = re.compile(r"[\u00c2\u00c3][\u0080-\u00bf]|\u00e2\u20ac|\u00ef\u00bf\u00bd")
_FILE_NAME = re.compile(
    r"^\S*\.(jpe?g|png|gif|webp|tiff?|bmp)$|^(img|dsc[nf]?|pict?)[_ -]?\d+$", re.I
)
_BOILERPLATE = re.compile(
    r"^(image|photo|picture|img|untitled|no (caption|description|alt)( text)?( available)?|alt text"
    r"|n/?a|null|none|nan|todo|tbd|test|undefined|caption|unknown|click (here|to enlarge).*"
    r"|(image|photo|picture) (not (found|available)|unavailable|may contain.*)"
    r"|(an? )?(image|photo|picture) of( (an?|the|it|this|that))?"
    r"|\\n|\(null\)|pd\.na|#(n/a|ref|value|name)[!?]?"
    r"|(i'?m |i am )?(very )?sorry,? (but )?(i|we) (can'?t|cannot|can not|am unable|am not able)\b.*"
    r"|as an ai (language )?model\b.*"
    r"|i (cannot|can'?t|am unable to|am not able to) (see|view|assist|help|describe|identify|access)\b.*"
    r"|(unable|failed) to (load|generate|describe|caption|fetch)\b.*"
    r"|(this|the) (image|photo|picture) (is not|is no longer|isn'?t|could not be|cannot be)"
    r" (available|loaded|displayed|found|shown).*"
    r"|there is no (image|photo|picture)( (attached|provided|available))?"
    r"|(royalty.free )?stock (photo|image|picture|illustration)s?"
    r"|stock (photo|image|picture) (of|[-:|#\d]).*|all rights reserved.*"
    r"|(\(c\)|\u00a9) .{0,40}|copyright( by| \(c\)| \u00a9)? ?((19|20)\d\d\b.{0,40}|(\W*\w+){0,2})"
    r"|c (19|20)\d\d\b(\W+\w+){0,3}"
    r"|(image|photo)? ?description (not available|unavailable)"
    r"|quality issues are too severe to recogni[sz]e (the )?visual content)\W*$",
    re.IGNORECASE,
)
_QUOTED = re.compile(  # from end to end, with no such mark between but apostrophes
    r"""\s*(?:"[^"]+"|'(?:[^']|(?<=\w)'(?=\w))+'|\u201c[^\u201c\u201d]+\u201d"""
    r"""|\u2018[^\u2018]+\u2019|\u00ab[^\u00ab\u00bb]+\u00bb)\s*"""
)
_QUOTES = frozenset("\"'\u201c\u2018\u00ab \t")
_LOOKED_AT = _QUOTES | frozenset("1(")
"""First characters of plain captions that are looked at closely: of quotes and numbered lists."""
_ESCAPED = re.compile(r"\\|^b(['\"]).*\1$", re.DOTALL)
_OF_SENTENCES = frozenset(
    ("a", "an", "the", "and", "or", "with", "is", "are", "of", "in", "on", "to", "by", "for", "from",
     "his", "her", "its", "their", "while", "as")
)  # fmt: skip
_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z]{2,8});", re.IGNORECASE)


def check_caption(caption: Any, max_chars: int = MAX_CHARS) -> list[tuple[str, str]]:
    """Findings of one caption, as pairs of code and detail; empty when it is fine.

    Codes are those of `dico.validation.findings`; which of them set the caption aside is said
    there.
    """
    if not isinstance(caption, str):
        return [("caption_not_text", f"{type(caption).__name__} {caption!r}"[:120])]
    plain = len(caption) <= max_chars and _PLAIN.fullmatch(caption) and "www." not in caption
    is_marked = caption[:1] in _LOOKED_AT or caption[1:2] in ("'", '"')
    if plain and not is_marked and not is_tags(caption):
        return [] if not _is_boilerplate(caption) else [("caption_boilerplate", caption[:120])]
    if not caption.strip():
        return [("caption_empty", "no text")]
    if len(caption) > max_chars:
        return [("caption_too_long", f"{len(caption)} characters: {printable(caption)}")]
    return [(code, printable(caption)) for code in _closely(caption)]


def normalise_caption(caption: str) -> str:
    """A caption without outer space and with single spaces, in Unicode's composed form."""
    if _TIDY.fullmatch(caption):
        return caption
    return unicodedata.normalize("NFC", " ".join(caption.split()))


def is_tags(caption: str) -> bool:
    """Whether a text is tags between commas, as ``1girl, solo, long hair``: no sentence's words."""
    if caption.count(",") < 2:
        return False
    tags = [tag.lower().split() for tag in caption.split(",")]
    return all(len(tag) < 4 and _OF_SENTENCES.isdisjoint(tag) for tag in tags)


def printable(text: str, max_chars: int = 120) -> str:
    """A text that can be shown anywhere: what is not printable becomes an escape."""
    if len(text) <= max_chars and text.isprintable():
        return text
    shown = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text[:max_chars])
    return shown + ("..." if len(text) > max_chars else "")


def _closely(caption: str) -> list[str]:
    codes = []
    if _SURROGATE.search(caption) or "\ufffd" in caption:
        codes.append("caption_encoding")
    if _CONTROL.search(caption):
        codes.append("caption_control")
    if _DIRECTION.search(caption) or _INVISIBLE.search(caption):
        codes.append("caption_invisible")
    if _SPECIAL.search(caption):
        codes.append("caption_special_token")
    elif _MARKUP.search(caption) or any(html.unescape(e) != e for e in _ENTITY.findall(caption)):
        codes.append("caption_markup")
    if _ADDRESS.search(caption):
        codes.append("caption_address")
    if _MOJIBAKE.search(caption):
        codes.append("caption_mojibake")
    if not any(c.isalpha() for c in caption):
        codes.append("caption_no_words")
    elif _is_boilerplate(caption):
        codes.append("caption_boilerplate")
    elif len(caption.split()) < 2 and not _spaceless_script(caption):
        codes.append("caption_too_short")
    if _LINES.search(caption.strip()):
        codes.append("caption_lines")
    if _JOINED.search(caption):
        codes.append("caption_joined")
    if _ESCAPED.search(caption):
        codes.append("caption_escaped")
    if is_tags(caption):
        codes.append("caption_tags")
    if caption[0] in _QUOTES and _QUOTED.fullmatch(caption):
        codes.append("caption_quoted")
    if _foreign(caption):
        codes.append("caption_script")
    return codes


def _is_boilerplate(caption: str) -> bool:
    text = caption.strip()
    return bool(_BOILERPLATE.match(text) or _FILE_NAME.match(text))


def _foreign(caption: str) -> bool:
    """Whether most letters are not of the Latin script."""
    letters = [c for c in caption if c.isalpha()]
    other = sum(1 for c in letters if ord(c) > 0x24F and not 0x1E00 <= ord(c) <= 0x1EFF)
    return other * 2 > len(letters)


def _spaceless_script(caption: str) -> bool:
    return any(0x2E80 <= ord(c) <= 0x9FFF or 0x0E00 <= ord(c) <= 0x0EFF for c in caption)
