"""``dico evaluate``: scores of caption files, their intervals and what differs."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

_IMAGE_BATCH = 32


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
        Path, typer.Argument(help="COCO results JSON, {id: caption}, or JSON lines.")
    ],
    references: Annotated[
        Path, typer.Option(help="{id: [captions]}, COCO or Karpathy JSON, or JSON lines.")
    ],
    images: Annotated[
        Path | None, typer.Option(help="Folder of the pictures, for CLIP-S, PAC-S and the page.")
    ] = None,
    evaluator: Annotated[
        Path | None,
        typer.Option(envvar="DICO_EVALUATOR", help="Folder of the evaluator that scores --images."),
    ] = None,
    compare: Annotated[
        list[Path] | None, typer.Option(help="Captions of another system; may be repeated.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder for metrics.json, per_image.jsonl and a page.")
    ] = None,
    training: Annotated[
        Path | None, typer.Option(help="References file of the training split, for novelty.")
    ] = None,
    split: Annotated[
        str, typer.Option(help="Split of a Karpathy JSON; test where there is one.")
    ] = "",
    partial: Annotated[
        bool, typer.Option("--partial", help="Score what can be scored, and say how much.")
    ] = False,
    tokenizer: Annotated[
        TokenizerChoice, typer.Option(help="python needs no Java and gives the same tokens.")
    ] = TokenizerChoice.python,
    meteor: Annotated[bool, typer.Option(help="METEOR, where Java is installed.")] = True,
    spice: Annotated[bool, typer.Option(help="SPICE, where Java and its models are.")] = False,
    objects: Annotated[
        Path | None,
        typer.Option(help="Objects in the pictures, for CHAIR: {id: [names]} or COCO instances."),
    ] = None,
    synonyms: Annotated[
        Path | None,
        typer.Option(help="Names of objects, for CHAIR: a line an object, commas between names."),
    ] = None,
    chair: Annotated[
        ChairChoice, typer.Option(help="How CHAIR finds objects; singular is that of 2018.")
    ] = ChairChoice.lemma,
    facts: Annotated[
        Path | None,
        typer.Option(help="What the pictures show, JSON lines: how true the captions are."),
    ] = None,
    candidates: Annotated[
        Path | None,
        typer.Option(help="Several captions of each image by CAPTIONS' system, for self-BLEU."),
    ] = None,
    bert_model: Annotated[
        Path | None, typer.Option(help="Folder of an encoder, for BERTScore.")
    ] = None,
    bert_layer: Annotated[int, typer.Option(min=0, help="Its layer; 0 for the last.")] = 0,
    human: Annotated[
        bool, typer.Option(help="Score each image's first reference against its others too.")
    ] = True,
    num_resamples: Annotated[int, typer.Option(min=0, help="Of the bootstrap; 0 for none.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
) -> None:
    """Score captions against references: all metrics, their intervals, and what differs."""
    from dico.errors import UsageError
    from dico.evaluation.evaluate import EvaluationConfig
    from dico.evaluation.evaluate import evaluate as score
    from dico.evaluation.files import read_captions, read_objects, read_references, write_captions
    from dico.facts import read_facts
    from dico.metrics import Synonyms

    if (objects is None) != (synonyms is None):
        raise UsageError("CHAIR needs both --objects and --synonyms; see docs/metrics.md")
    named = names_of([captions, *(compare or [])])
    systems = {name: read_captions(path) for name, path in named}
    wanted = set().union(*systems.values())
    truth = read_references(references, wanted, split)
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
        human=human,
        partial=partial,
        num_resamples=num_resamples,
        seed=seed,
    )
    scored = [i for i in truth if not partial or all(i in own for own in systems.values())]
    pictures = find_pictures(images, scored, references) if images is not None else {}
    scorers, embeddings = (
        embed_pictures(evaluator, pictures) if evaluator and pictures else ({}, {})
    )
    vocabulary, scenes = read_facts(facts) if facts else (None, {})
    evaluation = score(
        systems,
        truth,
        embeddings,
        scorers,
        config,
        training_captions=_training_captions(training) if training else None,
        objects=read_objects(objects, wanted) if objects else None,
        synonyms=Synonyms.read(synonyms) if synonyms else None,
        candidates={named[0][0]: read_references(candidates, wanted)} if candidates else None,
        scenes=scenes,
        vocabulary=vocabulary,
    )
    if output is not None:
        from dico.report.evaluation_page import write_page

        evaluation.save(output)
        write_page(evaluation, output / "index.html", pictures)
    print(evaluation.table())
    if not scorers:
        print("CLIP-S, PAC-S and retrieval not computed: they need --images and --evaluator")
    if output is not None:
        print(f"written to {output}")


def names_of(paths: list[Path]) -> list[tuple[str, Path]]:
    """A name for each file: its stem, or a longer part of the path where stems are equal."""
    stems = [path.stem for path in paths]
    if len(set(stems)) < len(stems):
        stems = [f"{path.parent.name}-{path.stem}".lstrip("-") for path in paths]
    if len(set(stems)) < len(stems):
        stems = [f"{stem}-{number}" for number, stem in enumerate(stems, 1)]
    return list(zip(stems, paths, strict=True))


def _training_captions(path: Path) -> list[str]:
    from dico.evaluation.files import read_references

    return [text for group in read_references(path, split="train").values() for text in group]


def find_pictures(
    folder: Path, image_ids: "Sequence[str]", where: Path | None = None
) -> dict[str, Path]:
    """The picture of each image: named by its id, with or without a suffix or leading zeros.

    Args:
        folder: looked through with all below it.
        image_ids: whose pictures are wanted.
        where: references that may name the files.

    Raises:
        DataError: no such folder, or an image without a picture.
    """
    from dico.errors import DataError
    from dico.evaluation.files import file_names
    from dico.metrics.scores import name_some

    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    by_name = {path.name: path for path in sorted(folder.rglob("*")) if path.is_file()}
    by_stem = {path.stem: path for path in by_name.values()}
    by_number = {path.stem.split("_")[-1].lstrip("0"): path for path in by_name.values()}
    names = file_names(where) if where else {}
    found: dict[str, Path] = {}
    for image_id in image_ids:
        name = names.get(image_id, image_id)
        path = (
            by_name.get(name) or by_stem.get(Path(name).stem) or by_number.get(image_id.lstrip("0"))
        )
        if path is not None:
            found[image_id] = path
    missing = [image_id for image_id in image_ids if image_id not in found]
    if missing:
        raise DataError(f"{folder}: no picture for {name_some(missing)}")
    return found


def embed_pictures(
    folder: Path, pictures: dict[str, Path]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The evaluator with its base and its tuned weights, and the pictures' embeddings by both."""
    import torch

    from dico.images.load import load_image
    from dico.models.evaluator import Evaluator
    from dico.process.device import computing_device
    from dico.process.progress import progress

    device = computing_device()
    scorers = {kind: Evaluator.load(folder, kind, device) for kind in ("clip", "pac")}
    embeddings: dict[str, dict[str, Any]] = {kind: {} for kind in scorers}
    ids = list(pictures)
    with progress("embedding pictures", total=len(ids), unit="picture") as bar:
        for start in range(0, len(ids), _IMAGE_BATCH):
            batch = ids[start : start + _IMAGE_BATCH]
            loaded = [load_image(str(pictures[i])) for i in batch]
            for kind, scorer in scorers.items():
                pixels = torch.stack([scorer.preprocess(picture) for picture in loaded])
                rows = scorer.embed_images(pixels).cpu().numpy()
                embeddings[kind].update(zip(batch, rows, strict=True))
            bar.advance(len(batch))
    return scorers, embeddings
