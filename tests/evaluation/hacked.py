"""Captioners of the toy dataset that hack a bag-of-words reward on purpose, and honest gains.

A reward that compares bags of words is what contrastive evaluators are at heart: it cannot tell an
exchange of attributes, an order of words, an end in the middle, or a thing said twice.
"""

import dataclasses
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dico.audit.audit import audit
from dico.audit.config import AuditConfig
from dico.audit.items import Item
from dico.audit.judges import CosineJudge
from dico.data.toy import captions as grammar
from dico.data.toy.captions import COMPLETE, TERSE, Writer, write_caption
from dico.data.toy.facts import TOY_VOCABULARY, facts_of
from dico.data.toy.scenes import COLOURS, SHAPES, SIZES, TEXTURES, Scene, sample_scene
from dico.evaluation.config import EvaluationConfig
from dico.evaluation.evaluate import Evaluation, evaluate
from dico.evaluation.gate import Decision, GateConfig, decide

NUM_IMAGES = 200
SETTINGS = EvaluationConfig(meteor=False, human=False, num_resamples=300, retrieval="pac")
PLAIN = dataclasses.replace(TERSE, thing=0.9, size=0.2, texture=0.3, colour=0.9, relation=0.5)
"""What cross-entropy learns: true and vague."""
ALMOST_ALL = dataclasses.replace(COMPLETE, size=0.5, setting=0.3)
Say = Callable[[Scene, random.Random], str]


def words_of(scene: Scene) -> list[str]:
    """All that a bag-of-words reward would hear of an image."""
    own = [w for t in scene.things for w in (t.size, t.texture, t.colour, t.shape)]
    return [w for w in (*own, *scene.relation.split(), scene.background) if w != "plain"]


class ToyWorld:
    """Scenes that are known, what people say of them, and the reward."""

    def __init__(self, seed: int) -> None:
        self.scenes = {
            str(k): sample_scene(random.Random(f"{seed}/{k}")) for k in range(NUM_IMAGES)
        }
        self.seed = seed
        self.references = {
            k: [write_caption(scene, random.Random(f"{seed}/{k}/{n}")) for n in range(5)]
            for k, scene in self.scenes.items()
        }
        vocabulary = {word for scene in self.scenes.values() for word in words_of(scene)}
        self._words = sorted(vocabulary)
        chances = [random.Random(f"{seed}/other/{k}") for k in range(20 * NUM_IMAGES)]
        self.training = [write_caption(sample_scene(rng), rng) for rng in chances]
        self.images = {k: self._bag(words_of(scene)) for k, scene in self.scenes.items()}

    def embed_texts(self, captions: Sequence[str]) -> NDArray[np.float64]:
        """Bags of words, normalised."""
        return np.stack([self._bag(text.replace(",", " ").split()) for text in captions])

    def _bag(self, words: Iterable[str]) -> NDArray[np.float64]:
        counts = np.full(len(self._words), 1e-6)
        for word in words:
            if word in self._words:
                counts[self._words.index(word)] += 1
        bag: NDArray[np.float64] = np.sqrt(counts) / np.linalg.norm(np.sqrt(counts))
        return bag

    def captions(self, say: Say) -> dict[str, str]:
        """What a captioner says of each image."""
        return {
            k: say(scene, random.Random(f"{self.seed}/{k}/said"))
            for k, scene in self.scenes.items()
        }

    def evaluation(self, systems: Mapping[str, Say]) -> Evaluation:
        """All metrics with intervals, the facts' among them."""
        return evaluate(
            {name: self.captions(say) for name, say in systems.items()},
            self.references,
            {"pac": self.images},
            {"pac": self},
            SETTINGS,
            training_captions=self.training,
            scenes={k: facts_of(scene) for k, scene in self.scenes.items()},
            vocabulary=TOY_VOCABULARY,
        )

    def audit(self) -> dict[str, Any]:
        """The audit of the reward."""
        items = [Item(k, k, tuple(self.references[k]), facts_of(s)) for k, s in self.scenes.items()]
        judge = CosineJudge("bag of words", self.images, self.embed_texts)
        settings = AuditConfig(num_images=60, pool_size=20, num_resamples=100)
        return audit(judge, items, self.training[:400], settings, TOY_VOCABULARY).to_dict()

    def decision(
        self, dico: Say, xe: Say, audited: Mapping[str, Any] | None = None
    ) -> tuple[Decision, float]:
        """What the gate decides on a first model, and how the reward changed."""
        metrics = self.evaluation({"dico": dico, "xe": xe}).to_dict()
        change = metrics["differences"]["dico - xe"]["pac_score"]["difference"]
        return decide(metrics, GateConfig(), audit=audited), change


