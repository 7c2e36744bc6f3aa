"""Rewards against the published scores, the padded form and pycocoevalcap's CIDEr-D."""

import sys

import pytest
import torch
from torch.nn import functional as F

from dico.errors import ConfigError, DataError
from dico.metrics.cider import cider_d
from dico.metrics.clip_score import clip_score, ref_clip_score
from dico.metrics.prepared import PreparedReferences
from dico.models.clip import ClipConfig, ClipModel, TextConfig, VisionConfig
from dico.models.evaluator import Evaluator, EvaluatorConfig
from dico.models.tokenizer import Tokenizer
from dico.rewards import CiderReward, ClipReward, RefClipReward, RewardContext, build_reward

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
def evaluator() -> Evaluator:
    torch.manual_seed(0)
    clip = ClipConfig(
        embed_dim=16,
        vision_cfg=VisionConfig(image_size=32, layers=1, width=32, head_width=16, patch_size=8),
        text_cfg=TextConfig(40, TOKENIZER.vocab_size - 1, 32, 2, 2),
    )
    model = ClipModel(clip)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.2 * torch.randn_like(value))
    return Evaluator(EvaluatorConfig(clip=clip), model, TOKENIZER)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return F.normalize(torch.randn(2, 16, generator=torch.Generator().manual_seed(3)), dim=-1)


def test_the_reward_form_has_no_prompt_and_no_floor(evaluator, images):
    rewards = ClipReward(evaluator)(images, TOKENS)
    assert rewards.shape == (2, 3)
    assert rewards.dtype == torch.float32
    for b in range(2):
        for k in range(3):
            text = evaluator.embed_texts([CAPTIONS[b][k]])[0]
            assert rewards[b, k].item() == pytest.approx(2.0 * (text @ images[b]).item(), abs=1e-6)
    opposite = ClipReward(evaluator)(-images, TOKENS)
    torch.testing.assert_close(opposite, -rewards)


@pytest.mark.parametrize("w", [2.0, 2.5])
def test_the_published_forms_equal_the_metrics(evaluator, images, w):
    flat = [caption for row in CAPTIONS for caption in row]
    texts = evaluator.embed_texts(flat, "A photo depicts ").double().numpy()
    repeated = images.repeat_interleave(3, 0).double().numpy()
    expected = clip_score(repeated, texts, w=w).per_image
    rewards = ClipReward(evaluator, w, "published")(images, TOKENS)
    assert rewards.flatten().tolist() == pytest.approx(expected.tolist(), abs=1e-6)

    groups = [group for group in REFERENCES for _ in range(3)]
    prompted = evaluator.embed_texts([r for g in groups for r in g], "A photo depicts ")
    sizes = [len(group) for group in groups]
    expected = ref_clip_score(repeated, texts, prompted.double().numpy(), sizes, w=w).per_image
    reward = RefClipReward(evaluator, w, "published")
    for _ in range(2):
        rewards = reward(images, TOKENS, REFERENCES)
        assert rewards.flatten().tolist() == pytest.approx(expected.tolist(), abs=1e-6)


def test_shared_prefixes_equal_texts_padded_to_the_context(evaluator, images):
    padded = F.pad(TOKENS, (0, 40 - TOKENS.shape[2]), value=TOKENIZER.pad_id)
    texts = evaluator.embed_tokens(padded)
    expected = 2.0 * torch.einsum("bke,be->bk", texts, images)
    torch.testing.assert_close(ClipReward(evaluator)(images, TOKENS), expected, atol=1e-6, rtol=0)


def test_cider_d_counts_the_end_as_a_word(evaluator, images):
    """A caption that stops in mid-sentence matches fewer n-grams than one that ends."""
    rewards = CiderReward(REFERENCES, TOKENIZER)(images, TOKENS, REFERENCES)
    prepared = PreparedReferences(REFERENCES, with_eos=True)
    for k in range(3):
        expected = cider_d([row[k] for row in CAPTIONS], prepared).per_image
        assert rewards[:, k].tolist() == pytest.approx(expected.tolist(), rel=1e-6)
    plain = CiderReward(REFERENCES, TOKENIZER, with_eos=False)(images, TOKENS, REFERENCES)
    assert not torch.allclose(rewards, plain, atol=1e-3)


def test_sums_are_sums(evaluator, images):
    context = RewardContext(evaluator, TOKENIZER, REFERENCES)
    total = build_reward("0.5*pac + 2 * cider-d", context)(images, TOKENS, REFERENCES)
    pac = build_reward("pac", context)(images, TOKENS)
    cider = build_reward("cider-d", context)(images, TOKENS, REFERENCES)
    torch.testing.assert_close(total, 0.5 * pac + 2 * cider)


@pytest.mark.parametrize("expression", ["pacs", "", "pac +", "2 pac", "pac * 2"])
def test_impossible_rewards_are_refused(evaluator, expression):
    with pytest.raises(ConfigError, match="reward"):
        build_reward(expression, RewardContext(evaluator, TOKENIZER))


@pytest.mark.parametrize("name", ["ref-pac", "cider-d"])
def test_references_are_asked_for(evaluator, images, name):
    reward = build_reward(name, RewardContext(evaluator, TOKENIZER, REFERENCES))
    for references in (None, [REFERENCES[0], []]):
        with pytest.raises(DataError, match="references"):
            reward(images, TOKENS, references)


def test_rewards_of_other_packages(evaluator, images, tmp_path, monkeypatch):
    """A distribution that names an entry point, found as any installed one."""
    info = tmp_path / "longest-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: longest\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[dico.rewards]\nlongest = longest_reward:make\n")
    (tmp_path / "longest_reward.py").write_text(
        "def make(context):\n"
        "    pad = context.tokenizer.pad_id\n"
        "    return lambda images, tokens, references=None: (tokens != pad).sum(-1).float()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    reward = build_reward("longest", RewardContext(evaluator, TOKENIZER))
    assert reward(images, TOKENS).tolist() == (TOKENIZER.pad_id != TOKENS).sum(-1).tolist()
    sys.modules.pop("longest_reward")
