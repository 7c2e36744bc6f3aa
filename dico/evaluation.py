"""Scores captions that are already written: all metrics, their intervals, and what differs.

Captions first, scores second: the same captions can be scored again when a metric is added.
Several systems are scored on the same images, so that their differences can be tested in pairs.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from dico.config_schema import check, to_dict
from dico.errors import DataError, DicoError
from dico.metrics import (
    PreparedReferences,
    Score,
    bad_endings,
    cider,
    distinct_n,
    interval,
    meteor_missing,
    novelty,
    num_words,
    paired_difference,
    rep_n,
    rep_n_share,
    resample_sums,
    retrieval,
    rouge_l,
    tokenize,
    vocabulary_size,
)
from dico.metrics.bleu import bleu_from_sums, bleu_statistics
from dico.metrics.clip_score import CLIP_W, PAC_W, clip_score, ref_clip_score
from dico.metrics.collapse import collapse_warnings
from dico.metrics.meteor import meteor_from_sums, meteor_statistics
from dico.metrics.scores import name_some
from dico.metrics.spice import spice, spice_missing
from dico.storage import atomic_write

FORMAT = 1
HUMAN = "human"
METRICS_FILE = "metrics.json"
PER_IMAGE_FILE = "per_image.parquet"
PROMPT = "A photo depicts "
_BLEU_KEYS = ("bleu_1", "bleu_2", "bleu_3", "bleu_4")
_TEXT_BATCH = 256


class TextEmbedder(Protocol):
    """Whatever embeds captions: `dico.models.evaluator.Evaluator` is one."""

    def embed_texts(self, captions: list[str]) -> Any:
        """(N, E) L2-normalised embeddings, a torch tensor or a numpy array."""


@dataclass(frozen=True)
class EvaluationConfig:
    """What is computed, and how."""

    tokenizer: Literal["python", "java", "none"] = "python"
    """PTB tokeniser: python needs no Java, java is the original, none takes the text as it is."""

    meteor: bool = True
    """METEOR, where Java and pycocoevalcap are installed."""

    spice: bool = False
    """SPICE, where Java and its Stanford models are installed; minutes for a large set."""

    retrieval: Literal["clip", "pac"] = "clip"
    """Whose embeddings find a caption's picture; where only one evaluator is given, that one."""

    human: bool = True
    """Whether each image's first reference is scored against its others, as the system "human"."""

    partial: bool = False
    """Whether images that lack a caption or references are left out; else they are an error."""

    num_resamples: int = 1000
    """Bootstrap resamples behind each interval; 0 for none."""

    confidence: float = 0.95
    """Of the intervals, in (0, 1)."""

    seed: int = 0
    """Of the resamples."""

    def __post_init__(self) -> None:
        """Checks the ranges."""
        check(self.num_resamples >= 0, "num_resamples", self.num_resamples, "at least 0")
        check(0 < self.confidence < 1, "confidence", self.confidence, "in (0, 1)")
        check(self.seed >= 0, "seed", self.seed, "at least 0")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The scores of one or more systems on the same images.

    Attributes:
        systems: {system: {metric: score}}.
        intervals: {system: {metric: [low, high]}}.
        differences: {"a - b": {metric: {"difference", "low", "high", "p_value"}}}.
        num_images: how many images were scored.
        settings: how the numbers came about.
        warnings: sentences about captioners that collapsed, worst first.
        notes: what was not computed or left out, and why.
        per_image: columns of equal length: image_id, system, caption, references, metrics.
    """

    systems: dict[str, dict[str, float]]
    intervals: dict[str, dict[str, list[float]]]
    differences: dict[str, dict[str, dict[str, float]]]
    num_images: int
    settings: dict[str, Any]
    warnings: list[str]
    notes: list[str]
    per_image: dict[str, list[Any]]

    def to_dict(self) -> dict[str, Any]:
        """The content of metrics.json: the first system's metrics flat, then all systems."""
        first: dict[str, Any] = dict(next(iter(self.systems.values())))
        return first | {
            "format": FORMAT,
            "systems": self.systems,
            "intervals": self.intervals,
            "differences": self.differences,
            "num_images": self.num_images,
            "settings": self.settings,
            "warnings": self.warnings,
            "notes": self.notes,
        }

    def save(self, folder: str | Path) -> None:
        """Writes metrics.json and per_image.parquet into ``folder``."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        with atomic_write(Path(folder) / PER_IMAGE_FILE) as temporary:
            pq.write_table(pa.table(self.per_image), temporary)
        with atomic_write(Path(folder) / METRICS_FILE) as temporary:
            temporary.write_text(json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n")

    @classmethod
    def load(cls, folder: str | Path) -> "Evaluation":
        """Reads what `save` wrote.

        Raises:
            DataError: a file is missing or not what its name says.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = Path(folder) / METRICS_FILE
        try:
            data = json.loads(path.read_text())
            per_image = pq.read_table(Path(folder) / PER_IMAGE_FILE).to_pydict()
            names = ("systems", "intervals", "differences", "num_images", "settings")
            fields = {name: data[name] for name in (*names, "warnings", "notes")}
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
            raise DataError(f"{folder}: not a saved evaluation: {error}") from None
        return cls(per_image=per_image, **fields)

    def table(self) -> str:
        """The scores as aligned text: a row a metric, a column a system, intervals in brackets."""
        from dico.metrics.table import render_table

        return render_table(self.to_dict())


