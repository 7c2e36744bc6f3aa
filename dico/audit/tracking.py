"""An audit's verdict, rates with intervals and wrong images, sent to trackers."""

import re
from collections.abc import Iterator, Mapping

from dico.audit.audit import Audit
from dico.audit.measure import Rate
from dico.tracking import captions_made, scores_made

_NOT_PLAIN = re.compile(r"[^A-Za-z0-9]+")
_ORDER = ("false", "hack", "harmless")


def tell_audit(audit: Audit, uris: Mapping[str, str]) -> None:
    """Tells the trackers that listen.

    Images are those of the pairs that it judged worst, one of each kind of edit: the caption is the
    edited one that it preferred, or nearly, over the person's beside it.

    Args:
        audit: what was found.
        uris: {image id: where the image is}; pairs of others are left out.
    """
    worst: dict[tuple[str, str], dict[str, str]] = {}
    for example in audit.examples:  # of each kind the worst comes first
        if example["item"] in uris:
            worst.setdefault((example["purpose"], example["kind"]), example)
    shown = [worst[key] for key in sorted(worst, key=lambda key: _ORDER.index(key[0]))]
    captions_made(
        [uris[example["item"]] for example in shown],
        [f"{example['kind']}: {example['edited']}" for example in shown],
        [(example["caption"],) for example in shown],
    )
    word, reasons = audit.verdict
    sentence = f"{audit.name}: {word}"
    scores_made(dict(audit_scores(audit)), ["; ".join([sentence, *reasons])])


def audit_scores(audit: Audit) -> Iterator[tuple[str, float]]:
    """Each number of an audit by a name such as ``false/colour`` or ``false/colour_low``."""
    rates: dict[str, Rate | None] = {
        "ranking/recall_at_1": audit.ranking.recall_at_1,
        "ranking/outranked": audit.ranking.outranked,
        "harmless_cost": audit.harmless_cost,
        "gain_per_phrase": audit.gain_per_phrase,
    }
    rates |= {f"false/{_plain(name)}": kind.accuracy for name, kind in audit.kinds.items()}
    rates |= {f"seen/{_plain(name)}": kind.seen for name, kind in audit.kinds.items()}
    groups = {"harmless": audit.harmless, "hack": audit.hacks, "agreement": audit.agreement}
    for group, own in groups.items():
        rates |= {f"{group}/{_plain(name)}": rate for name, rate in own.items()}
    for name, rate in rates.items():
        if rate is not None:
            yield name, rate.value
            yield f"{name}_low", rate.low
            yield f"{name}_high", rate.high


def _plain(name: str) -> str:
    """A kind's name in the letters that every tracker takes."""
    return _NOT_PLAIN.sub("_", name).strip("_")
