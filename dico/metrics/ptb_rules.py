r"""The tokens of the Stanford PTB tokeniser (CoreNLP 3.4.1) as regular expressions.

Written from what the program does, not from its source: each rule was found by asking it and holds
on a large made-up corpus. At each place the longest match wins, what follows it (`then`) included;
of equal ones the first in `RULES`. In the text a supplementary character is two surrogates.
"""

import re
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from dico.metrics.ptb_characters import DIGITS, LETTERS, MARKS, SYMBOLS, as_class

Spell = Callable[[str], str]


class Rule(NamedTuple):
    """One kind of token.

    Attributes:
        pattern: the token in group 1, and what must follow it.
        spell: how the token is written, before lower-casing.
    """

    pattern: re.Pattern[str]
    spell: Spell


_OPENING = dict.fromkeys("\x91\u2018\u201b\u2039", "`") | dict.fromkeys("\x93\xab\u201c", "``")
_CLOSING = dict.fromkeys("\x92\u2019\u203a", "'") | dict.fromkeys("\x94\xbb\u201d", "''")
_QUOTES = str.maketrans(_OPENING | _CLOSING)
_BRACKETS = {
    "(": "-LRB-",
    ")": "-RRB-",
    "[": "-LSB-",
    "]": "-RSB-",
    "{": "-LCB-",
    "}": "-RCB-",
    "&lt;": "<",
    "&gt;": ">",
}
_FRACTIONS = {"\xbc": "1/4", "\xbd": "1/2", "\xbe": "3/4", "\u2153": "1/3", "\u2154": "2/3"}
_CURRENCIES = {"\xa2": "cents", "\xa3": "#"} | dict.fromkeys("\x80\xa4\u20a0\u20ac", "$")


def _as_it_is(token: str) -> str:
    return token


def _plain(token: str) -> str:
    """Without soft hyphens, the ampersand's entity resolved."""
    return re.sub("&amp;", "&", token.replace("\xad", ""), flags=re.IGNORECASE) or "-"


def _contracted(token: str) -> str:
    """As `_plain`, apostrophes straight."""
    return _plain(re.sub("[\x92\u2019]|&apos;", "'", token))


def _negated(token: str) -> str:
    return re.sub("[\x91\u2018\u201b]", "`", _contracted(token))


def _ampersand(token: str) -> str:
    return re.sub("&amp;", "&", token, flags=re.IGNORECASE)


def _unbroken(token: str) -> str:
    return token.replace(" ", "\xa0")


def _with_brackets(token: str) -> str:
    return token.replace("(", "-LRB-").replace(")", "-RRB-")


def _quote(token: str) -> str:
    return token.replace("&apos;", "'").translate(_QUOTES)


def _is(text: str) -> Spell:
    return lambda _: text


def _any_of(words: str) -> str:
    """One of the words, longest first; their case does not matter."""
    return f"(?i:{'|'.join(sorted(words.split(), key=len, reverse=True))})"


def _any_capitalised(words: str) -> str:
    """One of the words with a capital; the case of the rest does not matter."""
    return "|".join(f"{w[0]}(?i:{w[1:]})" for w in sorted(words.split(), key=len, reverse=True))