@dataclass(slots=True)
class _Scored:
    """One system while it is scored; ``sums`` hold what BLEU and METEOR add up over images."""

    captions: list[str]
    references: list[Sequence[str]]
    texts: list[str]
    totals: dict[str, float] = field(default_factory=dict)
    columns: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    sums: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    def add(self, key: str, score: Score) -> None:
        self.totals[key], self.columns[key] = score.total, score.per_image

    def drop(self, key: str) -> None:
        for scores in (self.totals, self.columns, self.sums):
            scores.pop(key, None)


def evaluate(
    systems: Mapping[str, Mapping[str, str]],
    references: Mapping[str, Sequence[str]],
    image_embeddings: Mapping[str, Mapping[str, NDArray[np.floating]]] | None = None,
    evaluators: Mapping[str, TextEmbedder] | None = None,
    config: EvaluationConfig = EvaluationConfig(),
    training_captions: Iterable[str] | None = None,
) -> Evaluation:
    """Scores the captions of each system against the same references.

    Args:
        systems: {name: {image id: caption}}, the system of interest first.
        references: {image id: captions of people}; their numbers may differ.
        image_embeddings: {"clip" or "pac": {image id: (E,) L2-normalised}}, for the evaluators.
        evaluators: {"clip" or "pac": embedder of captions}: CLIP-S, PAC-S and retrieval.
        config: what to compute.
        training_captions: raw captions of the training split, for novelty.

    Raises:
        DataError: an image lacks a caption or references; the ids are in the message.
    """
    notes: list[str] = []
    image_ids = _common_ids(systems, references, config.partial, notes)
    grouped: list[Sequence[str]] = [list(references[i]) for i in image_ids]
    prepared = PreparedReferences(grouped, tokenizer=config.tokenizer)
    scored: dict[str, _Scored] = {}
    for name, captions in systems.items():
        scored[name] = _score_text([captions[i] for i in image_ids], grouped, prepared)
    if config.human and HUMAN not in systems and min(map(len, grouped)) >= 2:
        others = [group[1:] for group in grouped]
        first = [group[0] for group in grouped]
        scored[HUMAN] = _score_text(
            first, others, PreparedReferences(others, tokenizer=config.tokenizer)
        )
    _add_java_metrics(scored, config, notes)
    if training_captions is not None:
        known = set(tokenize(list(training_captions), config.tokenizer))
        for system in scored.values():
            system.add("novelty", novelty(system.texts, known))
    for kind, evaluator in (evaluators or {}).items():
        images = _stack(image_embeddings, kind, image_ids)
        _add_embedding_metrics(scored, kind, evaluator, images, config.retrieval)
    return _summarise(scored, image_ids, config, notes, _weights_used(evaluators or {}))


