"""Made-up lines tokenised by Java and by us; what differs is cut down and printed.

    python -m tests.metrics.fuzz_ptb --lines 100000 [--seed 1]

One Java process reads all lines. Ends with exit code 1 where a line differs.
"""

import argparse
import random
import sys
from collections.abc import Iterator, Sequence

from dico.metrics.java_tokenizer import tokenize_with_java, tokenizer_missing
from dico.metrics.ptb import LINE_SEPARATORS, tokenize_with_python

WORDS = (  # noqa: SIM905
    "a the dog man's don't can't y'all 'tis o'clock rock'n'roll ma'am U.S. U.K. Mr. St. e.g. etc. "
    "Ph.D. p.m. No. Inc. B. I. C. Jan. vs. Ft. can not cannot gonna Gimme wanna d'you l'eau "
    "well-known a--b x-ray twenty-one 1990s '90s 1,000 3.14 1/2 1-2 10:30 +5 -5 5% $5 £5 €1,000.50 "
    "5'6\" #1 @me me@x.org www.a.com http://a.b/c?d=e x.com/y and/or AT&T R&B C++ C# :) :-( ;) <3 "
    "(a) [b] {c} <b> </i> <br/> &amp; &lt; &quot; &nbsp; \"q\" 'q' ``q'' “q” ‘q’ «q» — – -- --- "
    "... .. . ! ?! ; : , * ** ~ ^ _ __ = + | \\ / // café naïve Zoë straße İstanbul 日本語 한국 עברית "
    "عربي हिन्दी ไทย 😀 👍🏽 ½ x² №5 ™ © a\u0301 \u200b \ufeff \xad \xa0 \t 555-1234 (555) 1/2/99 "
    "thing.jpg A.B.C. a.b 3rd 2nd 1.a a1b2 Wal-Mart's O'Brien I'm she'd've ain't 'em ol' jack-o'-lantern"
).split(" ")
MARKS = "'\"`.,;:!?-_/\\()[]{}<>&@#$%*+=~^|’‘“”—–…·•° \t"
LETTERS = "abcdefgmnostuvxyzABCDEINSTU0123456789éñßæłš"
ANY = [(0x20, 0x7F), (0xA0, 0x250), (0x250, 0x600), (0x600, 0x1000), (0x2000, 0x2C00)]
ANY += [(0x3000, 0x3100), (0xFE00, 0x10000), (0x1F300, 0x1F700)]
_ROUNDS = 30


def lines(number: int, seed: int) -> Iterator[str]:
    """Lines of four kinds: words in odd company, mended words, marks and letters, any characters."""
    rng = random.Random(seed)
    kinds = [_company, _mended, _soup, _anything]
    for _ in range(number):
        text = rng.choices(kinds, (5, 4, 3, 1))[0](rng)
        yield LINE_SEPARATORS.sub(" ", text)


def _company(rng: random.Random) -> str:
    joints = rng.choice([[" "], [" ", " ", ""], [" ", "-", ".", ", ", "'", "/"]])
    words = rng.choices(WORDS, k=rng.randint(1, 8))
    return "".join(word + rng.choice(joints) for word in words).strip(" ")


def _mended(rng: random.Random) -> str:
    text = list(" ".join(rng.choices(WORDS, k=rng.randint(1, 4))))
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(text) + 1)
        change = rng.randrange(3)
        if change < 2:
            text.insert(place, rng.choice(MARKS if change else LETTERS))
        elif place < len(text):
            text[place] = text[place].swapcase() if rng.random() < 0.5 else ""
    return "".join(text)


def _soup(rng: random.Random) -> str:
    signs = rng.choice([MARKS, LETTERS + MARKS, "ab.'-1A "])
    return "".join(rng.choices(signs, k=rng.randint(1, 14)))


def _anything(rng: random.Random) -> str:
    def one() -> str:
        code = rng.randrange(*rng.choice(ANY))
        return chr(code)

    return "".join(rng.choice([one, lambda: rng.choice("ab 1.")])() for _ in range(10))


def differing(texts: Sequence[str]) -> list[tuple[str, str, str]]:
    """Text, Java's tokens and ours, of each that differs; all in one process."""
    pairs = zip(texts, tokenize_with_java(texts), tokenize_with_python(texts), strict=True)
    return [(text, java, ours) for text, java, ours in pairs if java != ours]


def cut_down(text: str) -> str:
    """The shortest text found that still differs, by leaving out characters."""
    for _ in range(_ROUNDS):
        shorter = [text[:k] + text[k + n :] for n in (8, 4, 2, 1) for k in range(len(text) - n + 1)]
        apart = [line for own in shorter for line in (own, "x x")]
        found = [own for own, _, _ in differing(apart)] if apart else []
        if not found:
            break
        text = min(found, key=len)
    return text


def main() -> int:
    """Runs the comparison and prints what differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=20, help="differing lines to cut down")
    options = parser.parse_args()
    if tokenizer_missing():
        print(tokenizer_missing())
        return 2
    found = differing(list(lines(options.lines, options.seed)))
    for text, _, _ in found[: options.show]:
        small = cut_down(text)
        (again, *_) = differing([small, "x x"]) or [(text, "(only in its place)", "")]
        print(*map(ascii, again), sep="\n  ")
    print(f"ptb tokeniser: {options.lines - len(found)} of {options.lines} lines equal to Java's")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
