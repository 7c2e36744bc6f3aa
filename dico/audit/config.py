"""Settings of the audit: how much is measured, and where the verdicts part."""

from dataclasses import dataclass
from typing import Annotated, Literal

from dico.configuration.ranges import Fraction, NonNegativeInt, PositiveInt, Range, Ranged

Interval = Annotated[float, Range(low=0, high=1, above=True, below=True)]
CHANCE = 0.5
"""Share of pairs that a judge who sees nothing puts in order."""
BetterThanChance = Annotated[float, Range(low=CHANCE, high=1, above=True)]


@dataclass(frozen=True)
class AuditConfig(Ranged):
    """How an evaluator is audited.

    The thresholds follow from controls, not from trained evaluators: random weights and an
    evaluator that does not see the image must be unfit, one that sees the facts must be fit.
    """

    part: Literal["pac", "clip", "generative"] = "pac"
    """Which of the evaluator's judges is audited: that which finetune.reward names. The others are
    second evaluators: agreement with them is measured, and a kind that one of them tells is told."""

    split: Literal["train", "validation", "test"] = "validation"
    """Whose images and captions are used; not those that the evaluator was trained on."""

    num_images: Annotated[int, Range(low=2)] = 400
    """At most so many images, spread evenly over the split."""

    pool_size: Annotated[int, Range(low=2)] = 100
    """Images among which a caption must find its own; chance is one in so many."""

    num_other_images: PositiveInt = 3
    """Other images under which each pair of captions is scored too. What an evaluator prefers
    whatever the image, it tells by language (SugarCrepe, Hsieh et al. 2023)."""

    min_accuracy: BetterThanChance = 0.75
    """Accuracy that the interval's lower end must reach for a kind of edit to count as told. Chance
    is .5; who knows the answer in half of the cases and guesses in the rest is at .75, so above it
    knowledge prevails."""

    min_ranking: BetterThanChance = 0.75
    """Share of other images that a caption's own image must outrank, for the verdict fit. Halfway
    between chance and certainty, as above."""

    max_harmless_cost: Fraction = 0.25
    """What an edit that leaves a caption true may cost, in units of what a false one costs. For an
    evaluator that sees the facts it is 0; at a quarter a change of wording outweighs one false
    statement in every four."""

    allow_unfit: bool = False
    """Whether a run goes on with an evaluator that is unfit; the report says so."""

    num_resamples: PositiveInt = 1000
    """Bootstrap resamples of the images behind each interval."""

    confidence: Interval = 0.95
    """Of the intervals."""

    seed: NonNegativeInt = 0
    """Of the edits, the other images and the resamples."""
