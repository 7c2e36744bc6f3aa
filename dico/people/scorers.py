"""Scores of rated captions, by metrics that compare with references and by evaluators."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dico.errors import DataError
from dico.metrics import PreparedReferences, bert_score, bleu, cider, rouge_l, spice
from dico.metrics.clip_score import clip_score, ref_clip_score
from dico.metrics.meteor import meteor_from_sums, meteor_statistics
from dico.metrics.scores import name_some
from dico.people.published import Rated

Floats = NDArray[np.float64]


def reference_scores(
    rated: Sequence[Rated], with_meteor: bool = False, with_spice: bool = False
) -> dict[str, Floats]:
    """BLEU, ROUGE-L and CIDEr of each caption, METEOR and SPICE where asked; and its length.

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
        **{f"bleu_{n}": own for n, own in enumerate(by_order, 1)},
        "rouge_l": rouge_l(captions, references).per_image,
        "cider": cider(captions, references).per_image,
        "num_words": np.array([len(text.split()) for text in captions.texts], np.float64),
    }
    if with_meteor or with_spice:
        texts = [[references.texts[k] for k in _rows(references, place)] for place in image]
        if with_meteor:
            scores["meteor"] = meteor_from_sums(meteor_statistics(captions.texts, texts, "none"))
        if with_spice:
            scores["spice"] = spice(captions.texts, texts, "none").per_image
    return scores


def bert_scores(rated: Sequence[Rated], model: str | Path, layer: int) -> dict[str, Floats]:
    """BERTScore of each caption; raises as `dico.metrics.bert_score`."""
    captions, references = [own.caption for own in rated], [own.references for own in rated]
    return {"bert_score": bert_score(captions, references, model, layer).per_image}


def likelihood_scores(
    rated: Sequence[Rated], folder: str | Path, uris: Mapping[str, str]
) -> dict[str, Floats]:
    """Nats that the image adds to each caption, where an evaluator's folder has a generative one."""
    from dico.evaluation.independent import IndependentJudge
    from dico.models.generative import has_generative
    from dico.process.device import computing_device

    if not has_generative(folder):
        return {}
    judge = IndependentJudge(folder, uris, computing_device())
    found = judge([own.caption for own in rated], [own.image_id for own in rated])
    return {"likelihood": found["judge_likelihood"]}


def judge_scores(
    rated: Sequence[Rated], names: Sequence[str], uris: Mapping[str, str]
) -> dict[str, Floats]:
    """Scores by judges of other packages."""
    from dico.evaluation.judges import JudgeContext, build_judges
    from dico.images.load import load_image

    references = {own.image_id: own.references for own in rated}
    judges = build_judges(names, JudgeContext(references, uris, load_image))
    captions, image_ids = [own.caption for own in rated], [own.image_id for own in rated]
    return {key: own for judge in judges for key, own in judge(captions, image_ids).items()}


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