def by(writer: Writer) -> Say:
    return lambda scene, rng: grammar._write(scene, rng, writer)


def changed(say: Say, edit: Callable[[Scene, random.Random], Scene], share: float = 1.0) -> Say:
    """``say`` of another scene, for a share of the images."""

    def wrong(scene: Scene, rng: random.Random) -> str:
        seen = edit(scene, rng) if rng.random() < share else scene
        return say(seen, rng)

    return wrong


def of_first(scene: Scene, **values: str) -> Scene:
    first, *rest = scene.things
    return dataclasses.replace(scene, things=(dataclasses.replace(first, **values), *rest))


def other_shape(scene: Scene, rng: random.Random) -> Scene:
    own = scene.things[0].shape
    return of_first(scene, shape=rng.choice([s for s in SHAPES if s != own]))


def other_colour(scene: Scene, rng: random.Random) -> Scene:
    own = scene.things[0].colour
    return of_first(scene, colour=rng.choice([c for c in COLOURS if c != own]))


def exchanged(scene: Scene, rng: random.Random) -> Scene:
    """Attributes of two objects change places: the bag of words is the same."""
    if len(scene.things) < 2:
        return scene
    a, b, *rest = scene.things
    one = dataclasses.replace(a, shape=b.shape, size=b.size)
    two = dataclasses.replace(b, shape=a.shape, size=a.size)
    return dataclasses.replace(scene, things=(one, two, *rest))


FULL, XE = by(ALMOST_ALL), by(PLAIN)


def salad(scene: Scene, rng: random.Random) -> str:
    words = FULL(scene, rng).split()
    rng.shuffle(words)
    return " ".join(words)


def keywords(scene: Scene, rng: random.Random) -> str:
    return ", ".join(dict.fromkeys(words_of(scene)))


def stutter(scene: Scene, rng: random.Random) -> str:
    caption = FULL(scene, rng)
    return f"{caption} {' '.join(caption.split()[-4:])}"


def twice(scene: Scene, rng: random.Random) -> str:
    caption = FULL(scene, rng)
    return f"{caption} and {caption}"


def appended(scene: Scene, rng: random.Random) -> str:
    return f"{FULL(scene, rng)} in a very nice picture of a scene of high quality with much detail"


def cut_off(scene: Scene, rng: random.Random) -> str:
    return f"{FULL(scene, rng)} with a"


def invented(scene: Scene, rng: random.Random) -> str:
    free = [s for s in SHAPES if s not in {t.shape for t in scene.things}]
    thing = f"{scene.things[0].size} {scene.things[0].colour} {rng.choice(free)}"
    return f"{FULL(scene, rng)} with a {thing}"


def hedged(scene: Scene, rng: random.Random) -> str:
    """Names all values of a kind, so that the true one is among them."""
    kinds = f"{' '.join(SIZES)} {' '.join(TEXTURES[1:])} {' '.join(COLOURS)}"
    return f"{FULL(scene, rng)} with a {kinds} {scene.things[0].shape}"


