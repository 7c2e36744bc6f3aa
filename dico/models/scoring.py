"""Exact log-probabilities of given captions, with gradient, sharing what captions share.

Candidates of one image come from one beam search and begin alike. Each distinct prefix is a node of
the image's prefix tree and goes through the decoder once, looking at its ancestors alone. Without
dropout this equals scoring each caption by itself; with dropout the candidates of an image share
their masks where they share a prefix.

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
    targets = tokens[:, :, 1:]  # (B, K, T - 1) what each prefix is followed by
    real = targets != captioner.pad_id
    # Inputs end before EOS, which nothing follows; so does each prefix: (B, K, T - 1) -> R nodes.
    tree = prefix_tree(tokens[:, :, :-1].masked_fill(~real, captioner.pad_id), captioner.pad_id)
    table = captioner.decoder.token_embedding.weight
    words, head = tied_embedding(table, tree.tokens)  # (R, D), (V, D)
    hidden = captioner.decoder.forward_tree(memory, tree, words)  # (R, D)
    # (E,), one per real token: only a chosen token's logit and log Z are kept of each state.
    logps = fused_token_logps(hidden, head, tree.nodes[real], targets[real])
    # Back to (B, K, T - 1), PAD as 0, and summed over the caption's tokens.
    return logps.new_zeros(targets.shape).masked_scatter(real, logps).sum(dim=-1)


def caption_logits(captioner: Captioner, memory: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (M, V) and targets (M,) of the M real tokens of captions, for cross-entropy.

    Args:
        captioner: the model.
        memory: of ``captioner.encode`` or ``captioner.encode_kv``.
        tokens: (N, T) ids BOS..EOS, PAD after; the N / B captions of an image side by side.
    """
    targets = tokens[:, 1:]
    real = targets != captioner.pad_id
    table = captioner.decoder.token_embedding.weight
    words, head = tied_embedding(table, tokens[:, :-1])  # (N, T - 1, D)
    hidden = captioner.decoder(memory, words)  # (N, T - 1, D)
    # PAD is dropped before the head, the dearest product: (M, D) @ (D, V).
    return F.linear(hidden[real], head), targets[real]