_LETTER, _DIGIT, _EITHER = (
    f"[{as_class(ranges)}]" for ranges in (LETTERS, DIGITS, f"{LETTERS} {DIGITS}")
)
_ACCENTED = "&[aeiouAEIOU](?i:acute|grave|uml);"
_FIRST = f"(?:[{as_class(f'{LETTERS} {MARKS}')}\xad]|{_ACCENTED})"
_NEXT = f"(?:[{as_class(f'{LETTERS} {MARKS} {DIGITS}')}\xad]|{_ACCENTED})"
_WORD = f"{_FIRST}{_NEXT}*(?:[.!?]{_FIRST}{_NEXT}*)*"
_APOSTROPHE = "(?:['\x92\u2019]|(?i:&apos;))"
_ANY_APOSTROPHE = "(?:['\x92\u2019`\x91\u2018\u201b]|(?i:&apos;))"
_HYPHEN = "[-_\u058a\u2010\u2011]"
_SPACE = "[ \t\xa0\u2000-\u200a\u3000]"
_SPACE_OR_LINE = "[ \t\n\xa0\u2000-\u200a\u3000]"
_NUMBER = f"(?:{_DIGIT}+(?:[.:,\xad\u066b\u066c]{_DIGIT}+)*|(?:[.:,\xad\u066b\u066c]{_DIGIT}+)+)"
_ACRONYM = (
    r"(?:[A-Za-z](?:\.[A-Za-z])+|(?i:(?:Canada|Sino|Korean|EU|Japan|non)-U\.S)"
    r"|(?i:U\.S\.-(?:U\.K|U\.S\.S\.R)))"
)
_CONTRACTION = f"{_APOSTROPHE}(?:[msdMSD]|(?i:re|ve|ll))"
_COMPOUND_PART = f"(?:[dDoOlL]{_ANY_APOSTROPHE}{_EITHER}{_EITHER}+|{_EITHER}+)"
_COMPOUND = f"{_COMPOUND_PART}(?:{_HYPHEN}{_COMPOUND_PART})*"
_HYPHENED = rf"[A-Za-z0-9][A-Za-z0-9.,\xad]*(?:-(?:{_ACRONYM}\.|[A-Za-z0-9\xad]+))+"
_INITIALS = "[A-Z]+(?:(?:(?i:&amp;)|[+&])[A-Z]+)+"
_TAG_NAME = "[A-Za-z][A-Za-z0-9:._-]*"
_TAG_VALUE = r"""(?:'[^'\n]*'|"[^"\n]*")"""
_ATTRIBUTE = rf" +{_TAG_NAME}(?: *= *{_TAG_VALUE})?"
_TAG = rf"(?:<[!?][A-Za-z-][^>\n]*>|</{_TAG_NAME} *>|<{_TAG_NAME}(?:{_ATTRIBUTE})* */? *>)"
_URL = r"""[^ \t\n\f\r"<>|(){}]"""
_URL_END = r"""[^ \t\n\f\r"<>|.!?(){},-]"""
_PATH = rf"""(?:/[^ \t\n\f\r"<>|()]+{_URL_END})?"""
_DOMAIN = r"""[^ \t\n\f\r"<>|(){}.\xa0]"""

_CLOSED_ABBREVIATIONS = (
    "al ala apr ariz assn aug bancorp bhd bldg blvd bros calif co colo conn corp cos ct dak dec "
    "esq est etc ext feb fla fri ga inc ind intl jan jr jul jun kan kans ky ltd mar md mich minn "
    "mo mon mont neb nev nov oct okla penn plc rd rt sep sept seq sq sr sys tel tenn thu thurs tue "
    r"tues univ va vt wed wis wisc wyo ed\.d ph\.d"
)
_STATES = "Ark Az Del Ill La Mass Miss Ore Pa Tex Wash"
_OPEN_ABBREVIATIONS = (
    "adj adm adv alex assoc asst atty attys ave brig capt cf cie cmdr col comdr cpl dept det dr "
    "drs elec ens ft gen gov govs hon insp invt jos lieut lt maj messrs mlle mme mr mrs ms msgr mt "
    "natl pfc ph pres prof profs pvt rep reps rev sen sens sfc sgt spc st ste supt supts vs wm"
)
BEFORE_NUMBERS = "art ca fig figs no nos op pp prop"
_COMPANY = "[Pp]p?t(?:e|y|es|ys)"
_CLOSED = rf"(?:{_any_of(_CLOSED_ABBREVIATIONS)}|{_any_capitalised(_STATES)}|{_COMPANY})\."
_STARTERS = (
    "A About According Additionally After An As At But Earlier He Her Here However If In It Last "
    r"Many More Mr\. Ms\. Now Once One Other Our She Since So Some Such That The Their Then There "
    "These They This We What When While Yet You"
)
_EXTENSIONS = (
    "c h x gz pl ps py bat bmp cgi cpp dll doc exe gif htm jar jpg mov mp3 pdf php png ppt sql tar "
    "txt wav xml zip docx html java jpeg"
)
_APOSTROPHE_WORDS = "nor'easter c'mon e'er s'mores ev'ry li'l nat'l"
_CLITICS = (
    f"{_APOSTROPHE}[nN]{_APOSTROPHE}?",
    f"[lLdDjJ]{_APOSTROPHE}",
    f"(?i:dunkin|somethin|ol){_APOSTROPHE}",
    f"{_APOSTROPHE}(?i:em|cause)",
    f"{_APOSTROPHE}(?i:till?)",
    f"{_APOSTROPHE}[2-9]0[sS]",
    f"[A-HJ-XZn]{_ANY_APOSTROPHE}{_LETTER}{{2,}}",
    f"{_LETTER}+[aeiouyAEIOUY]{_ANY_APOSTROPHE}[aeiouA-Z]{_LETTER}*",
    f"[oO]{_ANY_APOSTROPHE}[oO]",
    rf"(?i:cont{_APOSTROPHE}d\.?)",
    *(f"(?i:{word.replace(chr(39), _APOSTROPHE)})" for word in _APOSTROPHE_WORDS.split()),
)
_FIXED = (
    "(?i:-(?:RRB|LRB|RCB|LCB|RSB|LSB)-|pro-|anti-)",
    rf"(?i:C\.D\.s|S(?:&|&amp;)P-500|S(?:&|&amp;)Ls|cap{_APOSTROPHE}n|c{_APOSTROPHE}est)",
)
_PHONE = (
    r"(?:\([0-9]{2,3}\)[ \xa0]?|(?:\+\+?)?(?:[0-9]{2,4}[- \xa0])?[0-9]{2,4}[- \xa0])"
    r"[0-9]{3,4}[- \xa0]?[0-9]{3,5}|(?:(?:\+\+?)?[0-9]{2,4}\.)?[0-9]{2,4}\.[0-9]{3,4}\.[0-9]{3,5}"
)
_EMAIL = (
    rf"""(?:(?i:&lt;)|<)?[a-zA-Z0-9][^ \t\n\f\r"<>|()\xa0{{}}]*@(?:{_DOMAIN}+\.)*{_DOMAIN}+>?"""
)
_FACE = r"[\^x=~<>']-[\^x=~<>'`]|[-\^x=~<>'][_.]?[-\^x=~<>']"
_SPLIT_WORDS = ("can not", "gon na", "got ta", "lem me", "gim me", "wan na", "'t is", "'t was")

