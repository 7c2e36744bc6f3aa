"""Human preference for a candidate's captions, which the gate may require beside its scores.

Only judgements of the very captions that are decided on count, so a file of an earlier model says
nothing about this one.
"""

from collections.abc import Iterable, Mapping

from dico.people.judgements import Judgement, win_rates

Captions = Mapping[str, Mapping[str, str]]
"""Captions by system and image."""


def not_preferred(
    judgements: Iterable[Judgement],
    captions: Captions,
    candidate: str,
    other: str,
    min_win_rate: float,
) -> str:
    """Why people's judgements speak against ``candidate``; empty where they speak for it.

    Args:
        judgements: of people who saw captions of both side by side.
        captions: those that are decided on.
        candidate: the system that asks.
        other: the system that it must win against.
        min_win_rate: what the lower end of the win rate's interval must reach, 0 to 1.
    """
    own = [judgement for judgement in judgements if _is_of(judgement, captions, candidate, other)]
    rates = [rate for rate in win_rates(own) if {rate.first, rate.second} == {candidate, other}]
    if not rates:
        return f"no person has judged these captions against those of {other}"
    rate = rates[0]
    value, low, high = rate.win_rate, rate.low, rate.high
    if rate.first != candidate:
        value, low, high = 1 - value, 1 - high, 1 - low
    if low >= min_win_rate:
        return ""
    return (
        f"people prefer it to {other} in {value:.0%} [{low:.0%}, {high:.0%}] of "
        f"{rate.num_judgements} judgements; the lower end must reach {min_win_rate:.0%}"
    )


def _is_of(judgement: Judgement, captions: Captions, candidate: str, other: str) -> bool:
    return all(
        judgement.captions.get(name) is not None
        and judgement.captions[name] == captions[name].get(judgement.image_id)
        for name in (candidate, other)
    )
