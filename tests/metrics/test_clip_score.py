import numpy as np
import pytest

from dico.errors import DataError
from dico.metrics import clip_score, pac_score, ref_clip_score, ref_pac_score, retrieval

IMAGES = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
TEXTS = np.array([[0.6, 0.8], [0.6, 0.8], [-1.0, 0.0]])


def test_clip_s_is_clipped_and_scaled():
    assert clip_score(IMAGES, TEXTS).per_image.tolist() == pytest.approx([1.5, 2.0, 0.0])
    assert pac_score(IMAGES, TEXTS).per_image.tolist() == pytest.approx([1.2, 1.6, 0.0])
    assert clip_score(IMAGES, TEXTS).total == pytest.approx(3.5 / 3)
    assert pac_score(IMAGES, TEXTS, w=2.5).total == clip_score(IMAGES, TEXTS).total


def test_ref_clip_s_is_the_harmonic_mean_with_the_closest_reference():
    references = np.array([[0.6, 0.8], [1.0, 0.0], [0.8, -0.6], [1.0, 0.0]])
    score = ref_clip_score(IMAGES, TEXTS, references, [2, 1, 1])
    # closest cosines: 1; .48 - .48 = 0; -1, so 0
    assert score.per_image.tolist() == pytest.approx([2 * 1.5 / 2.5, 0, 0])
    assert ref_pac_score(IMAGES, TEXTS, references, [2, 1, 1]).per_image[0] == pytest.approx(
        2.4 / 2.2
    )


@pytest.mark.parametrize(
    ("images", "texts", "message"),
    [
        (IMAGES * 2, TEXTS, "image embeddings: row 0 has length 2"),
        (IMAGES, TEXTS * np.nan, "text embeddings: row 0 has length nan"),
        (IMAGES[:2], TEXTS, "differ"),
        (IMAGES[0], TEXTS, r"expected \(B, E\)"),
    ],
)
def test_bad_embeddings(images, texts, message):
    with pytest.raises(DataError, match=message):
        clip_score(images, texts)


def test_references_must_add_up():
    with pytest.raises(DataError, match="3 reference embeddings for 4 references"):
        ref_clip_score(IMAGES, TEXTS, IMAGES, [2, 1, 1])


def test_retrieval_ranks():
    images = np.eye(12)
    texts = np.eye(12)
    texts[0] = np.r_[0.6, 0.8, np.zeros(10)]  # image 1 is closer
    texts[1] = np.r_[np.zeros(11), 1]  # all others tie with image 1 at 0, image 11 is above
    found = retrieval(texts, images)
    assert found.rank.tolist() == [2, 12, *[1] * 10]
    assert found.recall == {1: 10 / 12, 5: 11 / 12, 10: 11 / 12}
    assert found.mrr == pytest.approx((1 / 2 + 1 / 12 + 10) / 12)


def test_one_embedding_for_everything_retrieves_nothing():
    same = np.tile([[1.0, 0.0]], (20, 1))
    assert retrieval(same, same).recall[10] == 0


def test_several_captions_of_an_image():
    found = retrieval(np.eye(3)[[0, 0, 2]], np.eye(3), np.array([0, 1, 2]))
    assert found.rank.tolist() == [1, 3, 1]
