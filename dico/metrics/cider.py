"""CIDEr of captions: Vedantam et al., CVPR 2015, as the COCO caption evaluation computes it.

The COCO code's "CIDEr" is the paper's CIDEr-D (clipped counts, Gaussian length penalty, no
stemming), and so are all published COCO numbers; `cider` and `cider_d` are the same arithmetic.
"""

import numpy as np

from dico.metrics.ngrams import MAX_ORDER
from dico.metrics.prepared import (
    PreparedCaptions,
    PreparedReferences,
    norms_of,
    prepare_both,
    rows_in_references,
)
from dico.metrics.scores import Captions, References, Score
from dico.metrics.tokenizer import TokenizerName

SIGMA = 6.0


def cider(
    captions: Captions | PreparedCaptions,
    references: References | PreparedReferences,
    tokenizer: TokenizerName = "python",
) -> Score:
    """CIDEr, in [0, 10], higher is better.

    10 / (4 |references|) * sum over references and n = 1..4 of the cosine of tf-idf vectors with
    the caption's weights clipped to the reference's, times exp(-(length difference)^2 / 2 sigma^2).
    The document frequencies are those of ``references``, unless these are prepared with others.
    The total is the mean. Equal to pycocoevalcap 1.2.
    """
    ours, theirs = prepare_both(captions, references, tokenizer)
    counts, table = ours.counts, theirs.by_image
    num_captions = len(ours.image)
    idf = np.append(theirs.idf, theirs.log_num_images)
    weights = counts.count * idf[np.minimum(counts.ngram, len(theirs.idf))]
    norms = norms_of(counts, weights, num_captions)

    row, place = rows_in_references(ours, theirs)
    num_rows = table.start[place + 1] - table.start[place]
    mine = np.repeat(row, num_rows)
    within = np.arange(len(mine)) - np.repeat(np.cumsum(num_rows) - num_rows, num_rows)
    reference_row = table.by_image[np.repeat(table.start[place], num_rows) + within]

    caption, order = counts.sentence[mine], counts.order[mine]
    sentence = theirs.counts.sentence[reference_row]
    reference_weight = theirs.weights[reference_row]
    product = np.minimum(weights[mine], reference_weight) * reference_weight
    scale = norms[caption, order] * theirs.norms[sentence, order]
    product /= np.where(scale == 0, 1.0, scale)
    # pycocoevalcap takes the number of bigrams for the length
    bigrams, their_bigrams = (
        np.maximum(s.lengths - 1, 0) for s in (ours.sentences, theirs.sentences)
    )
    delta = bigrams[caption] - their_bigrams[sentence]
    product *= np.exp(-(delta**2) / (2 * SIGMA**2))
    total = np.bincount(caption, product, num_captions)
    per_image = 10.0 * total / (MAX_ORDER * theirs.num_references[ours.image])
    return Score(float(per_image.mean()), per_image)


def cider_d(
    captions: Captions | PreparedCaptions,
    references: References | PreparedReferences,
    tokenizer: TokenizerName = "python",
    *,
    document_frequencies: PreparedReferences | None = None,
    with_eos: bool = False,
) -> Score:
    """CIDEr-D with given document frequencies and, if wanted, the end of sentence as a word.

    In [0, 10], higher is better; the reward of self-critical training. Without the two options
    equal to `cider`. Prepared references bring both options with them.
    """
    if not isinstance(references, PreparedReferences):
        references = PreparedReferences(
            references,
            tokenizer=tokenizer,
            document_frequencies=document_frequencies,
            with_eos=with_eos,
        )
    return cider(captions, references)
