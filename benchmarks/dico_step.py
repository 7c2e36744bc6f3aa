"""One DiCO step at the paper's size: ours against the reference algorithm's operations in order.

    python benchmarks/dico_step.py [--batch 8] [--rounds 1]

The rival is written here from the description of the reference, on the same weights and pictures:
it runs the vision tower, searches without sharing anything between beams (cross-attention keys and
values anew at every word, a gradient graph that is thrown away), scores padded candidates one by
one with full logits, recomputes the reward's image, and pads the reward's texts to 77 tokens. Both
must find the same candidates, rewards and loss. Dropout is off in both.
"""

import argparse
import copy
import resource
import time
from collections.abc import Callable
from typing import Any

import torch
from beam_search import SIZES, paper_captioner
from measure import write
from torch import Tensor
from torch.nn import functional as F

from dico.decoding import DecodingConfig, beam_search
from dico.losses import dico_loss
from dico.models.captioner import Captioner
from dico.models.clip import ClipConfig, ClipModel
from dico.models.scoring import score_candidates

BETA, TAU, W = 0.2, 300.0, 2.0
DECODING = DecodingConfig(rule="transformers4")
TOWER = {
    "embed_dim": 768,
    "vision_cfg": {"image_size": 224, "layers": 24, "width": 1024, "patch_size": 14},
    "text_cfg": {"width": 768, "heads": 12, "layers": 1},
    "quick_gelu": True,
}
REWARD = {
    "embed_dim": 512,
    "vision_cfg": {"image_size": 224, "layers": 12, "width": 768, "patch_size": 32},
    "text_cfg": {"width": 512, "heads": 8, "layers": 12},
    "quick_gelu": True,
}


class Clock:
    """CPU seconds of the named parts of a step."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}

    def __call__(self, name: str, run: Callable[[], Any]) -> Any:
        """Runs and adds its time to ``name``."""
        start = time.process_time()
        result = run()
        self.parts[name] = self.parts.get(name, 0.0) + time.process_time() - start
        return result


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
    hidden = decoder.words(words)[:, None] + decoder.positions[at]
    for index, layer in enumerate(decoder.stack()):
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


def reference_cross(layer: Any, hidden: Tensor, memory: Tensor) -> Tensor:
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


def reference_logps(captioner: Captioner, memory: Tensor, tokens: Tensor) -> Tensor:
    """Log-probabilities (B, K) from full logits of padded candidates, nothing shared."""
    flat = F.pad(
        tokens.flatten(0, 1), (0, DECODING.max_tokens - tokens.shape[2]), value=captioner.pad_id
    )
    repeated = memory.repeat_interleave(tokens.shape[1], dim=0)
    decoder = captioner.decoder
    hidden = decoder.words(flat[:, :-1]) + decoder.positions[: flat.shape[1] - 1]
    causal = torch.ones(hidden.shape[1], hidden.shape[1], dtype=torch.bool).tril()
    for layer in decoder.stack():
        merged = layer.self_qkv(layer.self_norm(hidden)).unflatten(-1, (3, SIZES.num_heads, -1))
        query, key, value = (part.transpose(1, 2) for part in merged.unbind(2))
        hidden = hidden + layer.self_out(eager_attention(query, key, value, causal))
        hidden = hidden + reference_cross(layer, hidden, repeated)
        hidden = hidden + layer.feed_forward(hidden)
    logps = captioner.head(decoder.norm(hidden)).log_softmax(dim=-1)
    chosen = logps.gather(2, flat[:, 1:, None])[:, :, 0]
    return (chosen * (flat[:, 1:] != captioner.pad_id)).sum(dim=1).view(tokens.shape[:2])


def reference_step(models: dict[str, Any], data: dict[str, Tensor], clock: Clock) -> dict[str, Any]:
    """The step in the reference's order."""
    policy, start, tower, reward = (models[name] for name in ("policy", "start", "tower", "reward"))
    with torch.no_grad():
        features = clock("vision tower", lambda: tower.encode_image_tokens(data["pixels"]))
    tokens = clock(
        "candidates", lambda: reference_search(policy, policy.encode(features), DECODING)
    )
    with torch.no_grad():
        scored = clock(
            "reference model", lambda: reference_logps(start, start.encode(features), tokens)
        )
        images = clock("reward image", lambda: reward.encode_image(data["pixels"]))
        texts = clock("reward text", lambda: padded_texts(reward, tokens))
    rewards = W * torch.einsum("bke,be->bk", texts, images)
    logps = clock("policy", lambda: reference_logps(policy, policy.encode(features), tokens))
    return finish(models["reference optimiser"], logps, scored, rewards, tokens, clock)


def padded_texts(reward: ClipModel, tokens: Tensor) -> Tensor:
    """Text embeddings of candidates padded to CLIP's 77 tokens, each by itself."""
    vocab_size, length = reward.config.text_cfg.vocab_size, reward.config.text_cfg.context_length
    flat = F.pad(tokens.flatten(0, 1), (0, length - tokens.shape[2]), value=vocab_size)
    flat = flat.masked_fill(flat >= vocab_size, 0)
    hidden = reward.token_embedding(flat) + reward.positional_embedding
    hidden = reward.transformer(hidden, is_causal=True)
    states = reward.embed_text_hidden(hidden)[torch.arange(len(flat)), flat.argmax(dim=1)]
    return states.view(*tokens.shape[:2], -1)


