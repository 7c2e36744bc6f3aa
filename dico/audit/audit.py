"""The audit of an evaluator: what it can tell, what it pays for, and whether it is fit.

Pairs of captions that differ in one thing, after FOIL (Shekhar et al. 2017), SugarCrepe (Hsieh et
al. 2023, whose control for language is kept: every pair is scored under other images too) and ARO
(Yuksekgonul et al. 2023). What is new here: harmless edits, hacks of a reward, and a verdict with
thresholds that controls fix.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dico.audit.config import CHANCE, AuditConfig
from dico.audit.fact_edits import fact_pairs
from dico.audit.items import Item, Pair
from dico.audit.judges import Judge
from dico.audit.measure import (
    Ranking,
    Rate,
    Scored,
    gain_per_phrase,
    preference,
    rank_images,
    relative_cost,
    score_pairs,
)
from dico.audit.probes import hack_pairs
from dico.audit.text_edits import text_pairs
from dico.audit.verdict import WORDS, Kind, Verdict, judge_numbers
from dico.configuration.schema import to_dict
from dico.errors import DataError
from dico.facts import Vocabulary
from dico.storage import atomic_write
from dico.storage.digests import folder_digest

FORMAT = 1
AUDIT_FILE = "audit.json"
_APPENDED = "appended phrases"


@dataclasses.dataclass(frozen=True, slots=True)
class Audit:
    """What is known of an evaluator."""

    name: str
    """The evaluator."""

    verdict: Verdict
    """fit, weak or unfit, and why."""

    ranking: Ranking
    """How human captions find their images."""

    kinds: dict[str, Kind]
    """False edits by kind: how often the true caption is preferred."""

    harmless: dict[str, Rate]
    """Harmless edits by kind: how often the caption as it was is preferred; .5 is right."""

    harmless_cost: Rate | None
    """Their mean cost, in units of a false edit's; None where no caption allowed one."""

    hacks: dict[str, Rate]
    """Hacks by kind: how often the human caption is preferred."""

    gain_per_phrase: Rate | None
    """What an appended phrase earns, in standard deviations of human captions."""

    agreement: dict[str, Rate]
    """Second evaluators: how often both prefer the same caption of a pair."""

    untold_kinds: list[str]
    """Kinds of statements that neither this evaluator nor a second one tells."""

    untold_words: list[str]
    """Words of them, where the dataset has facts."""

    edits_by: str
    """facts or text: where the edits come from."""

    num_images: int
    """Images of the audit."""

    settings: dict[str, Any]
    """`AuditConfig`."""

    examples: list[dict[str, Any]]
    """Pairs with their scores, of all kinds."""

    evaluator: str = ""
    """Digest of the evaluator's folder; empty for a judge that has none."""

    def to_dict(self) -> dict[str, Any]:
        """The content of audit.json."""
        return {"format": FORMAT, **_plain(self)}

    def save(self, folder: str | Path) -> None:
        """Writes audit.json into ``folder``."""
        with atomic_write(Path(folder) / AUDIT_FILE) as temporary:
            temporary.write_text(json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n")


def audit(
    judge: Judge,
    items: Sequence[Item],
    corpus: Sequence[str],
    config: AuditConfig,
    vocabulary: Vocabulary | None = None,
    others: Sequence[Judge] = (),
) -> Audit:
    """Audits ``judge``.

    Args:
        judge: whose scores are examined.
        items: images with human captions; more than ``config.num_images`` are thinned out.
        corpus: captions of the training split, for popular phrases and words.
        config: settings.
        vocabulary: of the items' facts; None edits captions by their text.
        others: second evaluators, for agreement.

    Raises:
        DataError: fewer than two images, no training captions, no pair to compare.
    """
    chosen = _thinned(items, config.num_images)
    if len(chosen) < 2 or not corpus:
        raise DataError(f"audit: {len(chosen)} images and {len(corpus)} training captions: too few")
    known = vocabulary if any(item.scene is not None for item in chosen) else None
    pairs = _pairs(chosen, corpus, known, config.seed)
    scored = score_pairs(judge, chosen, pairs, config)
    seconds = {other.name: score_pairs(other, chosen, pairs, config) for other in others}
    ranking = rank_images(judge, chosen, config)
    numbers = _numbers(scored, config)
    false = _of(scored, "false")
    seen = preference(false.seen, false.pairs, config)
    untold = _untold(numbers["kinds"], [_kinds(second, config) for second in seconds.values()])
    return Audit(
        name=judge.name,
        verdict=judge_numbers(ranking=ranking, seen=seen, config=config, **numbers),
        ranking=ranking,
        **numbers,
        gain_per_phrase=_gain(scored, config),
        agreement={
            name: preference(_agreement(scored, second), scored.pairs, config)
            for name, second in seconds.items()
        },
        untold_kinds=untold,
        untold_words=_words_of(untold, known),
        edits_by="facts" if known else "text",
        num_images=len(chosen),
        settings=to_dict(config),
        examples=_examples(scored, chosen),
    )


def read_audit(place: str | Path, evaluator: str | Path = "") -> dict[str, Any]:
    """The content of audit.json.

    Args:
        place: the folder that holds it, or the file itself.
        evaluator: folder of the evaluator that it must be of; empty for any.

    Raises:
        DataError: it is missing, not what it should be, or of another evaluator.
    """
    path = Path(place)
    path = path if path.is_file() else path / AUDIT_FILE
    if not path.is_file():
        raise DataError(f"{path}: no such file; dico audit EVALUATOR --output {place} writes it")
    try:
        data: dict[str, Any] = json.loads(path.read_text())
        if data["format"] != FORMAT or data["verdict"]["word"] not in WORDS:
            raise ValueError(f"format {data['format']}, verdict {data['verdict']['word']}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not an audit: {error}") from None
    if evaluator and data.get("evaluator") != folder_digest(evaluator):
        raise DataError(
            f"{path}: audits {data.get('name')!r}, not the evaluator in {evaluator} as it is now; "
            f"run dico audit {evaluator}"
        )
    return data


def _thinned(items: Sequence[Item], most: int) -> list[Item]:
    """Spread evenly; in their order."""
    usable = [item for item in items if item.captions]
    places = np.unique(np.linspace(0, len(usable) - 1, min(most, len(usable))).round().astype(int))
    return [usable[k] for k in places] if usable else []


def _pairs(
    items: Sequence[Item], corpus: Sequence[str], vocabulary: Vocabulary | None, seed: int
) -> list[Pair]:
    edits = (
        fact_pairs(items, corpus, vocabulary, seed)
        if vocabulary
        else text_pairs(items, corpus, seed)
    )
    if not any(pair.purpose == "false" for pair in edits):
        raise DataError("audit: no caption could be edited; are the captions empty?")
    return [*edits, *hack_pairs(items, corpus, seed)]


def _numbers(scored: Scored, config: AuditConfig) -> dict[str, Any]:
    """What the verdict rests on, beside the ranking."""
    harmless, false = _of(scored, "harmless"), _of(scored, "false")
    return {
        "kinds": _kinds(scored, config),
        "harmless": _preferences(harmless, config),
        "harmless_cost": relative_cost(harmless, false, config) if harmless.pairs else None,
        "hacks": _preferences(_of(scored, "hack"), config),
    }


def _untold(kinds: Mapping[str, Kind], others: Sequence[Mapping[str, Kind]]) -> list[str]:
    """Kinds that nobody tells."""
    return [name for name in kinds if not any(own[name].told for own in (kinds, *others))]


def _gain(scored: Scored, config: AuditConfig) -> Rate | None:
    """What an appended phrase earns; None where nothing could be appended."""
    appended = _select(scored, [pair.kind.startswith(_APPENDED) for pair in scored.pairs])
    spread = float(np.std(_of(scored, "false").own[:, 0]))
    return gain_per_phrase(appended, spread, config) if appended.pairs else None


def _kinds(scored: Scored, config: AuditConfig) -> dict[str, Kind]:
    false = _of(scored, "false")
    found = {}
    for kind in dict.fromkeys(sorted(pair.kind for pair in false.pairs)):
        own = _select(false, [pair.kind == kind for pair in false.pairs])
        accuracy = preference(own.margins, own.pairs, config)
        seen = preference(own.seen, own.pairs, config)
        blind = preference(own.others[:, 0] - own.others[:, 1], own.pairs, config)
        told = accuracy.low >= config.min_accuracy and seen.low > CHANCE
        found[kind] = Kind(accuracy, seen, blind, told)
    return found


def _preferences(scored: Scored, config: AuditConfig) -> dict[str, Rate]:
    rates = {}
    for kind in dict.fromkeys(pair.kind for pair in scored.pairs):
        own = _select(scored, [pair.kind == kind for pair in scored.pairs])
        rates[kind] = preference(own.margins, own.pairs, config)
    return rates


def _agreement(one: Scored, other: Scored) -> Any:
    """Positive where both prefer the same caption, 0 where one has no preference."""
    return np.sign(one.margins) * np.sign(other.margins)


def _of(scored: Scored, purpose: str) -> Scored:
    return _select(scored, [pair.purpose == purpose for pair in scored.pairs])


def _select(scored: Scored, chosen: list[bool]) -> Scored:
    pairs = [pair for pair, wanted in zip(scored.pairs, chosen, strict=True) if wanted]
    mask = np.array(chosen, bool)
    return Scored(pairs, scored.own[mask], scored.others[mask])


def _words_of(kinds: Sequence[str], vocabulary: Vocabulary | None) -> list[str]:
    """All words of these kinds of statements, synonyms too."""
    if vocabulary is None:
        return []
    own = [vocabulary.words_of(kind) for kind in kinds]
    return sorted(
        {name for values in own for value, more in values.items() for name in (value, *more)}
    )


def _examples(scored: Scored, items: Sequence[Item], num_each: int = 4) -> list[dict[str, Any]]:
    """Of each kind the pairs that it judges worst and one that it judges best."""
    kinds: dict[tuple[str, str], list[int]] = {}
    for place, pair in enumerate(scored.pairs):
        kinds.setdefault((pair.purpose, pair.kind), []).append(place)
    examples = []
    for places in kinds.values():
        ranked = sorted(places, key=lambda k: scored.margins[k])
        for place in dict.fromkeys([*ranked[: num_each - 1], ranked[-1]]):
            chosen = scored.pairs[place]
            own = [float(score) for score in scored.own[place]]
            shown = {"item": items[chosen.item].image_id, "scores": own}
            examples.append(chosen._asdict() | shown)
    return examples


def _plain(value: Any) -> Any:
    """Plain JSON values of dataclasses and named tuples, by name."""
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if hasattr(value, "_asdict"):
        return {name: _plain(own) for name, own in value._asdict().items()}
    if isinstance(value, dict):
        return {name: _plain(own) for name, own in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(own) for own in value]
    return value