def _common_ids(
    systems: Mapping[str, Mapping[str, str]],
    references: Mapping[str, Sequence[str]],
    partial: bool,
    notes: list[str],
) -> list[str]:
    """Ids that every system and the references have, in the order of the references."""
    if not systems:
        raise DataError("systems: expected at least one")
    for name, captions in systems.items():
        bad = [i for i, caption in captions.items() if not isinstance(caption, str)]
        if bad:
            raise DataError(f"{name}: captions that are not text: {name_some(bad)}")
        unknown = [i for i in captions if not references.get(i)]
        missing = [i for i in references if i not in captions]
        for ids, what in ((unknown, "captions without references"), (missing, "no caption for")):
            if ids and not partial:
                raise DataError(
                    f"{name}: {what} {name_some(ids)} ({len(ids)} of {len(references)} images); "
                    "--partial scores the others"
                )
            if ids:
                notes.append(f"{name}: left out: {what} {name_some(ids)}")
    common = [i for i in references if references[i] and all(i in s for s in systems.values())]
    if not common:
        raise DataError("captions and references have no image id in common")
    if len(common) < len(references):
        notes.append(f"scored {len(common)} of {len(references)} images")
    return common


def _score_text(
    captions: list[str], grouped: list[Sequence[str]], references: PreparedReferences
) -> _Scored:
    """All metrics that need text alone and no Java."""
    prepared = references.prepare(captions)
    scored = _Scored(captions, grouped, prepared.texts)
    table = scored.sums["bleu"] = bleu_statistics(prepared, references).table()
    totals, per_image = bleu_from_sums(table.sum(axis=0)), bleu_from_sums(table)
    for n, key in enumerate(_BLEU_KEYS):
        scored.add(key, Score(float(totals[n]), per_image[:, n]))
    scored.add("rouge_l", rouge_l(prepared, references))
    scored.add("cider", cider(prepared, references))
    scored.add("cider_d", cider(prepared, references))
    for n in range(1, 5):
        scored.add(f"rep_{n}", rep_n(prepared.texts, n))
    for n in range(1, 5):
        scored.add(f"rep_{n}_share", rep_n_share(prepared.texts, n))
    scored.add("bad_endings", bad_endings(prepared.texts))
    scored.add("num_words", num_words(prepared.texts))
    for n in (1, 2):
        scored.totals[f"distinct_{n}"] = distinct_n(prepared.texts, n)
    scored.totals["vocabulary_size"] = vocabulary_size(prepared.texts)
    return scored


def _add_java_metrics(
    scored: dict[str, _Scored], config: EvaluationConfig, notes: list[str]
) -> None:
    """METEOR and SPICE where they can be had; where not, or where Java fails, a note says so."""
    for name, wanted, missing, add in (
        ("METEOR", config.meteor, meteor_missing, _add_meteor),
        ("SPICE", config.spice, spice_missing, _add_spice),
    ):
        if not wanted:
            continue
        reason = missing()
        try:
            for system in scored.values() if not reason else ():
                flat = tokenize(_flat(system.references), config.tokenizer)
                add(system, _regroup(flat, system.references))
        except (DicoError, OSError) as error:
            reason = str(error)
            for system in scored.values():
                system.drop(name.lower())
        if reason:
            notes.append(f"{name} not computed: {reason.removeprefix(f'{name}: ')}")


def _add_meteor(system: _Scored, references: list[Sequence[str]]) -> None:
    table = system.sums["meteor"] = meteor_statistics(system.texts, references, "none")
    total = float(meteor_from_sums(table.sum(axis=0)))
    system.add("meteor", Score(total, meteor_from_sums(table)))


def _add_spice(system: _Scored, references: list[Sequence[str]]) -> None:
    system.add("spice", spice(system.texts, references, "none"))


def _add_embedding_metrics(
    scored: dict[str, _Scored],
    kind: str,
    evaluator: TextEmbedder,
    images: NDArray[np.float64],
    finder: str,
) -> None:
    """CLIP-S or PAC-S with and without references, and retrieval by the embeddings of ``finder``."""
    w = CLIP_W if kind == "clip" else _weight_of(evaluator)
    everything = [[*system.captions, *_flat(system.references)] for system in scored.values()]
    place = {text: k for k, text in enumerate(dict.fromkeys(_flat(everything)))}
    rows = _embed(evaluator, list(place))
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


