"""Published judgements, read from their own files: Flickr8k-Expert, CrowdFlower, Pascal-50S.

Flickr8k (Hodosh et al., JAIR 2013): tab-separated image, caption's name (``image.jpg#2``) and three
numbers, which are three experts' ratings from 1 to 4 or CrowdFlower's share of yes, yes and no;
the texts are in Flickr8k.token.txt. CLIPScore's authors publish both as JSON with the texts in it.
Pascal-50S (Vedantam et al., CVPR 2015): consensus_pascal.mat has 48 votes for each of 4,000 pairs,
pair_pascal.mat names their images and kinds.
"""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from dico.errors import DataError
from dico.people.judgements import Judgement

VOTES_PER_PAIR = 48
CATEGORIES = {1: "HC", 2: "HI", 3: "HM", 4: "MM"}
Scale = Literal["ordinal", "interval", "nominal"]


@dataclass(frozen=True, slots=True)
class Rated:
    """One caption of one image, and what people think of it."""

    image_id: str
    """The image."""

    caption: str
    """The caption."""

    ratings: tuple[float, ...]
    """One of each rater, or one share."""

    references: tuple[str, ...] = ()
    """Other captions of the image by people, for metrics that compare with them."""

    group: str = ""
    """Captions of one image are compared within a group; a pair is a group of its own."""

    category: str = ""
    """Kind of pair, where the file has kinds."""

    @property
    def rating(self) -> float:
        """Mean of the ratings."""
        return sum(self.ratings) / len(self.ratings)


@dataclass(frozen=True, slots=True)
class Ratings:
    """A file of judgements."""

    rated: list[Rated]
    """Captions with their ratings."""

    scale: Scale = "interval"
    """How far apart two ratings are, for the agreement of raters."""

    notes: list[str] = field(default_factory=list)
    """What was left out, and why."""


def read_flickr8k(path: str | Path, captions: str | Path, keep_own: bool = False) -> Ratings:
    """ExpertAnnotations.txt or CrowdFlowerAnnotations.txt; which one, its numbers say.

    Args:
        path: the annotations.
        captions: Flickr8k.token.txt.
        keep_own: whether pairs are kept whose caption is the image's own; published correlations
            leave them out, since the references hold the very caption.

    Raises:
        DataError: not such files, or a caption that the second one does not have.
    """
    texts = read_tokens(captions)
    references: dict[str, list[str]] = {}
    for name, text in texts.items():
        references.setdefault(name.rpartition("#")[0], []).append(text)
    rows = [(where, image, name, _numbers(own, where)) for where, image, name, *own in _rows(path)]
    expert = all(value in (1, 2, 3, 4) for *_, own in rows for value in own)
    if not expert and not all(_is_share(*own) for *_, own in rows):
        raise DataError(
            f"{path}: neither three ratings from 1 to 4 nor a share of yes with the two counts"
        )
    rated, num_own = [], 0
    for where, image, name, own in rows:
        if name not in texts:
            raise DataError(f"{where}: {captions} has no caption {name}")
        if name.rpartition("#")[0] == image and not keep_own:
            num_own += 1
            continue
        ratings = own if expert else own[:1]
        others = tuple(references.get(image, ()))
        rated.append(Rated(image, texts[name], ratings, others, image))
    note = f"{num_own} captions of the image itself left out, as published"
    return Ratings(rated, "ordinal" if expert else "interval", [note] if num_own else [])


