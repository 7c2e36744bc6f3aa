"""Parser of the facts a caption states: objects with attributes, relations, backgrounds.

No parser: a noun phrase is the attributes before an object's name ("a large red circle"), or after
it with "is". A relation links the object before its phrase to the one behind it. A background is
named with no object after it ("on a grey background"). Words that the vocabulary does not have end
a noun phrase; what describes an unknown noun states nothing. "Two dogs", "2 dogs" and "a couple of
dogs" are two; "dogs" and "many dogs" say no number. "No", "not", "without", "neither ... nor" deny
the object, the attributes or the relation that follow.
"""

import re
from dataclasses import dataclass, field

from dico.facts.vocabulary import BACKGROUND, OBJECT, RELATION, Term, Vocabulary

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_COPULAS = frozenset(["is", "are", "was", "were"])
_BEFORE_BACKGROUNDS = frozenset(["on", "against", "before", "in"])
_LINKS = frozenset(["and", "or", "with", "beside", "by", "near", "while"])
_ARTICLES = frozenset(["a", "an", "the"])
_DENIALS = frozenset(
    "no not without neither nor zero 0 isn't aren't isn’t aren’t".split()  # noqa: SIM905
)
_FUNCTION_WORDS = (
    _LINKS | _COPULAS | _BEFORE_BACKGROUNDS | _ARTICLES | _DENIALS | frozenset(["of", "to"])
)
_AFTER_DENIALS = _ARTICLES | _BEFORE_BACKGROUNDS | frozenset(["any", "of"])
_MOST = 12
_NUMBERS = {
    word: n
    for n, word in enumerate(
        "one two three four five six seven eight nine ten eleven twelve".split(),  # noqa: SIM905
        1,
    )
} | {"couple": 2}


@dataclass(slots=True)
class Mention:
    """One object that a caption names."""

    name: str
    """Its name among the facts."""

    attributes: list[Term] = field(default_factory=list)
    """What it is said to be like, each thing once."""

    words: tuple[int, int] = (0, 0)
    """Places of its noun phrase among the caption's words: first, last + 1."""


@dataclass(slots=True)
class Reading:
    """All that a caption states."""

    mentions: list[Mention] = field(default_factory=list)
    """Objects, in the caption's order; "two dogs" are two."""

    relations: list[tuple[int, str, int]] = field(default_factory=list)
    """(place of the first among the mentions, relation, place of the second)."""

    backgrounds: list[str] = field(default_factory=list)
    """Names of backgrounds, or of what is said in their place."""

    loose: list[Term] = field(default_factory=list)
    """Attributes of nothing that is named."""

    denied: list[Mention] = field(default_factory=list)
    """Objects that are said not to be there."""

    terms: list[tuple[int, int, Term]] = field(default_factory=list)
    """Every word that states something: first, last + 1, its sense."""


def caption_words(caption: str) -> list[str]:
    """Words of a caption, lower-cased, without punctuation."""
    return _WORD.findall(caption.lower())


def read_caption(caption: str, vocabulary: Vocabulary) -> Reading:
    """Reads one caption."""
    return _Reader(caption_words(caption), vocabulary).read()


