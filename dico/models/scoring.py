"""Exact log-probabilities of given captions, with gradient, sharing what captions share.

Captions of one image begin alike, those of one beam search more than people's. Each distinct prefix
is a node of the image's prefix tree and goes through the decoder once, looking at its ancestors
alone. Without dropout this equals scoring each caption by itself; with dropout the captions of an
image share their masks where they share a prefix.

B images, K candidates per image, T tokens, P image tokens, D width, V vocabulary.
"""

from torch import Tensor
from torch.nn import functional as F

from dico.models.captioner import Captioner
from dico.models.fused_logps import fused_token_logps
from dico.models.prefix_tree import prefix_tree
from dico.models.tied_embedding import tied_embedding


def score_candidates(captioner: Captioner, memory: Tensor, tokens: Tensor) -> Tensor:
    """Log-probabilities (B, K), float32, of candidates, by their prefix tree.

    Args:
        captioner: the policy or the reference model; gradients follow torch's grad mode.
        memory: of ``captioner.encode`` or ``captioner.encode_kv``.
        tokens: (B, K, T) ids BOS..EOS, PAD after.
    """
    states, head, nodes, targets, real = _next_tokens(captioner, memory, tokens)
    # (E,), one per real token: only a chosen token's logit and log Z are kept of each state.
    logps = fused_token_logps(states, head, nodes, targets)
    # Back to (B, K, T - 1), PAD as 0, and summed over the caption's tokens.
    return logps.new_zeros(real.shape).masked_scatter(real, logps).sum(dim=-1)


def caption_logits(captioner: Captioner, memory: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (E, V) and targets (E,) of the E real tokens of captions, for cross-entropy.

    Captions of one image share little more than their first words; what the tree saves here is
    padding, a good half of a batch of human captions.

    Args:
        captioner: the model.
        memory: of ``captioner.encode`` or ``captioner.encode_kv``.
        tokens: (B * K, T) ids BOS..EOS, PAD after; the captions of an image side by side.
    """
    grouped = tokens.view(len(memory), -1, tokens.shape[-1])  # (B * K, T) -> (B, K, T)
    states, head, nodes, targets, _ = _next_tokens(captioner, memory, grouped)
    # A state stands once for each token that follows it: (E, D) @ (D, V).
    return F.linear(states[nodes], head), targets


def _next_tokens(
    captioner: Captioner, memory: Tensor, tokens: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """States (R, D) of the prefixes of captions (B, K, T), the head (V, D), and what is predicted.

    That is for each of the E real tokens the state (E,) that it follows and its id (E,), and where it
    lies in (B, K, T - 1).
    """
    targets = tokens[:, :, 1:]  # (B, K, T - 1) what each prefix is followed by
    real = targets != captioner.pad_id
    # Inputs end before EOS, which nothing follows; so does each prefix: (B, K, T - 1) -> R nodes.
    tree = prefix_tree(tokens[:, :, :-1].masked_fill(~real, captioner.pad_id), captioner.pad_id)
    table = captioner.decoder.token_embedding.weight
    words, head = tied_embedding(table, tree.tokens)  # (R, D), (V, D)
    states = captioner.decoder.forward_tree(memory, tree, words)  # (R, D)
    return states, head, tree.nodes[real], targets[real], real
