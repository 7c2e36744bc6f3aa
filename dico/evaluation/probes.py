"""The audit's probes, looked for in a candidate's captions: what the gate reads of an audit.

The audit says for which hacks an evaluator pays; the captions say which of them were learned. A
symptom that the reward pays for may not rise beyond chance. Of another one, or without an audit, a
few captions in a hundred may be accident.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from dico.audit.config import CHANCE
from dico.evaluation.differences import difference_of


class Probe(NamedTuple):
    """A symptom in captions, and the audit's probes that provoke it.

    Attributes:
        what: what more captions do, in words.
        hacks: beginnings of the names of the audit's hacks; none where no probe provokes it.
    """

    what: str
    hacks: tuple[str, ...]


PROBES = {
    "said_again": Probe("say words again", ("repeated",)),
    "no_sentence": Probe("are no sentence", ("word salad", "keywords")),
    "appended": Probe("end on a stock phrase", ("appended phrases",)),
    "bad_endings": Probe("are cut off", ("cut-off ending",)),
    "common_caption": Probe("are the same one", ("generic caption",)),
    "too_long": Probe("are twice as long as any by a person", ("appended phrases",)),
    "odd_writing": Probe("are written as nobody writes", ()),
}
"""By the symptom's key in metrics.json."""


def learned(
    metrics: Mapping[str, Any],
    candidate: str,
    other: str,
    max_rise: float,
    audit: Mapping[str, Any] | None,
) -> list[str]:
    """What ``candidate`` does beyond chance more often than ``other``, a sentence each.

    Args:
        metrics: the content of metrics.json.
        candidate: the system that asks.
        other: whom it is compared with.
        max_rise: by how much the share of captions with a symptom may rise where the audit does
            not say that it is paid for.
        audit: the content of audit.json; None where the evaluator was not audited.
    """
    there = metrics["differences"].get(f"{candidate} - {other}", {})
    faults = []
    for key in (key for key in PROBES if key in there):
        change, price = difference_of(metrics, candidate, other, key), _price(key, audit)
        if change.low > 0 and (price or change.value > max_rise):
            faults.append(f"more captions {PROBES[key].what}: {change}{price}")
    return faults


def _price(key: str, audit: Mapping[str, Any] | None) -> str:
    """What the audit says of a symptom that the reward pays for; empty where it does not."""
    if audit is None:
        return ""
    gain = audit["gain_per_phrase"]
    if key == "too_long" and gain and gain["low"] > 0:
        return f"; audit: an appended phrase earns {gain['value']:+.2g} standard deviations"
    for name, rate in audit["hacks"].items():
        if name.startswith(PROBES[key].hacks) and rate["high"] < CHANCE:
            return f"; audit: the reward pays for {name}, people preferred {rate['value']:.2f}"
    return ""