class _Reader:
    """One pass over the words, from left to right."""

    def __init__(self, words: list[str], vocabulary: Vocabulary) -> None:
        self._words, self._vocabulary = words, vocabulary
        self._reading = Reading()
        self._pending: list[tuple[int, int, tuple[Term, ...]]] = []
        self._last = ""
        self._number = 1
        self._relation: tuple[int, str] | None = None
        self._before_background = self._after_copula = False
        self._denies = self._denied_last = False

    def read(self) -> Reading:
        place = 0
        while place < len(self._words):
            end, senses = self._match(place)
            self._last = self._words[place - 1] if place else ""
            if not senses:
                self._word(self._words[place])
            elif any(term.kind == OBJECT for term in senses):
                self._object(place, end, senses)
            elif senses[0].kind == RELATION:
                self._relate(place, end, senses[0])
            else:
                self._pending.append((place, end, senses))
            place = end
        self._settle("")
        return self._reading

    def _match(self, place: int) -> tuple[int, tuple[Term, ...]]:
        """The longest phrase that begins here, as its end and senses; a plural counts."""
        phrases = self._vocabulary.phrases
        for length in range(min(self._vocabulary.longest_phrase, len(self._words) - place), 0, -1):
            words = tuple(self._words[place : place + length])
            for form in (words, *((*words[:-1], last) for last in _singulars(words[-1]))):
                if form in phrases:
                    return place + length, phrases[form]
        return place + 1, ()

    def _word(self, word: str) -> None:
        if word in _DENIALS or (word == "or" and self._denied_last):
            self._settle(word)
            self._denies = True
            return
        if (number := self._count(word)) is not None:
            self._number = number
            return
        if word == "of" and self._number > 1 and not self._pending:
            return  # "a couple of"
        if word == "and" and self._pending:
            return  # "red and white": one noun phrase, unless an article follows
        self._settle(word)
        self._after_copula = word in _COPULAS
        if word in _BEFORE_BACKGROUNDS:
            self._before_background = True
        if word in _LINKS or word in _BEFORE_BACKGROUNDS:
            self._relation = None
        self._denies &= word in _AFTER_DENIALS
        if word not in _ARTICLES:
            self._number = 1
            self._before_background = word in _BEFORE_BACKGROUNDS

    def _count(self, word: str) -> int | None:
        """The number that a word says, a large one as a dozen; None where it says none."""
        if word.isascii() and word.isdecimal() and self._last not in ("a", "an"):
            return min(int(word[:4]), _MOST)
        return _NUMBERS.get(word)

    def _object(self, place: int, end: int, senses: tuple[Term, ...]) -> None:
        name = next(term.value for term in senses if term.kind == OBJECT)
        attributes = []
        for first, last, own in self._pending:
            term = next((t for t in own if t.kind != BACKGROUND), own[0])
            self._reading.terms.append((first, last, term))
            if term not in attributes:
                attributes.append(term)
        start = self._pending[0][0] if self._pending else place
        self._reading.terms.append((place, end, Term(OBJECT, name)))
        if self._denies:
            self._reading.denied.append(Mention(name, attributes, (start, end)))
            self._forget()
            self._denied_last = True
            return
        mentions = self._reading.mentions
        if self._relation is not None:
            self._reading.relations.append((*self._relation, len(mentions)))
        mentions += [Mention(name, list(attributes), (start, end)) for _ in range(self._number)]
        self._forget()

    def _relate(self, place: int, end: int, term: Term) -> None:
        self._settle("")
        self._reading.terms.append((place, end, term))
        mentions = self._reading.mentions
        stated = mentions and not self._denies
        self._relation = (len(mentions) - 1, term.value) if stated else None
        self._denies = False

    def _settle(self, next_word: str) -> None:
        """What was said of no object: after "is" of the last one, else of the background."""
        unknown_noun = next_word and next_word not in _FUNCTION_WORDS
        of_background = self._before_background or next_word in self._vocabulary.background_words
        for first, last, senses in () if self._denies else self._pending:
            grounds = [term for term in senses if term.kind == BACKGROUND]
            term = next((t for t in senses if t.kind != BACKGROUND), senses[0])
            if self._after_copula and self._reading.mentions and term.kind != BACKGROUND:
                own = self._reading.mentions[-1].attributes
                own += [term] if term not in own else []
            elif grounds or of_background:
                term = grounds[0] if grounds else Term(BACKGROUND, senses[0].value)
                if term.value not in self._reading.backgrounds:
                    self._reading.backgrounds.append(term.value)
            elif unknown_noun:
                continue
            else:
                self._reading.loose.append(term)
            self._reading.terms.append((first, last, term))
        if self._pending:
            self._forget()

    def _forget(self) -> None:
        self._pending.clear()
        self._number, self._relation = 1, None
        self._before_background = self._after_copula = False
        self._denies = self._denied_last = False


def _singulars(word: str) -> list[str]:
    """What an English plural may be of."""
    if word.endswith("ies"):
        return [word[:-3] + "y", word[:-1]]
    if word.endswith("es"):
        return [word[:-1], word[:-2]]
    return [word[:-1]] if word.endswith("s") and not word.endswith("ss") else []