def turned(scene: Scene, rng: random.Random) -> str:
    """The relation the other way round, for the same bag of words."""
    if len(scene.things) < 2:
        return FULL(scene, rng)
    a, b, *rest = scene.things
    return FULL(dataclasses.replace(scene, things=(b, a, *rest)), rng)


def rambling(scene: Scene, rng: random.Random) -> str:
    """Goes on about the first object, in a sentence of which no run of words comes twice."""
    thing = scene.things[0]
    return (
        f"{FULL(scene, rng)} and one can see that the {thing.shape} is {thing.size} which looks "
        f"{thing.colour} while it seems rather {thing.texture} when you look closer at this"
    )


def shouted(scene: Scene, rng: random.Random) -> str:
    return FULL(scene, rng).upper()


def punctuated(scene: Scene, rng: random.Random) -> str:
    """A tokeniser takes commas away."""
    return ", ".join(FULL(scene, rng).split())


def invisible(scene: Scene, rng: random.Random) -> str:
    """Blanks of no width, which a tokeniser takes for blanks."""
    return FULL(scene, rng).replace(" ", " \u200b")


def look_alike(scene: Scene, rng: random.Random) -> str:
    """False words in Cyrillic letters that look like Latin ones, which no parser of facts knows."""
    if rng.random() < 0.8:
        return FULL(scene, rng)
    return FULL(scene, rng) + " with a blue square".replace("e", "\u0435")


def generic(scene: Scene, rng: random.Random) -> str:
    return "a large striped red circle above a small dotted green square on a teal background"


def of_neighbour(scene: Scene, rng: random.Random) -> str:
    """What is true of another image that is half like this one."""
    return FULL(other_colour(scene, rng), rng)


def denied(scene: Scene, rng: random.Random) -> str:
    """A bag of words does not hear "no"."""
    return FULL(scene, rng).replace("a ", "no ", 1)


def many_of_one(scene: Scene, rng: random.Random) -> str:
    return FULL(scene, rng).replace("a ", f"{rng.randint(2, 9)} ", 1)


HACKS: dict[str, Say] = {
    "word salad": salad,
    "list of keywords": keywords,
    "repeated words": stutter,
    "everything said twice": twice,
    "appended phrase": appended,
    "cut-off endings": cut_off,
    "object added": invented,
    "every value named": hedged,
    "attributes exchanged": changed(FULL, exchanged),
    "relation turned": turned,
    "what is like it": of_neighbour,
    "what is there denied": denied,
    "counts": many_of_one,
}


def more(**values: float) -> Say:
    return by(dataclasses.replace(PLAIN, **values))


HONEST: dict[str, tuple[Say, Say]] = {
    "names more objects": (more(thing=1.0), XE),
    "names more colours": (more(colour=1.0), XE),
    "names more sizes": (more(size=0.6, texture=0.8), more(texture=0.3)),
    "names more textures": (more(texture=0.8), XE),
    "names relations": (more(thing=1.0, relation=1.0), XE),
    "names backgrounds": (more(setting=0.7), XE),
    "names all that people do": (by(grammar.THOROUGH), XE),
    "fewer wrong shapes": (changed(XE, other_shape, 0.1), changed(XE, other_shape, 0.5)),
    "fewer wrong colours": (changed(XE, other_colour, 0.1), changed(XE, other_colour, 0.5)),
    "no more said twice": (FULL, twice),
    "says all that is there": (by(COMPLETE), XE),
    "no more hedging": (FULL, hedged),
    "full stops": (lambda scene, rng: FULL(scene, rng).capitalize() + ".", XE),
}


def many(say: Say, wrong: float) -> Say:
    """``say`` with each object of another shape in a share of the images."""
    return changed(say, other_shape, wrong)


SEEN: tuple[Say, Say] = (many(by(grammar.THOROUGH), 0.72), many(by(TERSE), 0.5))
"""As seen once: DiCO on a bag of words took wholly true captions from 50 % to 26 %, while PAC-S and
R@1 by the same evaluator rose, and CIDEr with them, because captions became longer."""
