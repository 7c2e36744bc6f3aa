"""The quality gate: may a new model become the champion?

What decides is not what was optimised. A captioner that was tuned on an evaluator's score raises that
score whatever becomes of its captions (Gao et al. 2023, arXiv 2210.10760, measure how far), so the
gate listens to others: an independent evaluator that had other training images, another seed and
another architecture, the references (CIDEr), and the facts of the images where they are known.
Where there is no independent evaluator the reasons say so, and the optimised score is all there is.

Judged on differences over the same test images, with intervals from the paired bootstrap (Efron
and Tibshirani, An Introduction to the Bootstrap, 1993), as `dico.evaluation` stores them. Against
its own cross-entropy start and against the current champion, a candidate is refused when it is

- reward-hacked: the reward rose, but an independent score fell beyond chance, or CIDEr fell,
  repetition rose, endings broke or captions grew beyond a limit, or more captions do what the
  audit's probes do (`dico.evaluation.probes`);
- worse: the same without a risen reward;
- collapsed: the evaluation warns of one caption for many images, repeated words, broken endings,
  captions that are empty or far too long.

To take the champion's place it must also be better than the champion, beyond chance.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from dico.configuration.ranges import Fraction, NonNegativeFloat, PositiveInt, Range, Ranged
from dico.evaluation.differences import Difference, difference_of, value_of
from dico.evaluation.probes import learned
from dico.evaluation.systems import HUMAN

INDEPENDENT = {
    "judge_likelihood": "the independent evaluator's likelihood",
    "judge_score": "the independent evaluator's score",
    "judge_recall_at_1": "R@1 by the independent evaluator",
    "facts_precision": "the share of statements that are true",
    "facts_recall": "the share of facts that are named",
    "wholly_true": "the share of captions that are wholly true",
}
"""Scores that were not optimised, by their key in metrics.json; those that are there count, and
those of other packages' judges."""


@dataclass(frozen=True)
class GateConfig(Ranged):
    """Limits of the quality gate."""

    reward: str = "pac_score"
    """Metric that training maximises, a key of metrics.json. It tells reward-hacked from worse, and
    decides only where no independent score is there."""

    max_cider_drop: Fraction = 0.05
    """How far CIDEr may fall, as a fraction of the other model's CIDEr, in [0, 1]. Tuning on an
    image-text score alone takes captions away from human wording: presets for COCO, which keep
    the paper's reward, allow more."""

    max_rep_2_share_rise: Fraction = 0.05
    """How much larger the share of repeated bigrams in a caption may be, in [0, 1]. A share, because
    a longer caption repeats more bigrams ("a small ... a small") without being worse."""

    max_bad_endings_rise: Fraction = 0.05
    """How much larger the share of captions with a broken ending may be, in [0, 1]."""

    max_unseen_bigrams_rise: Fraction = 0.1
    """How much larger the share of a caption's bigrams may be that no training caption has, in
    [0, 1]: what word salad, lists of keywords and appended phrases are made of."""

    max_probe_rise: Fraction = 0.05
    """How much larger the share of captions may be, in [0, 1], that do what a probe of the audit does:
    say words again, are no sentence, end on a stock phrase, are cut off, are all the same, are
    twice as long as any by a person; or that are in capitals, full of marks or in letters that no
    person uses, which word metrics do not see. Accident in a few captions; of what the audit says
    that the reward pays for, any rise beyond chance is too much."""

    max_length_ratio: Annotated[float, Range(low=1)] = 2.5
    """How many times longer captions may be on average, at least 1: than the other model's, or than
    people's where those are longer, for a start may be too short."""

    judgements: str = ""
    """File of people's judgements, as ``dico rate`` writes it, of these very captions; empty asks no
    person."""

    min_win_rate: Fraction = 0.5
    """What the lower end of the win rate's interval must reach against the start and the champion,
    where ``judgements`` are given."""

    min_words: NonNegativeFloat = 1.0
    """Captions of fewer words on average say nothing; at least 0."""

    min_images: PositiveInt = 20
    """Fewer test images than this decide nothing; at least 1."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the gate decided, and why."""

    promote: bool
    """Whether the candidate may become the champion."""

    reasons: tuple[str, ...]
    """One sentence each, the deciding ones first."""

    def save(self, path: Path | str) -> None:
        """Writes the decision as JSON."""
        text = json.dumps({"promote": self.promote, "reasons": list(self.reasons)}, indent=1)
        Path(path).write_text(text + "\n")


def decide(
    metrics: Mapping[str, Any],
    config: GateConfig,
    candidate: str = "dico",
    baseline: str = "xe",
    champion: str = "champion",
    audit: Mapping[str, Any] | None = None,
) -> Decision:
    """Decides whether ``candidate`` may become the champion.

    Args:
        metrics: the content of an evaluation's metrics.json.
        config: the limits.
        candidate: name of the system that asks.
        baseline: name of the system that it was fine-tuned from.
        champion: name of the current champion; where ``metrics`` has no such system there is no
            champion yet, and the candidate need only pass the refusals.
        audit: the content of the evaluator's audit.json; None where it was not audited.

    Raises:
        DataError: ``metrics`` lacks what the decision rests on.
    """
    num_images = int(metrics["num_images"])
    if num_images < config.min_images:
        reason = f"{num_images} test images decide nothing; at least {config.min_images} are needed"
        return Decision(False, (reason,))
    num_words = value_of(metrics, candidate, "num_words")
    if num_words < config.min_words:
        return Decision(False, (f"captions of {num_words:.1f} words on average say nothing",))
    collapse = [text for text in metrics.get("warnings", []) if text.startswith(f"{candidate}: ")]
    if collapse:
        return Decision(False, tuple(f"collapsed: {text}" for text in collapse))
    current = champion in metrics["systems"]
    others = [baseline, champion] if current else [baseline]
    faults = [
        fault for other in others for fault in _faults(metrics, config, candidate, other, audit)
    ]
    if faults:
        return Decision(False, tuple(faults))
    against = champion if current else baseline
    judged_by = _judged_by(metrics, candidate, against)
    if not current:
        decisive = [*judged_by, "cider"] if judged_by else [config.reward]
        gains = _listed({key: difference_of(metrics, candidate, baseline, key) for key in decisive})
        sound = f"not worse than {baseline} and not reward-hacked: {gains}"
        return Decision(True, ("no champion yet", sound, *_caveat(judged_by)))
    return _against_champion(metrics, config, candidate, champion, judged_by)


