"""Rewards against the published scores, naive ones, the padded form and pycocoevalcap's CIDEr-D."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dico.errors import ConfigError, DataError
from dico.metrics.cider import cider_d
from dico.metrics.clip_score import clip_score, ref_clip_score
from dico.metrics.prepared import PreparedReferences
from dico.models.evaluator import Evaluator
from dico.models.tokenizer import Tokenizer
from dico.rewards import (
    CiderReward,
    ClipReward,
    ImageEmbeddings,
    RewardBatch,
    RewardContext,
    build_reward,
)
from tests.builders import clip_config, write_evaluator

REFERENCES = [
    ["a red circle left of a blue square", "a red circle"],
    ["a green triangle on a grey ground", "a triangle", "green on grey"],
]
CAPTIONS = [
    ["a red circle", "a red circle left", "a blue square"],
    ["a green triangle", "a green triangle on a grey", "a red circle"],
]
TOKENIZER = Tokenizer.train([text for group in REFERENCES for text in group], 320)
TOKENS = TOKENIZER.encode_batch([c for row in CAPTIONS for c in row], 20).view(2, 3, -1)


@pytest.fixture(scope="module")
def evaluators(tmp_path_factory) -> dict[str, Evaluator]:
    """Of one folder whose two weights differ."""
    folder = tmp_path_factory.mktemp("evaluator")
    clip = clip_config(TOKENIZER, num_text_layers=2, num_text_positions=77)
    write_evaluator(folder, TOKENIZER, clip, noise=0.2)
    return {name: Evaluator.load(folder, name) for name in ("clip", "pac")}


@pytest.fixture(scope="module")
def embeddings() -> dict[str, torch.Tensor]:
    """Of two images by either weights."""
    chance = torch.Generator().manual_seed(3)
    made = {name: torch.randn(2, 16, generator=chance) for name in ("clip", "pac")}
    return {name: F.normalize(values, dim=-1) for name, values in made.items()}


@pytest.fixture(scope="module")
def images(embeddings) -> ImageEmbeddings:
    return embeddings.__getitem__


@pytest.fixture(scope="module")
def context(evaluators) -> RewardContext:
    return RewardContext(evaluators.__getitem__, TOKENIZER, REFERENCES)


def batch(image_embeddings, references=None) -> RewardBatch:
    """The captions above, as candidates of two images."""
    return RewardBatch(TOKENS, TOKENIZER.decode_batch, image_embeddings, references)


WEIGHTS = [("pac", 2.0), ("clip", 2.5)]
"""Names of rewards, which are those of the weights, with their w."""


@pytest.mark.parametrize(("name", "w"), WEIGHTS)
def test_the_reward_form_has_no_prompt_and_no_floor(context, evaluators, embeddings, name, w):
    rewards = build_reward(name, context)(batch(embeddings.__getitem__))
    assert rewards.shape == (2, 3)
    assert rewards.dtype == torch.float32
    for b in range(2):
        for k in range(3):
            text = evaluators[name].embed_texts([CAPTIONS[b][k]])[0]
            expected = w * (text @ embeddings[name][b]).item()
            assert rewards[b, k].item() == pytest.approx(expected, abs=1e-6)
    opposite = build_reward(name, context)(batch(lambda weights: -embeddings[weights]))
    torch.testing.assert_close(opposite, -rewards)


@pytest.mark.parametrize(("name", "w"), WEIGHTS)
def test_the_published_forms_equal_the_metrics(context, evaluators, embeddings, name, w):
    flat = [caption for row in CAPTIONS for caption in row]
    texts = evaluators[name].embed_texts(flat, "A photo depicts ").double().numpy()
    repeated = embeddings[name].repeat_interleave(3, 0).double().numpy()
    expected = clip_score(repeated, texts, w=w).per_image
    rewards = build_reward(f"{name}-published", context)(batch(embeddings.__getitem__))
    assert rewards.flatten().tolist() == pytest.approx(expected.tolist(), abs=1e-6)

    groups = [group for group in REFERENCES for _ in range(3)]
    prompted = evaluators[name].embed_texts([r for g in groups for r in g], "A photo depicts ")
    sizes = [len(group) for group in groups]
    expected = ref_clip_score(repeated, texts, prompted.double().numpy(), sizes, w=w).per_image
    reward = build_reward(f"ref-{name}-published", context)
    for _ in range(2):
        rewards = reward(batch(embeddings.__getitem__, REFERENCES))
        assert rewards.flatten().tolist() == pytest.approx(expected.tolist(), abs=1e-6)


def naive_embedding(evaluator, text, num_places=None):
    """(E,) of one text, padded to ``num_places`` ids, by its tower's whole pass."""
    ids = TOKENIZER.encode_batch([text], 77)
    ids = F.pad(ids, (0, (num_places or ids.shape[1]) - ids.shape[1]), value=TOKENIZER.pad_id)
    return evaluator.model.encode_text(ids)[0].detach().double().numpy()