def _summarise(
    scored: dict[str, _Scored],
    image_ids: list[str],
    config: EvaluationConfig,
    notes: list[str],
    weights: dict[str, float],
) -> Evaluation:
    resamples = {name: _resample(system, config) for name, system in scored.items()}
    intervals: dict[str, dict[str, list[float]]] = {
        name: {key: list(interval(values, config.confidence)) for key, values in own.items()}
        for name, own in resamples.items()
    }
    differences: dict[str, dict[str, dict[str, float]]] = {}
    for one, other in combinations(scored, 2):
        differences[f"{one} - {other}"] = {
            key: paired_difference(
                scored[one].totals[key],
                scored[other].totals[key],
                values,
                resamples[other][key],
                config.confidence,
            )._asdict()
            for key, values in resamples[one].items()
            if key in resamples[other]
        }
    return Evaluation(
        systems={name: system.totals for name, system in scored.items()},
        intervals=intervals,
        differences=differences,
        num_images=len(image_ids),
        settings=to_dict(config) | {"w": weights},
        warnings=[
            warning
            for name, system in scored.items()
            if name != HUMAN
            for warning in collapse_warnings(name, system.texts, system.references)
        ],
        notes=notes,
        per_image=_per_image_columns(scored, image_ids),
    )


def _resample(system: _Scored, config: EvaluationConfig) -> dict[str, NDArray[np.float64]]:
    """Each metric's scores on the resamples, which are the same for every system."""
    if not config.num_resamples:
        return {}
    means = [key for key in system.columns if key not in (*_BLEU_KEYS, "meteor")]
    blocks = [*system.sums.values(), *(system.columns[key][:, None] for key in means)]
    resampled = resample_sums(np.concatenate(blocks, axis=1), config.num_resamples, config.seed)
    ends = np.cumsum([block.shape[1] for block in blocks])[:-1]
    parts = iter(np.split(resampled, ends, axis=1))
    scores: dict[str, NDArray[np.float64]] = {}
    for name in system.sums:
        if name == "bleu":
            scores |= dict(zip(_BLEU_KEYS, bleu_from_sums(next(parts)).T, strict=True))
        else:
            scores[name] = meteor_from_sums(next(parts))
    return scores | {key: next(parts)[:, 0] / len(system.captions) for key in means}


def _per_image_columns(scored: dict[str, _Scored], image_ids: list[str]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {
        "image_id": [i for _ in scored for i in image_ids],
        "system": [name for name in scored for _ in image_ids],
        "caption": [c for system in scored.values() for c in system.captions],
        "references": [list(r) for system in scored.values() for r in system.references],
    }
    for key in next(iter(scored.values())).columns:
        columns[key] = [v for s in scored.values() for v in s.columns[key].tolist()]
    return columns


def _embed(evaluator: TextEmbedder, captions: Sequence[str]) -> NDArray[np.floating]:
    prompt = str(getattr(getattr(evaluator, "config", None), "prompt", PROMPT))
    texts = [prompt + caption for caption in captions]
    batches = [
        np.asarray(evaluator.embed_texts(texts[start : start + _TEXT_BATCH]))
        for start in range(0, len(texts), _TEXT_BATCH)
    ]
    return np.concatenate(batches)


def _stack(
    image_embeddings: Mapping[str, Mapping[str, NDArray[np.floating]]] | None,
    kind: str,
    image_ids: Sequence[str],
) -> NDArray[np.float64]:
    own = (image_embeddings or {}).get(kind, {})
    missing = [i for i in image_ids if i not in own]
    if missing:
        raise DataError(f"evaluator {kind}: no image embedding for {name_some(missing)}")
    return np.stack([np.asarray(own[i], np.float64) for i in image_ids])


def _weight_of(evaluator: TextEmbedder) -> float:
    return float(getattr(getattr(evaluator, "config", None), "w", PAC_W))


def _weights_used(evaluators: Mapping[str, TextEmbedder]) -> dict[str, float]:
    return {kind: CLIP_W if kind == "clip" else _weight_of(e) for kind, e in evaluators.items()}


def _as_score(values: NDArray[Any]) -> Score:
    per_image = np.asarray(values, np.float64)
    return Score(float(per_image.mean()), per_image)


def _flat(grouped: Sequence[Sequence[str]]) -> list[str]:
    return [text for group in grouped for text in group]


def _regroup(flat: list[str], like: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    rest = iter(flat)
    return [[next(rest) for _ in group] for group in like]
