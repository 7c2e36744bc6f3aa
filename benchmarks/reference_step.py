"""The reference algorithm's operations for a DiCO step, in its order, as rivals of ours.

Written from the description of the method: the search shares nothing between beams (cross-attention
keys and values anew at every word, a gradient graph that is thrown away), candidates are padded and
scored one by one with full logits, and the reward's texts are padded to 77 tokens.
"""

import torch
from sizes import SIZES
from torch import Tensor
from torch.nn import functional as F

from dico.decoding import DecodingConfig
from dico.models.captioner import Captioner
from dico.models.clip import ClipModel
from dico.models.decoder import DecoderLayer


def reference_search(captioner: Captioner, memory: Tensor, config: DecodingConfig) -> Tensor:
    """Beam search by the 4.20 rule with the reference's operations; tokens (B, K, T)."""
    batch, beams, limit = len(memory), config.num_beams, config.max_tokens
    repeated = memory.repeat_interleave(beams, dim=0)
    tokens = torch.full((batch * beams, 1), captioner.bos_id)
    scores = torch.zeros(batch, beams)
    scores[:, 1:] = -1e9
    finished: list[list[tuple[float, list[int]]]] = [[] for _ in range(batch)]
    done = [False] * batch
    past: list[tuple[Tensor, Tensor]] = []
    while tokens.shape[1] < limit and not all(done):
        length = tokens.shape[1]
        logits, past = reference_decoder_step(captioner, repeated, tokens[:, -1], length - 1, past)
        logps = logits.float().log_softmax(dim=-1)
        logps[:, captioner.bos_id] = logps[:, captioner.pad_id] = -torch.inf
        if length + 1 == limit:
            logps[:, : captioner.eos_id] = -torch.inf
        total = (logps + scores.view(-1, 1)).view(batch, -1)
        top, places = total.topk(2 * beams, dim=1)
        rows = torch.zeros(batch, beams, dtype=torch.int64)
        words = torch.full((batch, beams), captioner.pad_id)
        scores = torch.zeros(batch, beams)
        for image in range(batch):
            if done[image]:
                continue
            going = 0
            for rank in range(2 * beams):
                place, score = int(places[image, rank]), top[image, rank].item()
                row, word = place // SIZES.vocab_size, place % SIZES.vocab_size
                if score < -1e8:
                    continue
                if word == captioner.eos_id:
                    if rank < beams:
                        caption = [*tokens[image * beams + row].tolist(), word]
                        finished[image].append((score / length**config.length_penalty, caption))
                elif going < beams:
                    rows[image, going], words[image, going] = row, word
                    scores[image, going] = top[image, rank]
                    going += 1
            finished[image] = sorted(finished[image], key=lambda f: -f[0])[:beams]
            attainable = top[image, 0].item() / length**config.length_penalty
            full = len(finished[image]) == beams
            done[image] = full and finished[image][-1][0] >= attainable
        flat = (rows + beams * torch.arange(batch)[:, None]).flatten()
        tokens = torch.cat([tokens[flat], words.view(-1, 1)], dim=1)
        past = [(key[flat], value[flat]) for key, value in past]
    longest = max(len(caption) for captions in finished for _, caption in captions)
    padded = [
        [caption + [captioner.pad_id] * (longest - len(caption)) for _, caption in captions]
        for captions in finished
    ]
    return torch.tensor(padded)


def reference_decoder_step(
    captioner: Captioner, memory: Tensor, words: Tensor, at: int, past: list[tuple[Tensor, Tensor]]
) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """Logits of the next word; each beam's keys and values of the image are computed anew."""
    decoder, grown = captioner.decoder, []
    hidden = decoder.token_embedding(words)[:, None] + decoder.positions[at]
    for index, layer in enumerate(decoder.blocks()):
        merged = layer.self_qkv(layer.self_norm(hidden)).unflatten(-1, (3, SIZES.num_heads, -1))
        query, key, value = (part.transpose(1, 2) for part in merged.unbind(2))
        if past:
            key, value = (
                torch.cat(pair, 2) for pair in zip(past[index], (key, value), strict=True)
            )
        grown.append((key, value))
        hidden = hidden + layer.self_out(eager_attention(query, key, value, None))
        hidden = hidden + reference_cross(layer, hidden, memory)
        hidden = hidden + layer.feed_forward(hidden)
    return captioner.head(decoder.norm(hidden[:, -1])), grown


def reference_cross(layer: DecoderLayer, hidden: Tensor, memory: Tensor) -> Tensor:
    """Cross-attention as eager products, with keys and values of every row's own copy."""
    query = layer.cross_query(layer.cross_norm(hidden)).unflatten(-1, (SIZES.num_heads, -1))
    merged = layer.cross_key_value(memory).unflatten(-1, (2, SIZES.num_heads, -1))
    key, value = (part.transpose(1, 2) for part in merged.unbind(2))
    mixed = eager_attention(query.transpose(1, 2), key, value, None)
    taken: Tensor = layer.cross_out(mixed)
    return taken


def eager_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Attention with its weights written out, as libraries of 2022 had it."""
    weights = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    if mask is not None:
        weights = weights.masked_fill(~mask, torch.finfo(weights.dtype).min)
    return (weights.softmax(dim=-1) @ value).transpose(1, 2).flatten(2)


def reference_logps(
    captioner: Captioner, memory: Tensor, tokens: Tensor, max_tokens: int
) -> Tensor:
    """Log-probabilities (B, K) from full logits of padded candidates, nothing shared."""
    flat = F.pad(tokens.flatten(0, 1), (0, max_tokens - tokens.shape[2]), value=captioner.pad_id)
    repeated = memory.repeat_interleave(tokens.shape[1], dim=0)
    decoder = captioner.decoder
    hidden = decoder.token_embedding(flat[:, :-1]) + decoder.positions[: flat.shape[1] - 1]
    causal = torch.ones(hidden.shape[1], hidden.shape[1], dtype=torch.bool).tril()
    for layer in decoder.blocks():
        merged = layer.self_qkv(layer.self_norm(hidden)).unflatten(-1, (3, SIZES.num_heads, -1))
        query, key, value = (part.transpose(1, 2) for part in merged.unbind(2))
        hidden = hidden + layer.self_out(eager_attention(query, key, value, causal))
        hidden = hidden + reference_cross(layer, hidden, repeated)
        hidden = hidden + layer.feed_forward(hidden)
    logps = captioner.head(decoder.norm(hidden)).float().log_softmax(dim=-1)
    chosen = logps.gather(2, flat[:, 1:, None])[:, :, 0]
    return (chosen * (flat[:, 1:] != captioner.pad_id)).sum(dim=1).view(tokens.shape[:2])


def padded_texts(reward: ClipModel, tokens: Tensor) -> Tensor:
    """Text embeddings of candidates padded to CLIP's 77 tokens, each by itself."""
    vocab_size, length = reward.config.text_cfg.vocab_size, reward.config.text_cfg.context_length
    flat = F.pad(tokens.flatten(0, 1), (0, length - tokens.shape[2]), value=vocab_size)
    flat = flat.masked_fill(flat >= vocab_size, 0)
    hidden = reward.token_embedding(flat) + reward.positional_embedding
    hidden = reward.transformer(hidden, is_causal=True)
    states = reward.embed_text_hidden(hidden)[torch.arange(len(flat)), flat.argmax(dim=1)]
    return states.view(*tokens.shape[:2], -1)
