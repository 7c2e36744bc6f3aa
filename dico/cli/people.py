"""``dico rate`` and ``dico agree``: what people prefer, and how far metrics agree with them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dico.cli.evaluate import embed_images, names_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dico.people.judgements import Judgement
    from dico.people.published import Rated, Ratings


_NO_ALPHA = "undefined; two raters must judge the same images, and not all judgements be the same"


def rate(
    captions: Annotated[
        list[Path], typer.Argument(help="Captions of two or more systems, one file each.")
    ],
    images: Annotated[
        Path | None, typer.Option(help="Folder of the images, named by the images' ids.")
    ] = None,
    manifest: Annotated[
        Path | None, typer.Option(help="Manifest with the images, instead of --images.")
    ] = None,
    output: Annotated[
        Path, typer.Option(help="File to append judgements to; the same file resumes.")
    ] = Path("judgements.jsonl"),
    limit: Annotated[
        int, typer.Option(min=1, help="Maximum number of images; the first ones are shown.")
    ] = 100_000,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for a free one.")] = 8081,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the order of images and captions.")] = 0,
) -> None:
    """Serve a page where people compare captions: blind, by keyboard, without the internet."""
    from itertools import islice

    from dico.data.manifest import read_manifest
    from dico.errors import UsageError
    from dico.evaluation.files import read_captions
    from dico.people.rating import Session

    if (images is None) == (manifest is None):
        raise UsageError("rating needs the images: --images or --manifest, one of them")
    systems = {name: read_captions(path) for name, path in names_of(captions)}
    first = dict(islice(next(iter(systems.values())).items(), limit))
    session = Session({**systems, next(iter(systems)): first}, output, seed)
    if manifest is not None:
        known = {record.image_id: record.uri for record in read_manifest(manifest)}
        if missing := [i for i in session.image_ids if i not in known]:
            raise UsageError(f"{manifest}: does not know the image {missing[0]}")
        uris = {image_id: known[image_id] for image_id in session.image_ids}
    else:
        assert images is not None
        from dico.evaluation.images import find_images

        found = find_images(images, session.image_ids)
        uris = {image_id: str(path) for image_id, path in found.items()}

    from dico.serving.rating import serve_ratings

    serve_ratings(session, uris, host, port)


def agree(
    judgements: Annotated[
        Path,
        typer.Argument(
            help="Judgements by `dico rate`; ExpertAnnotations.txt, CrowdFlowerAnnotations.txt; "
            "CLIPScore's JSON; consensus_pascal.mat; lines of image_id, winner, loser."
        ),
    ],
    captions: Annotated[
        Path | None, typer.Option(help="Flickr8k.token.txt, for its two annotations.")
    ] = None,
    pairs: Annotated[
        Path | None, typer.Option(help="pair_pascal.mat, for consensus_pascal.mat.")
    ] = None,
    references: Annotated[
        Path | None, typer.Option(help="Human captions, if the judgements have none.")
    ] = None,
    split: Annotated[str, typer.Option(help="Split of a Karpathy JSON.")] = "",
    num_references: Annotated[
        int, typer.Option(min=1, max=48, help="Of Pascal-50S's 48; published tables take 5.")
    ] = 48,
    keep_own: Annotated[
        bool,
        typer.Option("--keep-own", help="Keep pairs of Flickr8k with the image's own caption."),
    ] = False,
    images: Annotated[Path | None, typer.Option(help="Folder of the images.")] = None,
    evaluator: Annotated[
        list[Path] | None,
        typer.Option(
            envvar="DICO_EVALUATOR",
            help="Folder of an evaluator that scores --images; may be repeated.",
        ),
    ] = None,
    judge: Annotated[
        list[str] | None,
        typer.Option(help="Judge that another package offers, by name; may be repeated."),
    ] = None,
    meteor: Annotated[bool, typer.Option(help="METEOR too; needs Java.")] = False,
    spice: Annotated[bool, typer.Option(help="SPICE too; needs Java and its models.")] = False,
    bert_model: Annotated[
        Path | None, typer.Option(help="Folder of an encoder, for BERTScore.")
    ] = None,
    bert_layer: Annotated[int, typer.Option(min=0, help="Its layer; 0 for the last.")] = 0,
    output: Annotated[Path | None, typer.Option(help="JSON file to write.")] = None,
) -> None:
    """Measure how far raters, metrics and evaluators agree: alpha, tau, accuracy, win rates."""
    from math import isfinite

    from dico.errors import DataError
    from dico.metrics.scores import name_some
    from dico.people import agreement
    from dico.people.judgements import win_rates
    from dico.people.scorers import bert_scores, reference_scores
    from dico.plugins import JUDGES

    for name in judge or []:
        JUDGES.check(name)
    truth = _references(references, split)
    ratings, own = _read(judgements, captions, pairs, num_references, keep_own, truth)
    if not ratings.rated:
        raise DataError("; ".join([f"{judgements}: no judgement that counts", *ratings.notes]))
    lacking = list(dict.fromkeys(own.image_id for own in ratings.rated if not own.references))
    scores: dict[str, Any] = {}
    if not lacking:
        scores |= reference_scores(ratings.rated, meteor, spice)
        scores |= bert_scores(ratings.rated, bert_model, bert_layer) if bert_model else {}
    else:
        ratings.notes.append(f"metrics that compare with references left out: none for "
                             f"{name_some(lacking)}; give --references")  # fmt: skip
    if (images is None) != (not evaluator):
        raise DataError("scores by an evaluator need both --images and --evaluator")
    scores |= _scores_of_images(ratings.rated, images, evaluator or [], judge or [])
    metrics = agreement.agree(ratings, scores)
    if not all(isfinite(own.tau_b) for own in metrics.values()):
        ratings.notes.append("nan: the metric or the ratings are the same for all captions")
    result = {
        "format": 1,
        "num_captions": len(ratings.rated),
        "num_images": len({rated.image_id for rated in ratings.rated}),
        "alpha": agreement.alpha_of_choices(own) if own else agreement.alpha(ratings),
        "win_rates": [rate._asdict() for rate in win_rates(own)],
        "metrics": {name: own._asdict() for name, own in metrics.items()},
        "notes": ratings.notes,
    }
    _print(result)
    if output is not None:
        output.write_text(json.dumps(_finite(result), indent=1, allow_nan=False) + "\n")
        print(f"written to {output}")


def _scores_of_images(
    rated: "Sequence[Rated]", images: Path | None, evaluators: list[Path], judges: list[str]
) -> dict[str, Any]:
    """By each evaluator, whose name is told where there are several, and by each judge."""
    from dico.evaluation.images import find_images
    from dico.people.scorers import evaluator_scores, judge_scores, likelihood_scores

    ids = list(dict.fromkeys(own.image_id for own in rated))
    files = find_images(images, ids) if images else {}
    uris = {image_id: str(path) for image_id, path in files.items()}
    scores = judge_scores(rated, judges, uris) if judges else {}
    for name, folder in names_of(evaluators):
        scorers, embeddings = embed_images(folder, files)
        own = likelihood_scores(rated, folder, uris)
        for kind, scorer in scorers.items():
            own |= evaluator_scores(rated, kind, scorer, embeddings[kind])
        several = f"{name}: " if len(evaluators) > 1 else ""
        scores |= {f"{several}{key}": values for key, values in own.items()}
    return scores


def _references(path: Path | None, split: str) -> dict[str, list[str]]:
    from dico.evaluation.files import read_references

    return read_references(path, split=split) if path else {}


def _read(
    path: Path,
    captions: Path | None,
    pairs: Path | None,
    num_references: int,
    keep_own: bool,
    references: dict[str, list[str]],
) -> "tuple[Ratings, list[Judgement]]":
    """The judgements of a file, whatever form it has, and those by `dico rate` as they are."""
    from dico.errors import DataError, UsageError
    from dico.people import published
    from dico.people.judgements import read_judgements

    if path.suffix == ".mat":
        if pairs is None:
            raise UsageError("Pascal-50S needs --pairs pair_pascal.mat")
        return published.read_pascal50s(path, pairs, num_references), []
    if captions is not None:
        return published.read_flickr8k(path, captions, keep_own), []
    if path.suffix == ".txt":
        raise UsageError("Flickr8k's annotations need --captions Flickr8k.token.txt")
    if path.suffix == ".json":
        return published.read_clipscore_json(path), []
    try:
        text = path.read_text(encoding="utf-8")
        lines = [json.loads(line) for line in text.splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not JSON lines: {error}") from None
    if lines and isinstance(lines[0], dict) and "winner" in lines[0]:
        given = published.read_pairs(lines, str(path))
        given.rated[:] = [_with_references(rated, references) for rated in given.rated]
        return given, []
    own = read_judgements(path)
    return published.of_judgements(own, references), own


def _with_references(rated: "Rated", references: dict[str, list[str]]) -> "Rated":
    import dataclasses

    if rated.references:
        return rated
    return dataclasses.replace(rated, references=tuple(references.get(rated.image_id, ())))


def _print(result: dict[str, Any]) -> None:
    print(f"{result['num_captions']} captions of {result['num_images']} images")
    alpha = result["alpha"]
    print(
        "agreement of raters, Krippendorff's alpha: "
        + (_NO_ALPHA if alpha is None else f"{alpha:.3f}")
    )
    for own in result["win_rates"]:
        print(
            f"{own['first']} against {own['second']}: {own['win_rate']:.3f} "
            f"[{own['low']:.3f}, {own['high']:.3f}], equal {own['equal']:.3f}, "
            f"all wrong {own['wrong']:.3f}; {own['num_judgements']} judgements"
        )
    width = max((16, *map(len, result["metrics"])))
    if result["metrics"]:
        print(f"{'':{width}} {'tau-b':>7} {'tau-c':>7} {'accuracy':>9}")
    for name, own in result["metrics"].items():
        kinds = "".join(f"  {kind} {value:.3f}" for kind, value in own["by_category"].items())
        print(
            f"{name:{width}} {own['tau_b']:7.3f} {own['tau_c']:7.3f} {own['accuracy']:9.3f}{kinds}"
        )
    print("", *result["notes"], sep="\n", end="\n" if result["notes"] else "")


def _finite(value: Any) -> Any:
    """The same with None for what is not a finite number."""
    import math

    if isinstance(value, dict):
        return {key: _finite(own) for key, own in value.items()}
    if isinstance(value, list):
        return [_finite(own) for own in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
