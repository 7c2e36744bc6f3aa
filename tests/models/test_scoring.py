"""Teacher forcing, candidates scored by their prefix tree, and Delta at step 0."""

import copy

import pytest
import torch

from dico.decoding import DecodingConfig, beam_search
from dico.losses import dico_loss, xe_loss
from dico.models.captioner import Captioner
from dico.models.prefix_tree import prefix_tree
from dico.models.scoring import caption_logits, score_candidates
from tests.builders import random_captioner
from tests.oracles import score_captions

BOS, EOS, PAD = 37, 38, 39


@pytest.fixture(scope="module")
def captioner() -> Captioner:
    return random_captioner()


def naive_logps(captioner, memory, tokens):
    """Each caption token by token, without batching, caching or padding; in double precision."""
    captioner, memory = copy.deepcopy(captioner).double(), memory.double()
    logps = torch.zeros(tokens.shape[:2], dtype=torch.float64)
    for b, candidates in enumerate(tokens.tolist()):
        for k, row in enumerate(candidates):
            for t in range(1, row.index(EOS) + 1):
                logits = captioner.logits(memory[b : b + 1], torch.tensor([row[:t]]))[0, -1]
                logps[b, k] += logits.log_softmax(0)[row[t]]
    return logps


LITERAL = torch.tensor(
    [
        [[BOS, 1, 2, 3, EOS], [BOS, 1, 2, EOS, PAD], [BOS, 4, EOS, PAD, PAD]],
        [[BOS, EOS, PAD, PAD, PAD], [BOS, 5, 6, 7, EOS], [BOS, 5, 6, 7, EOS]],
    ]
)


def test_prefix_tree_of_literal_candidates():
    tree = prefix_tree(LITERAL.masked_fill(LITERAL == EOS, PAD), PAD)
    assert tree.tokens.tolist() == [BOS, 1, 4, 2, 3, BOS, 5, 6, 7]
    assert tree.depths.tolist() == [0, 1, 1, 2, 3, 0, 1, 2, 3]
    assert tree.places.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert tree.nodes[0].tolist() == [[0, 1, 3, 4, 0], [0, 1, 3, 0, 0], [0, 2, 0, 0, 0]]
    assert tree.nodes[1].tolist() == [[5, 5, 5, 5, 5], [5, 6, 7, 8, 5], [5, 6, 7, 8, 5]]
    ancestors = [row.nonzero()[:, 0].tolist() for row in tree.mask[0]]
    assert ancestors == [[0], [0, 1], [0, 2], [0, 1, 3], [0, 1, 3, 4]]


@pytest.mark.parametrize("score", [score_candidates, score_captions])
def test_candidates_equal_captions_scored_one_token_at_a_time(captioner, score):
    torch.manual_seed(1)
    memory = captioner.encode(torch.randn(2, 5, 12)).detach()
    expected = naive_logps(captioner, memory, LITERAL)
    with torch.no_grad():
        logps = score(captioner, memory, LITERAL)
    assert logps.dtype == torch.float32
    torch.testing.assert_close(logps.double(), expected, atol=2e-6, rtol=2e-6)


def test_tree_and_plain_scoring_agree_on_beams_and_on_gradients(captioner):
    torch.manual_seed(2)
    features = torch.randn(4, 5, 12)
    tokens = beam_search(
        captioner, captioner.encode(features), DecodingConfig(max_tokens=12)
    ).tokens
    weights = torch.randn(4, 5)
    gradients = []
    for score in (score_candidates, score_captions):
        logps = score(captioner, captioner.encode(features), tokens)
        names, parameters = zip(*captioner.named_parameters(), strict=True)
        gradients.append(torch.autograd.grad((weights * logps).sum(), parameters))
    scale = max(value.abs().max() for value in gradients[0])
    for name, tree, plain in zip(names, *gradients, strict=True):
        torch.testing.assert_close(tree / scale, plain / scale, atol=2e-6, rtol=1e-4, msg=name)


