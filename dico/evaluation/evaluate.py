"""Scores captions that are already written: all metrics, their intervals, and what differs.

Captions first, scores second: the same captions can be scored again when a metric is added.
Several systems are scored on the same images, so that their differences can be tested in pairs.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dico.configuration.schema import to_dict
from dico.errors import DataError, DicoError, UsageError
from dico.evaluation.config import EvaluationConfig
from dico.evaluation.scores import (
    PROMPT,
    Judge,
    SystemScores,
    TextEmbedder,
    add_bert_score,
    add_chair,
    add_diversity,
    add_embedding_metrics,
    add_facts,
    add_judge,
    add_meteor,
    add_novelty,
    add_spice,
    add_symptoms,
    score_text,
    weight_of,
)
from dico.evaluation.systems import HUMAN
from dico.facts import Scene, Vocabulary
from dico.metrics import (
    PreparedReferences,
    Synonyms,
    interval,
    meteor_missing,
    paired_difference,
    resample_sums,
    spice_missing,
    tokenize,
    usage_of,
)
from dico.metrics.collapse import collapse_warnings
from dico.metrics.scores import name_some
from dico.storage import atomic_write

__all__ = [
    "PROMPT",
    "Evaluation",
    "EvaluationConfig",
    "TextEmbedder",
    "evaluate",
]

T = TypeVar("T")
FORMAT = 1
METRICS_FILE = "metrics.json"
PER_IMAGE_FILE = "per_image.jsonl"


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
        """Writes metrics.json, and per_image.jsonl with a line an image and system."""
        columns = list(self.per_image.values())
        rows = (dict(zip(self.per_image, row, strict=True)) for row in zip(*columns, strict=True))
        with atomic_write(Path(folder) / PER_IMAGE_FILE) as temporary:
            lines = (json.dumps(row, allow_nan=False) + "\n" for row in rows)
            temporary.write_text("".join(lines), encoding="utf-8")
        with atomic_write(Path(folder) / METRICS_FILE) as temporary:
            temporary.write_text(json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n")

    @classmethod
    def load(cls, folder: str | Path) -> "Evaluation":
        """Reads what `save` wrote.

        Raises:
            DataError: a file is missing or not what its name says.
        """
        try:
            data = json.loads((Path(folder) / METRICS_FILE).read_text(encoding="utf-8"))
            rows = read_per_image(folder)
            per_image = {key: [row[key] for row in rows] for key in (rows[0] if rows else ())}
            names = ("systems", "intervals", "differences", "num_images", "settings")
            fields = {name: data[name] for name in (*names, "warnings", "notes")}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{folder}: not a saved evaluation: {error}") from None
        return cls(per_image=per_image, **fields)

    def table(self) -> str:
        """The scores as aligned text: a row a metric, a column a system, intervals in brackets."""
        from dico.metrics.table import render_table

        return render_table(self.to_dict())


def read_per_image(folder: str | Path) -> list[dict[str, Any]]:
    """The rows of a saved evaluation: image_id, system, caption, references and metrics.

    Raises:
        DataError: the file is missing or not JSON lines of objects.
    """
    path = Path(folder) / PER_IMAGE_FILE
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: not an evaluation's scores: {error}") from None
    if not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{path}: not an evaluation's scores: a line is not a JSON object")
    return rows


def evaluate(
    systems: Mapping[str, Mapping[str, str]],
    references: Mapping[str, Sequence[str]],
    image_embeddings: Mapping[str, Mapping[str, NDArray[np.floating]]] | None = None,
    evaluators: Mapping[str, TextEmbedder] | None = None,
    config: EvaluationConfig = EvaluationConfig(),  # noqa: B008  (frozen)
    training_captions: Iterable[str] | None = None,
    objects: Mapping[str, Collection[str]] | None = None,
    synonyms: Synonyms | None = None,
    candidates: Mapping[str, Mapping[str, Sequence[str]]] | None = None,
    scenes: Mapping[str, Scene] | None = None,
    vocabulary: Vocabulary | None = None,
    judges: Sequence[Judge] = (),
) -> Evaluation:
    """Scores the captions of each system against the same references.

    Args:
        systems: {name: {image id: caption}}, the system of interest first.
        references: {image id: human captions}; their numbers may differ.
        image_embeddings: {"clip" or "pac": {image id: (E,) L2-normalised}}, for the evaluators.
        evaluators: {"clip" or "pac": embedder of captions}: CLIP-S, PAC-S and retrieval.
        config: what to compute.
        training_captions: raw captions of the training split, for novelty and unseen bigrams.
        objects: {image id: names of what the image shows}, for CHAIR.
        synonyms: names of objects, for CHAIR.
        candidates: {system: {image id: several captions}}, for self-BLEU and Div-n.
        scenes: {image id: what the image shows}, for how true captions are.
        vocabulary: of the scenes.
        judges: scores that nothing was tuned on, of captions in the order of ``references``.

    Raises:
        DataError: an image lacks a caption, references, objects or candidates; the ids are in the
            message.
        UsageError: objects without synonyms.
    """
    notes: list[str] = []
    image_ids = common_ids(systems, references, config.partial, notes)
    grouped: list[Sequence[str]] = [list(references[i]) for i in image_ids]
    prepared = PreparedReferences(grouped, tokenizer=config.tokenizer)
    scored: dict[str, SystemScores] = {}
    for name, captions in systems.items():
        scored[name] = score_text([captions[i] for i in image_ids], grouped, prepared)
    if config.human and HUMAN not in systems and min(map(len, grouped)) >= 2:
        others = [group[1:] for group in grouped]
        first = [group[0] for group in grouped]
        scored[HUMAN] = score_text(
            first, others, PreparedReferences(others, tokenizer=config.tokenizer)
        )
    _add_java_metrics(scored, config, notes)
    usage = None
    if training_captions is not None:
        known = tokenize(list(training_captions), config.tokenizer)
        usage, sentences = usage_of(known), set(known)
        for system in scored.values():
            add_novelty(system, sentences)
    for system in scored.values():
        add_symptoms(system, usage)
    if config.bert_model:
        for system in scored.values():
            add_bert_score(system, config.bert_model, config.bert_layer)
    if objects is not None:
        if synonyms is None:
            raise UsageError("CHAIR needs a list of synonyms beside the objects of the images")
        shown = _of_each(objects, image_ids, "objects")
        for system in scored.values():
            add_chair(system, shown, synonyms, config.chair)
    if vocabulary is not None and scenes:
        described = [scenes.get(i) for i in image_ids]
        num_described = sum(scene is not None for scene in described)
        if num_described < len(image_ids):
            notes.append(f"facts: known of {num_described} of {len(image_ids)} images")
        for system in scored.values() if num_described else ():
            add_facts(system, described, vocabulary)
    for name, own in (candidates or {}).items():
        add_diversity(scored[name], _of_each(own, image_ids, "candidates"), config.tokenizer)
    for kind, evaluator in (evaluators or {}).items():
        images = _stack(image_embeddings, kind, image_ids)
        add_embedding_metrics(scored, kind, evaluator, images, config.retrieval)
    for judge in judges:
        for system in scored.values():
            add_judge(system, judge, image_ids)
    weights = {kind: weight_of(kind, evaluator) for kind, evaluator in (evaluators or {}).items()}
    return _summarise(scored, image_ids, config, notes, weights)


def common_ids(
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
        lacking = (
            (unknown, "captions without references", f"{len(captions)} captions"),
            (missing, "no caption for", f"{len(references)} images"),
        )
        for ids, what, total in lacking:
            if ids and not partial:
                raise DataError(
                    f"{name}: {what} {name_some(ids)} ({len(ids)} of {total}); "
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


def _add_java_metrics(
    scored: dict[str, SystemScores], config: EvaluationConfig, notes: list[str]
) -> None:
    """METEOR and SPICE where they can be had; where not, or where Java fails, a note says so."""
    wanted: list[tuple[str, bool, Callable[[], str], Callable[..., None]]] = [
        ("METEOR", config.meteor, meteor_missing, add_meteor),
        ("SPICE", config.spice, spice_missing, add_spice),
    ]
    for name, asked, missing, add in wanted:
        if not asked:
            continue
        reason = missing()
        try:
            for system in scored.values() if not reason else ():
                add(system, config.tokenizer)
        except (DicoError, OSError) as error:
            reason = str(error)
            for system in scored.values():
                system.drop(name.lower())
        if reason:
            notes.append(f"{name} not computed: {reason.removeprefix(f'{name}: ')}")


def _of_each(given: Mapping[str, T], image_ids: Sequence[str], what: str) -> list[T]:
    missing = [i for i in image_ids if i not in given]
    if missing:
        raise DataError(f"{what}: none for {name_some(missing)}")
    return [given[i] for i in image_ids]


def _summarise(
    scored: dict[str, SystemScores],
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


def _resample(system: SystemScores, config: EvaluationConfig) -> dict[str, NDArray[np.float64]]:
    """Each metric's scores on the resamples, which are the same for every system."""
    if not config.num_resamples:
        return {}
    means = system.means()
    blocks = [counts.table for counts in system.counts]
    blocks += [system.columns[key][:, None] for key in means]
    resampled = resample_sums(np.concatenate(blocks, axis=1), config.num_resamples, config.seed)
    ends = np.cumsum([block.shape[1] for block in blocks])[:-1]
    parts = iter(np.split(resampled, ends, axis=1))
    scores: dict[str, NDArray[np.float64]] = {}
    for counts in system.counts:
        scores |= counts.scores_of(next(parts))
    return scores | {key: next(parts)[:, 0] / len(system.captions) for key in means}


def _per_image_columns(
    scored: dict[str, SystemScores], image_ids: list[str]
) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {
        "image_id": [i for _ in scored for i in image_ids],
        "system": [name for name in scored for _ in image_ids],
        "caption": [c for system in scored.values() for c in system.captions],
        "references": [list(r) for system in scored.values() for r in system.references],
    }
    empty = [None] * len(image_ids)
    if any(system.false_statements for system in scored.values()):
        told = (system.false_statements or empty for system in scored.values())
        columns["false_statements"] = [text for own in told for text in own]
    for key in dict.fromkeys(key for system in scored.values() for key in system.columns):
        own = (s.columns[key].tolist() if key in s.columns else empty for s in scored.values())
        columns[key] = [value for values in own for value in values]
    return columns


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