def our_step(models: dict[str, Any], data: dict[str, Tensor], clock: Clock) -> dict[str, Any]:
    """The step as dico's training does it, from stored features and embeddings."""
    policy, start, reward = (models[name] for name in ("policy", "start", "reward"))
    memory = clock("policy encoder", lambda: policy.encode(data["features"]))
    tokens = clock("candidates", lambda: beam_search(policy, memory.detach(), DECODING).tokens)
    with torch.no_grad():
        scored = clock(
            "reference model",
            lambda: score_candidates(start, start.encode(data["features"]), tokens),
        )
        texts = clock("reward text", lambda: reward.encode_candidates(tokens))
    rewards = W * torch.einsum("bke,be->bk", texts, data["embeddings"])
    logps = clock("policy", lambda: score_candidates(policy, memory, tokens))
    return finish(models["optimiser"], logps, scored, rewards, tokens, clock)


def finish(
    optimiser: torch.optim.Optimizer,
    logps: Tensor,
    scored: Tensor,
    rewards: Tensor,
    tokens: Tensor,
    clock: Clock,
) -> dict[str, Any]:
    """Loss, backward and Adam; the learning rate is 0 so that both rivals keep one model."""
    loss, _ = dico_loss(logps, scored, rewards, BETA, TAU)
    optimiser.zero_grad()
    clock("backward", lambda: loss.backward())
    clock("optimiser", optimiser.step)
    return {"tokens": tokens, "rewards": rewards, "logps": logps.detach(), "loss": loss.item()}


def build(batch: int) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Models with random weights, and pictures with their stored features."""
    policy = paper_captioner()
    start = copy.deepcopy(policy).requires_grad_(False)
    with torch.no_grad():
        for value in start.parameters():
            value.mul_(1 + 0.01 * torch.randn_like(value))
    tower, reward = (ClipModel(ClipConfig.from_dict(data)).eval() for data in (TOWER, REWARD))
    torch.manual_seed(2)
    pixels = torch.randn(batch, 3, 224, 224)
    with torch.no_grad():
        data = {
            "pixels": pixels,
            "features": tower.encode_image_tokens(pixels),
            "embeddings": reward.encode_image(pixels),
        }
    parameters = list(policy.parameters())
    models = {
        "policy": policy,
        "start": start,
        "tower": tower,
        "reward": reward,
        "optimiser": torch.optim.Adam(parameters, lr=0.0),
        "reference optimiser": torch.optim.Adam(parameters, lr=0.0),
    }
    return models, data


def peak_gigabytes() -> float:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main() -> None:
    """Runs the comparison and writes results/dico_step_batch*.json."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--batch", type=int, default=8, help="images (default 8)")
    parser.add_argument("--rounds", type=int, default=1, help="measured turns (default 1)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    models, data = build(options.batch)
    our_step(models, data, Clock())
    ours, theirs = [], []
    idle = peak_gigabytes()
    for _ in range(options.rounds):
        ours.append(Clock())
        mine = our_step(models, data, ours[-1])
        our_memory = peak_gigabytes()
        theirs.append(Clock())
        other = reference_step(models, data, theirs[-1])
        ours.append(Clock())
        our_step(models, data, ours[-1])
    our_parts, their_parts = (median_parts([c.parts for c in clocks]) for clocks in (ours, theirs))
    same = mine["tokens"].shape == other["tokens"].shape and torch.equal(
        mine["tokens"], other["tokens"]
    )
    result = {
        "batch": options.batch,
        "candidates": DECODING.num_beams,
        "rounds": options.rounds,
        "dico_cpu_seconds": sum(our_parts.values()),
        "dico_cpu_seconds_each": [sum(clock.parts.values()) for clock in ours],
        "reference_cpu_seconds": sum(their_parts.values()),
        "reference_cpu_seconds_each": [sum(clock.parts.values()) for clock in theirs],
        "speed_up": sum(their_parts.values()) / sum(our_parts.values()),
        "dico_parts": our_parts,
        "reference_parts": their_parts,
        "same_candidates": same,
        "mean_tokens": (mine["tokens"] < SIZES.vocab_size - 1).sum(-1).float().mean().item(),
        "loss": mine["loss"],
        "relative_loss_gap": abs(mine["loss"] - other["loss"]) / other["loss"],
        "largest_logp_gap": (mine["logps"] - other["logps"]).abs().max().item() if same else None,
        "largest_reward_gap": (mine["rewards"] - other["rewards"]).abs().max().item()
        if same
        else None,
        "gigabytes_before": idle,
        "gigabytes_peak_dico": our_memory,
        "gigabytes_peak_with_reference": peak_gigabytes(),
    }
    write(f"dico_step_batch{options.batch}", result)


def median_parts(clocks: list[dict[str, float]]) -> dict[str, float]:
    """The middle time of each part."""
    return {name: sorted(parts[name] for parts in clocks)[len(clocks) // 2] for name in clocks[0]}


if __name__ == "__main__":
    main()
