"""Scores of rated captions, by metrics that compare with references and by evaluators."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dico.errors import DataError
from dico.metrics import PreparedReferences, bleu, cider, rouge_l
from dico.metrics.clip_score import clip_score, ref_clip_score
from dico.metrics.meteor import meteor_from_sums, meteor_statistics
from dico.metrics.scores import name_some
from dico.people.published import Rated

Floats = NDArray[np.float64]


def reference_scores(rated: Sequence[Rated], with_meteor: bool = False) -> dict[str, Floats]:
    """BLEU-1, BLEU-4, ROUGE-L and CIDEr of each caption, METEOR where asked; and its length.

    Raises:
        DataError: a caption without references.
    """
    lacking = [own.image_id for own in rated if not own.references]
    if lacking:
        raise DataError(f"no references for {name_some(lacking)}; give them with --references")
    groups = dict.fromkeys((own.image_id, own.references) for own in rated)
    place = {group: k for k, group in enumerate(groups)}
    image = [place[own.image_id, own.references] for own in rated]
    references = PreparedReferences([list(texts) for _, texts in groups])
    captions = references.prepare([own.caption for own in rated], image)
    by_order = bleu(captions, references).per_image
    scores = {
        "bleu_1": by_order[0],
        "bleu_4": by_order[3],
        "rouge_l": rouge_l(captions, references).per_image,
        "cider": cider(captions, references).per_image,
        "num_words": np.array([len(text.split()) for text in captions.texts], np.float64),
    }
    if with_meteor:
        texts = [[references.texts[k] for k in _rows(references, place)] for place in image]
        scores["meteor"] = meteor_from_sums(meteor_statistics(captions.texts, texts, "none"))
    return scores


def evaluator_scores(
    rated: Sequence[Rated], kind: str, scorer: Any, images: Mapping[str, NDArray[np.floating]]
) -> dict[str, Floats]:
    """CLIP-S or PAC-S of each caption, with and without references.

    Args:
        rated: captions.
        kind: ``clip`` or ``pac``.
        scorer: `dico.models.evaluator.Evaluator` with these weights.
        images: {image id: (E,) embedding of length 1}.
    """
    from dico.evaluation.scores import embed_captions, weight_of

    w = weight_of(kind, scorer)
    texts = dict.fromkeys(text for own in rated for text in (own.caption, *own.references))
    place = {text: k for k, text in enumerate(texts)}
    rows = embed_captions(scorer, list(texts))
    shown = np.stack([np.asarray(images[own.image_id], np.float64) for own in rated])
    captions = rows[[place[own.caption] for own in rated]]
    scores = {f"{kind}_score": clip_score(shown, captions, w=w).per_image}
    if all(own.references for own in rated):
        references = rows[[place[text] for own in rated for text in own.references]]
        sizes = [len(own.references) for own in rated]
        scored = ref_clip_score(shown, captions, references, sizes, w=w)
        scores[f"ref_{kind}_score"] = scored.per_image
    return scores


def _rows(references: PreparedReferences, image: int) -> list[int]:
    return np.flatnonzero(references.image_of_sentence == image).tolist()
