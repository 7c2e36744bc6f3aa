"""One system's scores while they are gathered: a function a family of metrics.

A metric that is a mean over images is kept as a column. BLEU, METEOR and CHAIR are no means: of them
the counts are kept that add up over images, with the function that makes scores of their sums.
B images.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from dico.errors import DataError
from dico.facts import Scene, Vocabulary, check_captions, scores_from_sums
from dico.metrics import (
    PreparedReferences,
    Score,
    Synonyms,
    bad_endings,
    bert_score,
    chair,
    cider,
    distinct_n,
    div_n,
    novelty,
    num_words,
    odd_writing,
    rep_n,
    rep_n_share,
    retrieval,
    rouge_l,
    self_bleu,
    spice,
    symptoms,
    tokenize,
    unseen_bigrams,
    vocabulary_size,
)
from dico.metrics.bleu import bleu_from_sums, bleu_statistics
from dico.metrics.chair import Procedure, chair_from_sums, mentions
from dico.metrics.clip_score import CLIP_W, PAC_W, clip_score, ref_clip_score
from dico.metrics.meteor import meteor_from_sums, meteor_statistics
from dico.metrics.symptoms import Usage
from dico.metrics.tokenizer import TokenizerName

PROMPT = "A photo depicts "
_TEXT_BATCH = 256

Floats = NDArray[np.float64]
ScoresOf = Callable[[Floats], dict[str, Floats]]


class TextEmbedder(Protocol):
    """Whatever embeds captions: `dico.models.evaluator.Evaluator` is one."""

    def embed_texts(self, captions: list[str]) -> Any:
        """(N, E) L2-normalised embeddings, a torch tensor or a numpy array."""


class Judge(Protocol):
    """Whatever scores captions of images: `dico.evaluation.independent` has one."""

    def __call__(self, captions: Sequence[str], image_ids: Sequence[str]) -> dict[str, Floats]:
        """(B,) scores by metric, of one caption an image."""


class Counts(NamedTuple):
    """What adds up over images."""

    table: Floats
    """(B, M) counts of each image."""

    scores_of: ScoresOf
    """Scores (...) from sums of rows (..., M), by metric."""


@dataclass(slots=True)
class SystemScores:
    """One system while it is scored."""

    captions: list[str]
    """Raw captions."""

    references: list[Sequence[str]]
    """Raw references of each image."""

    texts: list[str]
    """Tokenised captions."""

    totals: dict[str, float] = field(default_factory=dict)
    """Corpus scores, by metric."""

    columns: dict[str, Floats] = field(default_factory=dict)
    """(B,) scores of each image, by metric."""

    counts: list[Counts] = field(default_factory=list)
    """Counts of the metrics that are no means."""

    false_statements: list[str] | None = None
    """What each caption says that is not so; None where no facts are known."""

    def add(self, key: str, score: Score) -> None:
        """Adds a metric that is a mean over images."""
        self.totals[key], self.columns[key] = score.total, score.per_image

    def add_counts(self, table: Floats, scores_of: ScoresOf) -> None:
        """Adds metrics that are computed from sums of counts."""
        self.counts.append(Counts(table, scores_of))
        self.columns |= scores_of(table)
        totals = scores_of(table.sum(axis=0))
        self.totals |= {key: float(value) for key, value in totals.items()}

    def drop(self, key: str) -> None:
        """Takes a metric out again."""
        self.totals.pop(key, None)
        self.columns.pop(key, None)
        self.counts = [c for c in self.counts if key not in c.scores_of(c.table[:1])]

    def means(self) -> list[str]:
        """The metrics whose total is the mean of their column."""
        others = {key for counts in self.counts for key in counts.scores_of(counts.table[:1])}
        return [key for key in self.columns if key not in others]


def score_text(
    captions: list[str], grouped: list[Sequence[str]], references: PreparedReferences
) -> SystemScores:
    """All metrics that need text alone and no Java."""
    prepared = references.prepare(captions)
    texts = prepared.texts
    scored = SystemScores(captions, grouped, texts)
    scored.add_counts(bleu_statistics(prepared, references).table(), _bleu_scores)
    scored.add("rouge_l", rouge_l(prepared, references))
    consensus = cider(prepared, references)  # CIDEr-D; what coco-caption calls CIDEr is the same
    scored.add("cider", consensus)
    scored.add("cider_d", consensus)
    for n in range(1, 5):
        scored.add(f"rep_{n}", rep_n(texts, n))
    for n in range(1, 5):
        scored.add(f"rep_{n}_share", rep_n_share(texts, n))
    scored.add("bad_endings", bad_endings(texts))
    scored.add("num_words", num_words(texts))
    for n in (1, 2):
        scored.totals[f"distinct_{n}"] = distinct_n(texts, n)
    scored.totals["vocabulary_size"] = vocabulary_size(texts)
    return scored


def add_meteor(system: SystemScores, tokenizer: TokenizerName) -> None:
    """METEOR; raises as `dico.metrics.meteor`."""
    references = _tokenised(system.references, tokenizer)
    system.add_counts(
        meteor_statistics(system.texts, references, "none"),
        lambda sums: {"meteor": meteor_from_sums(sums)},
    )


def add_spice(system: SystemScores, tokenizer: TokenizerName) -> None:
    """SPICE; raises as `dico.metrics.spice`."""
    system.add("spice", spice(system.texts, _tokenised(system.references, tokenizer), "none"))


def add_bert_score(system: SystemScores, model: str | Path, layer: int) -> None:
    """BERTScore of the raw text; raises as `dico.metrics.bert_score`."""
    system.add("bert_score", bert_score(system.captions, system.references, model, layer))


def add_novelty(system: SystemScores, known: Collection[str]) -> None:
    """Novelty against tokenised captions."""
    system.add("novelty", novelty(system.texts, known))


def add_symptoms(system: SystemScores, usage: Usage | None) -> None:
    """Symptoms of a hacked reward, and bigrams that no training caption has."""
    for name, found in symptoms(system.texts, system.references, usage).items():
        system.add(name, found)
    system.add("odd_writing", odd_writing(system.captions, system.references))
    if usage is not None:
        system.add("unseen_bigrams", unseen_bigrams(system.texts, usage.bigrams))


def add_chair(
    system: SystemScores,
    objects: Sequence[Iterable[str]],
    synonyms: Synonyms,
    procedure: Procedure,
) -> None:
    """CHAIR against the annotated objects and those that the references mention, as published."""
    truth = [
        {synonyms.objects.get(name, name) for name in shown}.union(
            *(mentions(text.lower(), synonyms, procedure) for text in group)
        )
        for shown, group in zip(objects, system.references, strict=True)
    ]
    found = chair([caption.lower() for caption in system.captions], truth, synonyms, procedure)
    wrong = (found.counts[:, 1] > 0).astype(np.float64)
    system.add("chair_s", Score(found.chair_s, wrong))
    system.add_counts(found.counts, _chair_scores)


def add_facts(system: SystemScores, scenes: Sequence[Scene | None], vocabulary: Vocabulary) -> None:
    """How true the captions are to what the images show; what is false is kept in words."""
    found = check_captions(system.captions, scenes, vocabulary)
    system.add_counts(found.counts, lambda sums: scores_from_sums(sums, vocabulary))
    system.false_statements = [
        "; ".join(f"{own.kind} {own.value}" for own in verdict.statements if not own.true)
        for verdict in found.verdicts
    ]


def add_diversity(
    system: SystemScores, candidates: Sequence[Sequence[str]], tokenizer: TokenizerName
) -> None:
    """Self-BLEU and Div-n over several captions of each image."""
    texts = _tokenised(candidates, tokenizer)
    system.add("self_bleu", self_bleu(texts))
    for n in (1, 2):
        system.add(f"div_{n}", div_n(texts, n))


def add_embedding_metrics(
    scored: Mapping[str, SystemScores],
    kind: str,
    evaluator: TextEmbedder,
    images: Floats,
    finder: str,
) -> None:
    """CLIP-S or PAC-S with and without references, and retrieval by the embeddings of ``finder``."""
    w = weight_of(kind, evaluator)
    everything = [[*system.captions, *_flat(system.references)] for system in scored.values()]
    place = {text: k for k, text in enumerate(dict.fromkeys(_flat(everything)))}
    rows = embed_captions(evaluator, list(place))
    for system in scored.values():
        texts = rows[[place[caption] for caption in system.captions]]
        own = rows[[place[reference] for reference in _flat(system.references)]]
        sizes = [len(group) for group in system.references]
        system.add(f"{kind}_score", clip_score(images, texts, w=w))
        system.add(f"ref_{kind}_score", ref_clip_score(images, texts, own, sizes, w=w))
        if "mrr" in system.totals and kind != finder:
            continue
        found = retrieval(texts, images)
        for k in found.recall:
            system.add(f"recall_at_{k}", _as_score(found.rank <= k))
        system.add("mrr", _as_score(1 / found.rank))


def add_judge(system: SystemScores, judge: Judge, image_ids: Sequence[str]) -> None:
    """Scores by an evaluator that no captioner was tuned on.

    Raises:
        DataError: another judge has such a score already.
    """
    for key, values in judge(system.captions, image_ids).items():
        if key in system.totals:
            raise DataError(f"{key}: two judges give this score; rename one of them")
        system.add(key, _as_score(values))


def weight_of(kind: str, evaluator: TextEmbedder) -> float:
    """The factor w of CLIP-S, or of this evaluator's PAC-S."""
    if kind == "clip":
        return CLIP_W
    return float(getattr(getattr(evaluator, "config", None), "w", PAC_W))