_TABLE: tuple[tuple[str, str, Spell], ...] = (
    *((f"(?i:{a})", f"(?i:{b})", _as_it_is) for a, b in map(str.split, _SPLIT_WORDS)),
    (_TAG, "", _unbroken),
    ("(?i:&(?:md|mdash|ndash);)|[\x96\x97\u2013-\u2015]", "", _is("--")),
    ("(?i:&amp;)", "", _is("&")),
    ("(?i:&(?:ht|tl|ur|lr|qc|ql|qr|odq|cdq|#[0-9]+);)", "", _as_it_is),
    (_WORD, _CONTRACTION, _contracted),
    ("[A-Za-z\xad]*[A-MO-Za-mo-z]\xad*", f"[nN]{_ANY_APOSTROPHE}[tT]", _contracted),
    (_WORD, "", _contracted),
    *((pattern, "", _plain) for pattern in _CLITICS),
    (f"[yY]{_APOSTROPHE}", _LETTER, _plain),
    (f"(?i:https?)://{_URL}+{_URL_END}", "", _as_it_is),
    (r"""(?i:www\.)(?:[^ \t\n\f\r"<>|.!?(){},]+\.)+[a-zA-Z]{2,4}""" + _PATH, "", _as_it_is),
    (r"""(?:[^ \t\n\f\r"`'<>|.!?(){},-_$]+\.)+(?i:com|net|org|edu)""" + _PATH, "", _as_it_is),
    (_EMAIL, "", _as_it_is),
    (r"(?i:[cf]#|c\+\+)", "", _as_it_is),
    ("@[a-zA-Z_][a-zA-Z_0-9]*", "", _as_it_is),
    (f"#{_FIRST}+", "", _as_it_is),
    (_CONTRACTION, "[^A-Za-z]", _contracted),
    (f"{_DIGIT}{{1,2}}[-/]{_DIGIT}{{1,2}}[-/]{_DIGIT}{{2,4}}", "", _as_it_is),
    (f"[-+]?{_NUMBER}", "", _plain),
    (
        "[\u207a\u207b\u208a\u208b]?(?:[\u2070\xb9\xb2\xb3\u2074-\u2079]+|[\u2080-\u2089]+)",
        "",
        _plain,
    ),
    (f"(?:{_DIGIT}{{1,4}}[- \xa0])?{_DIGIT}{{1,4}}(?:\\\\?/|\u2044){_DIGIT}{{1,4}}", "", _unbroken),
    ("[\xbc-\xbe\u2153-\u215e]", "", lambda token: _FRACTIONS.get(token, token)),
    *((pattern, "", _ampersand) for pattern in _FIXED),
    (f"{_APOSTROPHE}[0-9][0-9]", _SPACE_OR_LINE, _as_it_is),
    (
        r"[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}(?:\\?/[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}){1,2}",
        "",
        _as_it_is,
    ),
    (r"[A-Z]*\$|#", "", _as_it_is),
    (
        "[\xa2\xa3\xa4\xa5\x80\u20a0\u20ac\u060b\u0e3f\u20a4\uffe0\uffe1\uffe5\uffe6]",
        "",
        lambda token: _CURRENCIES.get(token, token),
    ),
    (_CLOSED, "", _plain),
    (rf"{_any_of(_OPEN_ABBREVIATIONS)}\.|[Mm][ft]g\.", "", _plain),
    (_CLOSED, r"[\s\S]{2}", _plain),
    (
        "[A-Za-z]",
        rf"\.{_SPACE_OR_LINE}+(?:{_any_capitalised(_STARTERS)}|{_TAG}){_SPACE_OR_LINE}",
        _plain,
    ),
    (rf"{_any_of(BEFORE_NUMBERS)}\.", f"{_SPACE_OR_LINE}?{_DIGIT}", _plain),
    (r"[A-Za-z]\.", "", _plain),
    (rf"{_ACRONYM}\.", "", _plain),
    (_ACRONYM, "", _plain),
    (rf"{_NEXT}+(?:\.{_NEXT}+)*\.{_any_of(_EXTENSIONS)}", f"{_SPACE_OR_LINE}|[.?!,]", _as_it_is),
    (rf"(?:{_HYPHENED}|{_WORD}|{_COMPOUND}|{_INITIALS})\.", "[,;:\u3001]", _contracted),
    (_PHONE, "", lambda token: _with_brackets(_unbroken(token))),
    ('"|&quot;', "[A-Za-z0-9$]", _is("``")),
    ('"|&quot;', "", _is("''")),
    ("(?i:&quot;)", "", _as_it_is),
    ("<<|>>", "", _as_it_is),
    (r"(?i:&lt;|&gt;)|[\[\]<>(){}]", "", lambda token: _BRACKETS.get(token.lower(), token)),
    ("-+", "", lambda token: "--" if 3 <= len(token) <= 4 else token),
    (r"\.{3,5}|(?:\.[ \xa0]){2,4}\.|[\x85\u2026]", "", _is("...")),
    (r"@+|#+|_+|\*+|(?:\\\*){1,3}|[?!]+", "", _as_it_is),
    (r"[<>]?[:;=][-o*']?[()DPdpO\\{@|\[\]]", "[^A-Za-z0-9]", _with_brackets),
    (rf"[-\^x=~<>']_[-\^x=~<>']|\((?:{_FACE})\)", "", _with_brackets),
    (_COMPOUND, "", _plain),
    (_INITIALS, "", _plain),
    (_HYPHENED, "", _plain),
    ("'", "[A-Za-z][^ \t\n\r\xa0]", _is("`")),
    (_CONTRACTION, "", _contracted),
    (f"[nN]{_ANY_APOSTROPHE}[tT]", "", _negated),
    ("''?|(?i:&apos;)", "", _quote),
    ("[`\u2018\u2019\u201a-\u201f\x91-\x94\u2039\u203a\xab\xbb]{1,2}", "", _quote),
    ("(?:[ \t\n\xa0\u2000-\u200a\u3000]|(?i:&nbsp;))+", "", _is("")),
    (f"[{as_class(SYMBOLS)}]", "", _as_it_is),
)


_ASCII = ((LETTERS, "A-Za-z"), (MARKS, ""), (DIGITS, "0-9"), (SYMBOLS, r"!-/:-@\[-`{-~"))


@cache
def rules(only_ascii: bool = False) -> tuple[Rule, ...]:
    """All rules, compiled at the first call; a token spelt as no text is white space.

    Args:
        only_ascii: for texts of ASCII alone, where they match the same and compile in a seventh of the time.
    """
    shorter = [(as_class(ranges), own) for ranges, own in _ASCII] if only_ascii else []
    made = []
    for token, then, spell in _TABLE:
        pattern = f"({token})(?:{then})" if then else f"({token})"
        for long, short in shorter:
            pattern = pattern.replace(long, short)
        made.append(Rule(re.compile(pattern, re.ASCII if only_ascii else re.UNICODE), spell))
    return tuple(made)