def naive_scores(evaluator, images, w, prompt="", num_places=None):
    """(B, K) scores w * cos and (B, K) highest cosines with a reference, one pair at a time."""
    score, closest = np.empty((2, 3)), np.empty((2, 3))
    for b in range(2):
        own = [naive_embedding(evaluator, prompt + r, num_places) for r in REFERENCES[b]]
        for k in range(3):
            text = naive_embedding(evaluator, prompt + CAPTIONS[b][k], num_places)
            score[b, k] = w * (text @ images[b].double().numpy())
            closest[b, k] = max(text @ reference for reference in own)
    return score, closest


def harmonic_mean(score, closest):
    """2 / (1 / score + 1 / closest) where both are above 0, else 0."""
    both = (score > 0) & (closest > 0)
    return np.where(both, 2 / (1 / np.where(both, score, 1) + 1 / np.where(both, closest, 1)), 0)


@pytest.mark.parametrize(("name", "w"), WEIGHTS)
def test_the_reward_form_with_references_is_a_harmonic_mean(
    context, evaluators, embeddings, name, w
):
    score, closest = naive_scores(evaluators[name], embeddings[name], w)
    expected = harmonic_mean(score, closest)
    assert (expected > 0).any()
    assert (score < 0).any(), "nothing tests the floor"
    rewards = build_reward(f"ref-{name}", context)(batch(embeddings.__getitem__, REFERENCES))
    np.testing.assert_allclose(rewards.double().numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(("name", "w"), WEIGHTS)
def test_the_published_forms_equal_naive_ones_of_padded_texts(
    context, evaluators, embeddings, name, w
):
    """As the formulas say: the prompt before every text, 77 places, at least 0."""
    score, closest = naive_scores(
        evaluators[name], embeddings[name], w, "A photo depicts ", num_places=77
    )
    rewards = build_reward(f"{name}-published", context)(batch(embeddings.__getitem__))
    np.testing.assert_allclose(rewards.double().numpy(), np.maximum(score, 0), atol=1e-6)
    reward = build_reward(f"ref-{name}-published", context)
    rewards = reward(batch(embeddings.__getitem__, REFERENCES))
    expected = harmonic_mean(score, closest)
    np.testing.assert_allclose(rewards.double().numpy(), expected, atol=1e-6)
    unprompted, _ = naive_scores(evaluators[name], embeddings[name], w)
    assert np.abs(np.maximum(unprompted, 0) - np.maximum(score, 0)).max() > 1e-3


def test_shared_prefixes_equal_texts_padded_to_the_context(evaluators, embeddings):
    padded = F.pad(TOKENS, (0, 77 - TOKENS.shape[2]), value=TOKENIZER.pad_id)
    texts = evaluators["pac"].embed_tokens(padded)
    expected = 2.0 * torch.einsum("bke,be->bk", texts, embeddings["pac"])
    rewards = ClipReward(evaluators["pac"])(batch(embeddings.__getitem__))
    torch.testing.assert_close(rewards, expected, atol=1e-6, rtol=0)


def test_cider_d_counts_the_end_as_a_word(images):
    """A caption that stops in mid-sentence matches fewer n-grams than one that ends."""
    rewards = CiderReward(REFERENCES, TOKENIZER)(batch(images, REFERENCES))
    prepared = PreparedReferences(REFERENCES, with_eos=True)
    for k in range(3):
        expected = cider_d([row[k] for row in CAPTIONS], prepared).per_image
        assert rewards[:, k].tolist() == pytest.approx(expected.tolist(), rel=1e-6)
    plain = CiderReward(REFERENCES, TOKENIZER, with_eos=False)(batch(images, REFERENCES))
    assert not torch.allclose(rewards, plain, atol=1e-3)


def test_sums_are_sums(context, images):
    total = build_reward("0.5*pac + 2 * cider-d + -.25e0*clip", context)
    parts = {
        name: build_reward(name, context)(batch(images, REFERENCES))
        for name in ("pac", "clip", "cider-d")
    }
    expected = 0.5 * parts["pac"] + 2 * parts["cider-d"] - 0.25 * parts["clip"]
    torch.testing.assert_close(total(batch(images, REFERENCES)), expected)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("pac", {"pac"}),
        ("ref-clip", {"clip"}),
        ("cider-d", set()),
        ("0.5*pac + 0.5*clip-published", {"pac", "clip"}),
    ],
)
def test_only_what_is_named_is_loaded_and_read(evaluators, embeddings, expression, expected):
    loaded, read = set(), set()

    def load(weights):
        loaded.add(weights)
        return evaluators[weights]

    def look_up(weights):
        read.add(weights)
        return embeddings[weights]

    reward = build_reward(expression, RewardContext(load, TOKENIZER, REFERENCES))
    reward(batch(look_up, REFERENCES))
    assert (loaded, read) == (expected, expected)


@pytest.mark.parametrize(
    "expression",
    [
        "pacs",
        "",
        "pac +",
        "2 pac",
        "pac * 2",
        "..*pac",
        "1.2.3*pac",
        ".*pac",
        "1e999*pac",
        "e3*pac",
    ],
)
def test_impossible_rewards_are_refused(context, expression):
    with pytest.raises(ConfigError, match="reward") as caught:
        build_reward(expression, context)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["ref-pac", "cider-d"])
def test_references_are_asked_for(context, images, name):
    reward = build_reward(name, context)
    for references in (None, [REFERENCES[0], []]):
        with pytest.raises(DataError, match="references"):
            reward(batch(images, references))
