"""The quality gate: may a new model become the champion?

Judged on differences over the same test images, with intervals from the paired bootstrap (Efron
and Tibshirani, An Introduction to the Bootstrap, 1993), as `dico.evaluation.evaluate` stores them. Against
its own cross-entropy start and against the reigning champion, a candidate is refused when it is

- reward-hacked: the reward rose, but CIDEr fell, repetition rose or endings broke beyond a limit;
- worse: reward or CIDEr fell, beyond chance;
- collapsed: the evaluation warns of one caption for many pictures, repeated words, broken endings,
  captions that are empty or far too long.

To take the champion's place it must also be better than the champion, beyond chance.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dico.config_schema import check
from dico.errors import DataError


@dataclass(frozen=True)
class GateConfig:
    """Limits of the quality gate."""

    reward: str = "pac_score"
    """Metric that training maximises, a key of metrics.json."""

    max_cider_drop: float = 0.05
    """How far CIDEr may fall, as a fraction of the other model's CIDEr, in [0, 1]."""

    max_rep_2_share_rise: float = 0.05
    """How much larger the share of repeated bigrams in a caption may be, in [0, 1]. A share, because
    a longer caption repeats more bigrams ("a small ... a small") without being worse."""

    max_bad_endings_rise: float = 0.05
    """How much larger the share of captions with a broken ending may be, in [0, 1]."""

    min_words: float = 1.0
    """Captions of fewer words on average say nothing; at least 0."""

    min_images: int = 20
    """Fewer test images than this decide nothing; at least 1."""

    def __post_init__(self) -> None:
        """Checks the ranges."""
        check(0 <= self.max_cider_drop <= 1, "max_cider_drop", self.max_cider_drop, "in [0, 1]")
        rise = self.max_rep_2_share_rise
        check(0 <= rise <= 1, "max_rep_2_share_rise", rise, "in [0, 1]")
        rise = self.max_bad_endings_rise
        check(0 <= rise <= 1, "max_bad_endings_rise", rise, "in [0, 1]")
        check(self.min_words >= 0, "min_words", self.min_words, "at least 0")
        check(self.min_images >= 1, "min_images", self.min_images, "at least 1")


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


@dataclass(frozen=True, slots=True)
class Difference:
    """Candidate minus other in one metric, with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Reads ``+0.12 [+0.08, +0.15]``."""
        return f"{self.value:+.3g} [{self.low:+.3g}, {self.high:+.3g}]"


def decide(
    metrics: Mapping[str, Any],
    config: GateConfig,
    candidate: str = "dico",
    baseline: str = "xe",
    champion: str = "champion",
) -> Decision:
    """Decides whether ``candidate`` may become the champion.

    Args:
        metrics: the content of an evaluation's metrics.json.
        config: the limits.
        candidate: name of the system that asks.
        baseline: name of the system that it was fine-tuned from.
        champion: name of the reigning champion; where ``metrics`` has no such system there is no
            champion yet, and the candidate need only pass the refusals.

    Raises:
        DataError: ``metrics`` lacks what the decision rests on.
    """
    num_images = int(metrics["num_images"])
    if num_images < config.min_images:
        reason = f"{num_images} test images decide nothing; at least {config.min_images} are needed"
        return Decision(False, (reason,))
    num_words = _value(metrics, candidate, "num_words")
    if num_words < config.min_words:
        return Decision(False, (f"captions of {num_words:.1f} words on average say nothing",))
    collapse = [text for text in metrics.get("warnings", []) if text.startswith(f"{candidate}: ")]
    if collapse:
        return Decision(False, tuple(f"collapsed: {text}" for text in collapse))
    reigning = champion in metrics["systems"]
    others = [baseline, champion] if reigning else [baseline]
    faults = [fault for other in others for fault in _faults(metrics, config, candidate, other)]
    if faults:
        return Decision(False, tuple(faults))
    if not reigning:
        gain = _difference(metrics, candidate, baseline, config.reward)
        sound = f"not worse than {baseline} and not reward-hacked: {config.reward} {gain}"
        return Decision(True, ("no champion yet", sound))
    return _against_champion(metrics, config, candidate, champion)


def _against_champion(
    metrics: Mapping[str, Any], config: GateConfig, candidate: str, champion: str
) -> Decision:
    gains = {
        key: _difference(metrics, candidate, champion, key) for key in (config.reward, "cider")
    }
    better = [
        f"better than {champion}: {key} {gain}" for key, gain in gains.items() if gain.low > 0
    ]
    if better:
        return Decision(True, tuple(better))
    if all(gain.value == gain.low == gain.high == 0 for gain in gains.values()):
        return Decision(False, (f"no different from {champion}: {champion} stays",))
    listed = ", ".join(f"{key} {gain}" for key, gain in gains.items())
    return Decision(False, (f"not better than {champion} beyond chance: {listed}",))


def _faults(
    metrics: Mapping[str, Any], config: GateConfig, candidate: str, other: str
) -> list[str]:
    reward, cider, repeated, endings = (
        _difference(metrics, candidate, other, key)
        for key in (config.reward, "cider", "rep_2_share", "bad_endings")
    )
    faults = []
    if -cider.value > config.max_cider_drop * _value(metrics, other, "cider"):
        faults.append(f"CIDEr fell by more than {config.max_cider_drop:.0%}: {cider}")
    if repeated.value > config.max_rep_2_share_rise:
        limit = config.max_rep_2_share_rise
        faults.append(f"the share of repeated bigrams rose by more than {limit:.0%}: {repeated}")
    if endings.value > config.max_bad_endings_rise:
        faults.append(f"bad endings rose by more than {config.max_bad_endings_rise:.0%}: {endings}")
    if faults:
        kind = "reward-hacked" if reward.value > 0 else "worse"
        return [f"{kind} against {other}: {fault}" for fault in faults]
    if reward.high < 0:
        return [f"worse than {other}: {config.reward} {reward}"]
    if cider.high < 0 and reward.low <= 0:
        return [f"worse than {other}: CIDEr {cider}, and {config.reward} did not rise: {reward}"]
    return []


def _value(metrics: Mapping[str, Any], system: str, key: str) -> float:
    return _finite(metrics["systems"].get(system, {}).get(key), f"{key} of {system}")


def _difference(metrics: Mapping[str, Any], candidate: str, other: str, key: str) -> Difference:
    pair = f"{candidate} - {other}"
    found = metrics["differences"].get(pair, {}).get(key)
    if found is None:
        raise DataError(f"metrics.json: no difference {pair!r} in {key}; evaluate both systems")
    value, low, high = (
        _finite(found[part], f"{part} of {pair} in {key}") for part in ("difference", "low", "high")
    )
    return Difference(value, low, high)


def _finite(value: Any, what: str) -> float:
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise DataError(f"metrics.json: {what} is {value!r}, not a number to decide on")
    return float(value)
