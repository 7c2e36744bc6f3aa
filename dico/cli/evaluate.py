"""``dico evaluate``: scores of caption files, their intervals and what differs."""

import dataclasses
import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dico.cli.options import CaptionColumn, ImageColumn, Where, local_file
from dico.images.limits import MAX_PIXELS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from PIL import Image

    from dico.data.formats import Columns
    from dico.evaluation.files import References
    from dico.evaluation.scores import Judge

_IMAGE_BATCH = 32
_LEFT_OUT = {
    "caption_rejected": "marked as rejected or pre-canned",
    "caption_not_chosen": "of rows that --where leaves out",
    "caption_tags_beside": "tags beside a sentence",
    "caption_twice_in_sample": "in a row or sample twice",
}


class ChairChoice(StrEnum):
    """Names of CHAIR's procedures."""

    lemma = "lemma"
    singular = "singular"


class TokenizerChoice(StrEnum):
    """Names of the tokenisers."""

    python = "python"
    java = "java"
    none = "none"


def evaluate(
    captions: Annotated[
        Path,
        typer.Argument(
            parser=local_file,
            metavar="captions",
            help="COCO results JSON, {id: caption}, or JSON lines.",
        ),
    ],
    references: Annotated[
        Path,
        typer.Option(
            parser=local_file,
            metavar="<path>",
            help="{id: [captions]}, COCO or Karpathy JSON, or JSON lines.",
        ),
    ],
    images: Annotated[
        str, typer.Option(help="Folder or prefix of the images, for CLIP-S, PAC-S and the page.")
    ] = "",
    evaluator: Annotated[
        Path | None,
        typer.Option(envvar="DICO_EVALUATOR", help="Folder of the evaluator that scores --images."),
    ] = None,
    compare: Annotated[
        list[Path] | None,
        typer.Option(
            parser=local_file,
            metavar="<path>",
            help="Captions of another system; may be repeated.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder for metrics.json, per_image.jsonl and a page.")
    ] = None,
    training: Annotated[
        Path | None,
        typer.Option(
            parser=local_file,
            metavar="<path>",
            help="References file of the training split, for novelty.",
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="Split of a Karpathy JSON; test if it has one.")] = "",
    image_column: ImageColumn = "",
    caption_column: CaptionColumn = "",
    where: Where = "",
    max_pixels: Annotated[
        int, typer.Option(min=1, help="Maximum width x height of a scored image.")
    ] = MAX_PIXELS,
    partial: Annotated[
        bool,
        typer.Option(
            "--partial", help="Leave out images that lack a caption or references; say how many."
        ),
    ] = False,
    tokenizer: Annotated[
        TokenizerChoice, typer.Option(help="python needs no Java and gives the same tokens.")
    ] = TokenizerChoice.python,
    meteor: Annotated[bool, typer.Option(help="METEOR, if Java is installed.")] = True,
    spice: Annotated[
        bool, typer.Option(help="SPICE, if Java and its models are installed.")
    ] = False,
    objects: Annotated[
        Path | None,
        typer.Option(help="Objects in the images, for CHAIR: {id: [names]} or COCO instances."),
    ] = None,
    synonyms: Annotated[
        Path | None,
        typer.Option(
            help="Names of objects, for CHAIR: one object per line, names separated by commas."
        ),
    ] = None,
    chair: Annotated[
        ChairChoice, typer.Option(help="How CHAIR matches objects; singular as in 2018.")
    ] = ChairChoice.lemma,
    facts: Annotated[
        Path | None,
        typer.Option(help="Facts about the images, JSON lines; scores how true the captions are."),
    ] = None,
    candidates: Annotated[
        Path | None,
        typer.Option(help="Several captions of each image by CAPTIONS' system, for self-BLEU."),
    ] = None,
    bert_model: Annotated[
        Path | None, typer.Option(help="Folder of a text encoder, for BERTScore.")
    ] = None,
    bert_layer: Annotated[int, typer.Option(min=0, help="Its layer; 0 for the last.")] = 0,
    judge: Annotated[
        list[str] | None,
        typer.Option(help="Judge plug-in, by name; may be repeated."),
    ] = None,
    human: Annotated[
        bool, typer.Option(help="Score each image's first reference against its others too.")
    ] = True,
    num_resamples: Annotated[
        int, typer.Option(min=0, help="Bootstrap resamples; 0 for no intervals.")
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap.")] = 0,
) -> None:
    """Score captions against references: all metrics, their intervals, and what differs."""
    from dico.data.formats import Columns
    from dico.errors import UsageError
    from dico.evaluation.config import EvaluationConfig
    from dico.evaluation.evaluate import common_ids
    from dico.evaluation.evaluate import evaluate as score
    from dico.evaluation.files import (
        read_candidates,
        read_captions,
        read_objects,
        read_training_captions,
        read_truth,
        require_columns,
        write_captions,
    )
    from dico.evaluation.remarks import remarks
    from dico.facts import read_facts
    from dico.metrics import Synonyms
    from dico.metrics.scores import name_some
    from dico.plugins import JUDGES

    if (objects is None) != (synonyms is None):
        raise UsageError("CHAIR needs both --objects and --synonyms; see docs/metrics.md")
    for name in judge or []:
        JUDGES.check(name)
    _refuse_unused(evaluator, images, bert_model, bert_layer)
    columns = Columns.named(image_column, caption_column, where)
    named = names_of([captions, *(compare or [])])
    if columns != Columns():
        require_columns([captions, *(compare or []), references], columns)
    of_systems = dataclasses.replace(columns, where=())  # which chooses among references
    systems = {name: read_captions(path, of_systems) for name, path in named}
    wanted = set().union(*systems.values())
    told = read_truth(references, wanted, split, columns)
    truth, notes = told.captions, _leave_out_rejected(told, systems)
    notes += remarks(systems, {i: c for i, c in truth.items() if i in wanted})
    if output is not None:
        for name, own in systems.items():
            write_captions(own, output / "captions" / f"{name}.jsonl")
    config = EvaluationConfig(
        tokenizer=tokenizer.value,
        meteor=meteor,
        spice=spice,
        bert_model=str(bert_model or ""),
        bert_layer=bert_layer,
        chair=chair.value,
        judges=tuple(judge or ()),
        human=human,
        partial=partial,
        num_resamples=num_resamples,
        seed=seed,
    )
    scored = common_ids(systems, truth, partial, [])
    bad: dict[str, str] = {}
    files: dict[str, Path] = {}
    if images:
        files = _images(images, scored, references, columns, bad if partial else None)
    scorers, embeddings = (
        embed_images(evaluator, files, bad if partial else None, max_pixels)
        if evaluator and files
        else ({}, {})
    )
    if bad:
        notes.append(f"left out: no usable image for {name_some(list(bad))}")
        notes += sorted(set(bad.values()))[:3]
        truth = {i: texts for i, texts in truth.items() if i not in bad}
        systems = {n: {i: c for i, c in own.items() if i not in bad} for n, own in systems.items()}
    vocabulary, scenes = read_facts(facts) if facts else (None, {})
    evaluation = score(
        systems,
        truth,
        embeddings,
        scorers,
        config,
        training_captions=read_training_captions(training, columns) if training else None,
        objects=read_objects(objects, wanted) if objects else None,
        synonyms=Synonyms.read(synonyms) if synonyms else None,
        candidates={named[0][0]: read_candidates(candidates, wanted, columns)}
        if candidates
        else None,
        scenes=scenes,
        vocabulary=vocabulary,
        judges=_judges(config.judges, truth, files),
    )
    evaluation.notes[:0] = notes
    if output is not None:
        from dico.report.evaluation_page import write_page

        evaluation.save(output)
        write_page(evaluation, output / "index.html", files)
    print(evaluation.table())
    if not scorers:
        print("CLIP-S, PAC-S and retrieval not computed: they need --images and --evaluator")
    if output is not None:
        print(f"written to {output}")


def _judges(
    names: "Sequence[str]", truth: "Mapping[str, Sequence[str]]", images: dict[str, Path]
) -> "list[Judge]":
    """Judges of other packages; nothing is imported where none is named."""
    if not names:
        return []
    from dico.evaluation.judges import JudgeContext, build_judges
    from dico.images.load import load_image

    uris = {image_id: str(path) for image_id, path in images.items()}
    return build_judges(names, JudgeContext(truth, uris, load_image))


def names_of(paths: list[Path]) -> list[tuple[str, Path]]:
    """A name for each file: its stem, or a longer part of the path where stems are equal."""
    stems = [path.stem for path in paths]
    if len(set(stems)) < len(stems):
        stems = [f"{path.parent.name}-{path.stem}".lstrip("-") for path in paths]
    if len(set(stems)) < len(stems):
        stems = [f"{stem}-{number}" for number, stem in enumerate(stems, 1)]
    return list(zip(stems, paths, strict=True))


def _refuse_unused(
    evaluator: Path | None, images: str, bert_model: Path | None, bert_layer: int
) -> None:
    """Refuses options that would do nothing; an evaluator in the environment is for when it can."""
    from dico.errors import UsageError

    named = evaluator is not None and str(evaluator) != os.environ.get("DICO_EVALUATOR")
    if named and not images:
        raise UsageError("--evaluator scores images: give --images too")
    if bert_layer and bert_model is None:
        raise UsageError("--bert-layer is of --bert-model: give it too")


def _leave_out_rejected(told: "References", systems: dict[str, dict[str, str]]) -> list[str]:
    """Takes images without usable references out of the captions; what to say about it."""
    from dico.metrics.scores import name_some

    for own in systems.values():
        for image_id in told.excluded:
            own.pop(image_id, None)
    notes = []
    for code, what in _LEFT_OUT.items():
        if told.left_out[code]:
            notes.append(f"{told.left_out[code]} references left out: {what}")
    if repeated := told.num_repeated():
        what = "images have the same reference twice, which flatters the row of human captions"
        notes.append(f"{repeated} of {len(told.captions)} {what}")
    if told.excluded:
        notes.append(f"left out: no other reference for {name_some(told.excluded)}")
    return notes


def _images(
    folder: str,
    image_ids: list[str],
    references: Path,
    columns: "Columns",
    bad: dict[str, str] | None,
) -> dict[str, Path]:
    """The images; those that are missing go into ``bad``, and without it are an error."""
    from dico.evaluation.images import find_images, locate_images

    if bad is None:
        return find_images(folder, image_ids, references, columns)
    found, missing = locate_images(folder, image_ids, references, columns)
    bad.update(dict.fromkeys(missing, f"{folder}: images are missing"))
    return found


def embed_images(
    folder: Path,
    files: dict[str, Path],
    bad: dict[str, str] | None = None,
    max_pixels: int = MAX_PIXELS,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The evaluator with its base and its tuned weights, and the images' embeddings by both.

    Args:
        folder: the evaluator's.
        files: {image id: image}.
        bad: gets the images that cannot be used, with the reason; without it they are an error.
        max_pixels: largest width x height.
    """
    import torch

    from dico.images.errors import ImageError
    from dico.images.load import load_image
    from dico.models.evaluator import Evaluator
    from dico.process.device import computing_device
    from dico.process.progress import progress

    def load(image_id: str) -> "Image.Image | None":
        try:
            return load_image(str(files[image_id]), max_pixels)
        except ImageError as error:
            if bad is None:
                raise
            bad[image_id] = str(error)
            return None

    device = computing_device()
    scorers = {kind: Evaluator.load(folder, kind, device) for kind in ("clip", "pac")}
    embeddings: dict[str, dict[str, Any]] = {kind: {} for kind in scorers}
    ids = list(files)
    with progress("embedding images", total=len(ids), unit="image") as bar:
        for start in range(0, len(ids), _IMAGE_BATCH):
            batch = ids[start : start + _IMAGE_BATCH]
            loaded = {i: image for i in batch if (image := load(i)) is not None}
            for kind, scorer in scorers.items() if loaded else ():
                pixels = torch.stack([scorer.preprocess(image) for image in loaded.values()])
                rows = scorer.embed_images(pixels).cpu().numpy()
                embeddings[kind].update(zip(loaded, rows, strict=True))
            bar.advance(len(batch))
    return scorers, embeddings
