"""E1: worse and reward-hacked captioners never become champion, better ones always do.

Captioners are made up on a toy dataset of sentences and judged as in a run: the evaluation with its
paired bootstrap, then the gate. The reward is the cosine of bags of words, which can be hacked as
real ones can: a salad of the image's words scores above every sentence.
"""

import dataclasses
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dico.evaluation.config import EvaluationConfig
from dico.evaluation.evaluate import evaluate
from dico.evaluation.gate import GateConfig, decide
from tests.evaluation.hacked import HACKS, HONEST, SEEN, XE, ToyWorld
from tests.reliability.result import CONTROL, Result, count

IDS = ("E1",)
NUM_IMAGES = 100
SUBJECTS = "dog cat man woman boy girl horse bird bus boat train child".split()  # noqa: SIM905
COLOURS = "red blue green black white brown small large old young".split()  # noqa: SIM905
VERBS = "runs sits stands jumps waits sleeps walks plays".split()  # noqa: SIM905
PLACES = "beach street field house river tree bridge table park hill".split()  # noqa: SIM905
SETTINGS = EvaluationConfig(meteor=False, human=False, num_resamples=300, retrieval="pac")
NO_LIMITS = GateConfig(
    max_cider_drop=1,
    max_rep_2_share_rise=1,
    max_bad_endings_rise=1,
    max_probe_rise=1,
    max_length_ratio=100,
)
Captions = dict[str, str]
Scene = tuple[str, str, str, str]


class World:
    """Images known by their four words, what people say of them, and the reward."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        choice = self.rng.choice
        self.scenes: dict[str, Scene] = {
            str(k): (choice(COLOURS), choice(SUBJECTS), choice(VERBS), choice(PLACES))
            for k in range(NUM_IMAGES)
        }
        self.references = {k: self.said(scene) for k, scene in self.scenes.items()}
        self._words = [*COLOURS, *SUBJECTS, *VERBS, *PLACES, "other"]
        self.images = {k: self._bag(scene) for k, scene in self.scenes.items()}

    def said(self, scene: Scene) -> list[str]:
        """Five human captions, who leave things out."""
        colour, subject, verb, place = scene
        return [
            f"a {colour} {subject} {verb} near the {place}",
            f"a {subject} {verb} by a {place}",
            f"the {colour} {subject} {verb}",
            f"there is a {colour} {subject} at the {place}",
            f"a {subject} that {verb} in front of a {place}",
        ]

    def embed_texts(self, captions: Sequence[str]) -> NDArray[np.float64]:
        """Bags of words, normalised."""
        return np.stack([self._bag(text.split()[3:]) for text in captions])  # the prompt's words

    def _bag(self, words: Sequence[str]) -> NDArray[np.float64]:
        counts = np.zeros(len(self._words))
        for word in words:
            known = word in self._words
            counts[self._words.index(word if known else "other")] += 1 if known else 0.2
        return counts / max(float(np.linalg.norm(counts)), 1e-9)

    def captions(self, make: Callable[[Scene], str]) -> Captions:
        return {k: make(scene) for k, scene in self.scenes.items()}

    def promoted(self, systems: Mapping[str, Captions], config: GateConfig) -> bool:
        """What the gate decides on these systems, the candidate ``dico`` first."""
        found = evaluate(systems, self.references, {"pac": self.images}, {"pac": self}, SETTINGS)
        return decide(found.to_dict(), config).promote


def vague(scene: Scene) -> str:
    """What cross-entropy learns."""
    return f"a {scene[1]} {scene[2]}"


def whole(scene: Scene) -> str:
    """A caption that leaves nothing out."""
    return f"a {scene[0]} {scene[1]} {scene[2]} near the {scene[3]}"


def salad(scene: Scene) -> str:
    """What a hacked reward likes best."""
    colour, subject, verb, place = scene
    return f"{place} {colour} {verb} {subject}"


def stutter(scene: Scene) -> str:
    """A caption that says its words again."""
    return f"{whole(scene)} near the {scene[3]} near the {scene[3]}"


def broken(scene: Scene) -> str:
    """A caption that ends in the middle."""
    return f"{whole(scene)} with a"


def check(full: bool) -> list[Result]:
    """Each kind of candidate, in many worlds, against its start and the champion."""
    rounds = 100 if full else 2
    config = dataclasses.replace(GateConfig(), min_images=20)

    def promotions(
        make: Callable[[World], Captions], champion: Callable[[Scene], str] | None
    ) -> Iterator[bool]:
        for seed in range(rounds):
            world = World(seed)
            systems = {"dico": make(world), "xe": world.captions(vague)}
            if champion is not None:
                systems["champion"] = world.captions(champion)
            yield world.promoted(systems, config)

    def wrong_images(world: World, share: float) -> Captions:
        own = world.captions(whole)
        others = list(own.values())
        return {
            k: world.rng.choice(others) if world.rng.random() < share else c for k, c in own.items()
        }

    rows = []
    for name, make, champion, wanted in (
        ("better than the champion is promoted", lambda w: w.captions(whole), vague, True),
        (
            "the first one, better than its start, is promoted",
            lambda w: w.captions(whole),
            None,
            True,
        ),
        ("wrong on a third of the images", lambda w: wrong_images(w, 0.33), whole, False),
        ("equal to the champion", lambda w: w.captions(whole), whole, False),
        ("vaguer than the champion", lambda w: w.captions(vague), whole, False),
        ("reward-hacked: word salad", lambda w: w.captions(salad), vague, False),
        ("reward-hacked, no champion yet", lambda w: w.captions(salad), None, False),
        ("reward-hacked: repeated bigrams", lambda w: w.captions(stutter), vague, False),
        ("reward-hacked: truncated endings", lambda w: w.captions(broken), vague, False),
        (
            "collapsed: the same caption for every image",
            lambda w: w.captions(lambda _: "a dog runs"),
            vague,
            False,
        ),
    ):
        kind = name if wanted else f"{name}: never champion"
        rows.append(count("E1", kind, (p is wanted for p in promotions(make, champion))))
    rows += _with_facts(rounds // 10 or 1)
    begun = time.monotonic()
    world = World(0)
    hacked = {"dico": world.captions(broken), "xe": world.captions(vague)}
    found = evaluate(hacked, world.references, {"pac": world.images}, {"pac": world}, SETTINGS)
    let_in = decide(found.to_dict() | {"warnings": []}, NO_LIMITS).promote
    name = f"{CONTROL}without limits a reward-hacked captioner is promoted"
    rows.append(Result("E1", name, int(let_in), 1, time.monotonic() - begun))
    return rows


def _with_facts(rounds: int) -> list[Result]:
    """Captioners of scenes that are known, judged by facts and references beside the reward."""
    worlds = [ToyWorld(seed) for seed in range(rounds)]
    refused = ((world.decision(hack, XE), False) for world in worlds for hack in HACKS.values())
    passed = ((world.decision(*pair), True) for world in worlds for pair in HONEST.values())
    seen = ((ToyWorld(seed).decision(*SEEN), False) for seed in range(5 * rounds))
    return [
        count("E1", name, (found.promote is wanted for (found, _), wanted in results))
        for name, results in (
            ("ten reward hacks on scenes with known facts: never champion", refused),
            ("ten honest improvements on the same scenes are promoted", passed),
            (
                "fewer true captions at a higher reward, R@1 and CIDEr (seen in release 0.1.0): "
                "never champion",
                seen,
            ),
        )
    ]