def _judged_by(metrics: Mapping[str, Any], candidate: str, other: str) -> list[str]:
    """The independent scores that both systems have."""
    differences = metrics["differences"].get(f"{candidate} - {other}", {})
    own = [key for key in differences if key.startswith("judge_") and key not in INDEPENDENT]
    return [*(key for key in INDEPENDENT if key in differences), *own]


def _caveat(judged_by: list[str]) -> tuple[str, ...]:
    if any(key.startswith("judge_") for key in judged_by):
        return ()
    return ("no independent evaluator: judged by the optimised one and the references",)


def _against_champion(
    metrics: Mapping[str, Any],
    config: GateConfig,
    candidate: str,
    champion: str,
    judged_by: list[str],
) -> Decision:
    keys = [*(judged_by or [config.reward]), "cider"]
    gains = {key: difference_of(metrics, candidate, champion, key) for key in keys}
    better = [
        f"better than {champion}: {key} {gain}" for key, gain in gains.items() if gain.low > 0
    ]
    if better:
        return Decision(True, (*better, *_caveat(judged_by)))
    if all(gain.value == gain.low == gain.high == 0 for gain in gains.values()):
        return Decision(False, (f"no different from {champion}: {champion} stays",))
    return Decision(False, (f"not better than {champion} beyond chance: {_listed(gains)}",))


def _listed(gains: Mapping[str, Difference]) -> str:
    return ", ".join(f"{key} {gain}" for key, gain in gains.items())


def _faults(
    metrics: Mapping[str, Any],
    config: GateConfig,
    candidate: str,
    other: str,
    audit: Mapping[str, Any] | None,
) -> list[str]:
    reward = difference_of(metrics, candidate, other, config.reward)
    judged_by = _judged_by(metrics, candidate, other)
    faults = [
        *_beyond_limits(metrics, config, candidate, other),
        *_fallen(metrics, judged_by, candidate, other),
        *learned(metrics, candidate, other, config.max_probe_rise, audit),
    ]
    if faults:
        kind = "reward-hacked" if reward.value > 0 else "worse"
        return [f"{kind} against {other}: {fault}" for fault in faults]
    if judged_by:
        return []
    cider = difference_of(metrics, candidate, other, "cider")
    if reward.high < 0:
        return [f"worse than {other}: {config.reward} {reward}"]
    if cider.high < 0 and reward.low <= 0:
        return [f"worse than {other}: CIDEr {cider}, and {config.reward} did not rise: {reward}"]
    return []


def _fallen(
    metrics: Mapping[str, Any], judged_by: list[str], candidate: str, other: str
) -> list[str]:
    """Independent scores that fell beyond chance."""
    changes = {key: difference_of(metrics, candidate, other, key) for key in judged_by}
    return [f"{_called(key)} fell: {change}" for key, change in changes.items() if change.high < 0]


def _called(key: str) -> str:
    return INDEPENDENT.get(key, f"the score of the judge {key.removeprefix('judge_')}")


def _beyond_limits(
    metrics: Mapping[str, Any], config: GateConfig, candidate: str, other: str
) -> list[str]:
    """What a reward is hacked by, where it went beyond the limits."""
    cider, repeated, endings = (
        difference_of(metrics, candidate, other, key)
        for key in ("cider", "rep_2_share", "bad_endings")
    )
    faults = []
    if -cider.value > config.max_cider_drop * value_of(metrics, other, "cider"):
        faults.append(f"CIDEr fell by more than {config.max_cider_drop:.0%}: {cider}")
    if repeated.value > config.max_rep_2_share_rise:
        limit = config.max_rep_2_share_rise
        faults.append(f"the share of repeated bigrams rose by more than {limit:.0%}: {repeated}")
    if endings.value > config.max_bad_endings_rise:
        faults.append(f"bad endings rose by more than {config.max_bad_endings_rise:.0%}: {endings}")
    if "unseen_bigrams" in metrics["differences"][f"{candidate} - {other}"]:
        unseen = difference_of(metrics, candidate, other, "unseen_bigrams")
        if unseen.value > config.max_unseen_bigrams_rise:
            limit = config.max_unseen_bigrams_rise
            faults.append(f"bigrams that no person wrote rose by more than {limit:.0%}: {unseen}")
    known = [name for name in (other, HUMAN) if name in metrics["systems"]]
    usual = max(1.0, *(value_of(metrics, name, "num_words") for name in known))
    now = value_of(metrics, candidate, "num_words")
    if now > config.max_length_ratio * usual:
        faults.append(f"captions became {now / usual:.1f} times as long: {now:.1f} words")
    return faults
