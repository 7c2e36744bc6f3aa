"""The verdict: fit, weak or unfit, with a sentence for each reason.

*Unfit* is who does not see: the human captions do not find their images beyond chance, or edits
that make them false are told no better with the image than without, or a caption that fits all
images is preferred to people's. *Fit* is who is shown to tell every kind of edit, and is not shown
to pay for a hack or for wording. The rest is *weak*.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from dico.audit.config import CHANCE, AuditConfig
from dico.audit.measure import Ranking, Rate

GENERIC = "generic caption"
Word = Literal["fit", "weak", "unfit"]
WORDS: tuple[Word, ...] = ("fit", "weak", "unfit")


class Kind(NamedTuple):
    """How one kind of false edit is told.

    Attributes:
        accuracy: how often the true caption scores higher than the edited one.
        seen: how often it is preferred more under its image than under others; chance is .5, also
            for an evaluator that tells edited captions by their language.
        blind: how often it scores higher under other images.
        told: whether accuracy is shown to reach the threshold, and seen to be above chance.
    """

    accuracy: Rate
    seen: Rate
    blind: Rate
    told: bool


class Verdict(NamedTuple):
    """fit, weak or unfit, and the reasons, the deciding ones first."""

    word: Word
    reasons: list[str]


def judge_numbers(
    ranking: Ranking,
    seen: Rate,
    kinds: Mapping[str, Kind],
    harmless: Mapping[str, Rate],  # noqa: ARG001
    harmless_cost: Rate | None,
    hacks: Mapping[str, Rate],
    config: AuditConfig,
) -> Verdict:
    """Decides by the numbers of an audit; ``seen`` is over all kinds of false edits."""
    blind = _blindness(ranking, seen, hacks)
    weak = [
        f"{name}: prefers the true caption in {kind.accuracy}, {config.min_accuracy:g} must be shown"
        if kind.accuracy.low < config.min_accuracy
        else f"{name}: told by language, no better with the image than without: {kind.seen}"
        for name, kind in kinds.items()
        if not kind.told
    ]
    if ranking.outranked.low < config.min_ranking:
        weak.append(
            f"human captions outrank {ranking.outranked} of other images, "
            f"{config.min_ranking:g} must be shown"
        )
    weak += [f"pays for {name}: people preferred {rate}" for name, rate in hacks.items()
             if rate.high < CHANCE and name != GENERIC]  # fmt: skip
    if harmless_cost is not None and harmless_cost.low > config.max_harmless_cost:
        weak.append(
            f"an edit that leaves a caption true costs {harmless_cost} of a false one, "
            f"at most {config.max_harmless_cost:g} may be"
        )
    word: Word = "unfit" if blind else "weak" if weak else "fit"
    return Verdict(word, blind + weak)


def _blindness(ranking: Ranking, seen: Rate, hacks: Mapping[str, Rate]) -> list[str]:
    reasons = []
    if ranking.outranked.low <= CHANCE:
        reasons.append(
            f"human captions find their image no better than chance: {ranking.outranked}"
        )
    if seen.low <= CHANCE:
        reasons.append(f"false captions are told no better with the image than without: {seen}")
    generic = hacks.get(GENERIC)
    if generic is not None and generic.high < CHANCE:
        reasons.append(f"a caption that fits all images is preferred to people's: {generic}")
    return reasons