def read_clipscore_json(path: str | Path) -> Ratings:
    """flickr8k.json or crowdflower_flickr8k.json as CLIPScore's authors publish them.

    A rating that is not a number is left out, as they do.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        found: dict[tuple[str, str], list[float]] = {}
        references: dict[str, tuple[str, ...]] = {}
        num_missing = 0
        for image in data.values():
            name = Path(str(image["image_path"])).name
            references[name] = tuple(" ".join(str(t).split()) for t in image["ground_truth"])
            for own in image["human_judgement"]:
                rating = float(own["rating"])
                num_missing += math.isnan(rating)
                if not math.isnan(rating):
                    text = " ".join(str(own["caption"]).split())
                    found.setdefault((name, text), []).append(rating)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: not judgements as CLIPScore's authors publish: {error!r}"
        ) from None
    rated = [
        Rated(name, text, tuple(own), references[name], name) for (name, text), own in found.items()
    ]
    whole = all(rating == int(rating) for own in rated for rating in own.ratings)
    note = f"{num_missing} judgements without a rating left out, as published"
    return Ratings(rated, "ordinal" if whole else "interval", [note] if num_missing else [])


def read_pascal50s(
    consensus: str | Path, pairs: str | Path, num_references: int = VOTES_PER_PAIR
) -> Ratings:
    """consensus_pascal.mat with pair_pascal.mat; a caption's rating is its share of the votes.

    Raises:
        DataError: not such files, or files that do not belong together.
    """
    from scipy.io import loadmat

    try:
        triplets = loadmat(str(consensus))["triplets"][0]
        table = loadmat(str(pairs))
        shown, categories = table["new_input"][0], table["category"].ravel()
    except (OSError, ValueError, KeyError, NotImplementedError, TypeError) as error:
        raise DataError(f"{consensus}, {pairs}: not Pascal-50S's files: {error}") from None
    if len(triplets) != VOTES_PER_PAIR * len(shown) or len(categories) != len(shown):
        raise DataError(
            f"{consensus}: {len(triplets)} votes for {len(shown)} pairs in {pairs}; "
            f"expected {VOTES_PER_PAIR} for each"
        )
    rated = []
    for number, pair in enumerate(shown):
        image, *candidates = (str(_content(pair[k])).strip() for k in range(3))
        votes = triplets[number * VOTES_PER_PAIR : (number + 1) * VOTES_PER_PAIR]
        references, chosen = [], []
        for vote in votes:
            reference, first, second, winner = (_content(vote[k]) for k in range(4))
            references.append(str(reference).strip())
            chosen.append(str(first if winner == 1 else second).strip())
        if strange := set(chosen) - set(candidates):
            raise DataError(
                f"{pairs}: pair {number + 1} does not have the caption {strange.pop()!r}"
            )
        category = CATEGORIES.get(int(categories[number]), str(categories[number]))
        for candidate in candidates:
            share = chosen.count(candidate) / VOTES_PER_PAIR
            own = tuple(references[:num_references])
            rated.append(Rated(image, candidate, (share,), own, str(number), category))
    return Ratings(rated)


def read_pairs(lines: Sequence[Mapping[str, Any]], where: str) -> Ratings:
    """Lines of {"image_id", "winner", "loser"}, and "references", "category" where they are there."""
    rated = []
    for number, line in enumerate(lines, 1):
        try:
            image, texts = str(line["image_id"]), (str(line["winner"]), str(line["loser"]))
            references = tuple(str(text) for text in line.get("references", ()))
        except (KeyError, TypeError) as error:
            raise DataError(f"{where}: line {number}: not a pair: no {error}") from None
        category = str(line.get("category", ""))
        for text, rating in zip(texts, (1.0, 0.0), strict=True):
            rated.append(Rated(image, text, (rating,), references, str(number), category))
    return Ratings(rated)


def of_judgements(
    judgements: Sequence[Judgement], references: Mapping[str, Sequence[str]]
) -> Ratings:
    """Own judgements: of each caption one rating a rater, 1 chosen, .5 equal, 0 not."""
    found: dict[tuple[str, str], list[float]] = {}
    for own in judgements:
        worth = {caption: own.worth(system) for system, caption in own.captions.items()}
        for caption, rating in worth.items():
            found.setdefault((own.image_id, caption), []).append(rating)
    return Ratings(
        [
            Rated(image, caption, tuple(ratings), tuple(references.get(image, ())), image)
            for (image, caption), ratings in found.items()
        ]
    )


def read_tokens(path: str | Path) -> dict[str, str]:
    """Flickr8k.token.txt: ``image.jpg#0``, a tab, the caption."""
    texts = {}
    for where, name, text in _rows(path):
        if "#" not in name:
            raise DataError(f"{where}: expected image.jpg#0, a tab and a caption")
        texts[name] = text
    return texts


def _rows(path: str | Path) -> list[list[str]]:
    """Rows of tab-separated text, the place of each before its columns."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as tab-separated text: {error}") from None
    found = [[f"{path}: line {n}", *row] for n, row in enumerate(rows, 1) if row]
    sizes = {len(row) for row in found}
    if sizes not in ({3}, {6}):
        raise DataError(f"{path}: expected two or five columns on every line")
    return found


def _numbers(texts: Sequence[str], where: str) -> tuple[float, ...]:
    try:
        return tuple(float(text) for text in texts)
    except ValueError:
        raise DataError(f"{where}: not numbers: {', '.join(texts)}") from None


def _is_share(share: float, yes: float, no: float) -> bool:
    """Whether the first number is the share of the second in both; printed with few digits."""
    return yes + no > 0 and abs(share - yes / (yes + no)) < 0.01


def _content(cell: Any) -> Any:
    """What MATLAB wraps in arrays of one."""
    while hasattr(cell, "shape") and cell.shape:
        cell = cell.ravel()[0]
    return cell