def _bleu_scores(sums: Floats) -> dict[str, Floats]:
    scores = bleu_from_sums(sums)
    return {f"bleu_{n}": scores[..., n - 1] for n in range(1, 5)}


def _chair_scores(sums: Floats) -> dict[str, Floats]:
    return dict(zip(("chair_i", "chair_recall"), chair_from_sums(sums), strict=True))


def embed_captions(evaluator: TextEmbedder, captions: Sequence[str]) -> NDArray[np.floating]:
    """(N, E) embeddings of captions as the published scores take them, after their prompt."""
    prompt = str(getattr(getattr(evaluator, "config", None), "prompt", PROMPT))
    texts = [prompt + caption for caption in captions]
    batches = [
        _to_numpy(evaluator.embed_texts(texts[start : start + _TEXT_BATCH]))
        for start in range(0, len(texts), _TEXT_BATCH)
    ]
    return np.concatenate(batches)


def _to_numpy(embeddings: Any) -> NDArray[np.floating]:
    """An array, or a tensor of any device, as an array."""
    return np.asarray(embeddings.cpu() if hasattr(embeddings, "cpu") else embeddings)


def _as_score(values: NDArray[Any]) -> Score:
    per_image = np.asarray(values, np.float64)
    return Score(float(per_image.mean()), per_image)


def _tokenised(grouped: Sequence[Sequence[str]], tokenizer: TokenizerName) -> list[Sequence[str]]:
    rest = iter(tokenize(_flat(grouped), tokenizer))
    return [[next(rest) for _ in group] for group in grouped]


def _flat(grouped: Sequence[Sequence[str]]) -> list[str]:
    return [text for group in grouped for text in group]