def test_delta_is_exactly_zero_at_step_zero(captioner):
    torch.manual_seed(3)
    policy, reference = copy.deepcopy(captioner), copy.deepcopy(captioner).requires_grad_(False)
    features = torch.randn(3, 5, 12)
    tokens = beam_search(policy, policy.encode(features), DecodingConfig(max_tokens=10)).tokens
    policy_logps = score_candidates(policy, policy.encode(features), tokens)
    with torch.no_grad():
        reference_logps = score_candidates(reference, reference.encode(features), tokens)
    assert torch.equal(policy_logps, reference_logps)
    loss, metrics = dico_loss(policy_logps, reference_logps, torch.rand(3, 5), 0.2, 300.0)
    assert metrics["margin"].item() == 0.0
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in policy.parameters())


def test_teacher_forcing_reads_what_precedes_and_predicts_what_follows(captioner):
    """Targets are the caption without BOS; the row that predicts word t has not seen it."""
    torch.manual_seed(4)
    memory = captioner.encode(torch.randn(2, 5, 12))
    tokens = torch.tensor([[BOS, 3, 4, EOS], [BOS, 7, EOS, PAD]])
    logits, targets = caption_logits(captioner, memory, tokens)
    assert targets.tolist() == [3, 4, EOS, 7, EOS]
    plain = captioner.logits(memory, tokens[:, :-1])[tokens[:, 1:] != PAD]
    torch.testing.assert_close(logits, plain, atol=1e-5, rtol=1e-5)
    changed = tokens.clone()
    changed[0, 2] = 9
    other, _ = caption_logits(captioner, memory, changed)
    assert torch.equal(logits[:2], other[:2])
    assert not torch.equal(logits[2], other[2])


def test_cross_entropy_of_captions_that_share_prefixes_has_the_gradients_of_a_plain_forward(
    captioner,
):
    torch.manual_seed(6)
    features, tokens = torch.randn(2, 5, 12), LITERAL.flatten(0, 1)  # (2 * 3, T)
    real = tokens[:, 1:] != PAD
    parameters, gradients = list(captioner.parameters()), []
    for shared in (True, False):
        memory = captioner.encode(features)
        logits = captioner.logits(memory, tokens[:, :-1])[real]
        if shared:
            logits, _ = caption_logits(captioner, memory, tokens)
        loss = xe_loss(logits, tokens[:, 1:][real], PAD, 0.1)
        gradients.append(torch.autograd.grad(loss, parameters))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one.to_dense(), other.to_dense(), atol=1e-5, rtol=1e-4)


def test_each_image_has_its_own_captions(captioner):
    torch.manual_seed(5)
    memory = captioner.encode(torch.randn(2, 5, 12))
    tokens = LITERAL.flip(0)
    swapped = score_candidates(captioner, memory.flip(0), tokens)
    torch.testing.assert_close(swapped, score_candidates(captioner, memory, LITERAL).flip(0))
    assert not torch.allclose(swapped, score_candidates(captioner, memory, tokens), atol=1e-2)


def test_dropout_changes_scores_in_training_only(captioner):
    model = copy.deepcopy(captioner).train()
    memory = captioner.encode(torch.randn(2, 5, 12)).detach()
    assert not torch.equal(*(score_candidates(model, memory, LITERAL) for _ in range(2)))
    model.eval()
    assert torch.equal(*(score_candidates(model, memory, LITERAL) for _ in range(2)))


def test_a_look_gives_what_a_memory_gives(captioner):
    features = torch.randn(2, 5, 12)
    memory, seen = captioner.encode(features), captioner.encode_kv(features)
    config = DecodingConfig(max_tokens=10)
    expected, found = (beam_search(captioner, from_.detach(), config) for from_ in (memory, seen))
    assert torch.equal(found.tokens, expected.tokens)
    torch.testing.assert_close(found.logps, expected.logps)
    gradients = []
    for from_ in (memory, seen):
        loss = score_candidates(captioner, from_, found.tokens).sum()
        logits, _ = caption_logits(captioner, from_, found.tokens.flatten(0, 1))
        parameters = list(captioner.parameters())
        gradients.append(torch.autograd.grad(loss + logits.square().sum(), parameters))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one.to_dense(), other.to_dense(), atol=1e-4, rtol=1e-4)
