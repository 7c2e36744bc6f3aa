"""Captions of a vision-language model that share their prompt, beside rivals, in one process.

    python -m benchmarks.vlm [--rounds 5] [--comparison NAME]

A LLaVA-shaped model of random weights (width 256, 6 layers, 4 heads, 32,064 words), 2 images of
576 places in prompts of 584 tokens, 5 captions each of 15 tokens, one core. Rivals, over the same
weights and inputs, all of whose log-probabilities are compared with ours in the same run:

- ``before``: dico's own LLaVA class of the version before this way (the image's states embedded
  once and repeated; logits at every place of the prompt), operation for operation;
- ``trl``: the log-probability path of trl 1.16's trainers (``_get_per_token_logps_and_entropies``:
  pixels, prompt and completion through the model for each completion; logits of the completion
  only, divided by the temperature, then ``selective_log_softmax``).

A line a comparison: seconds of process CPU time, by turns, and the peak of memory above the weights
and their gradients, each in a process of its own. All of them are kept in results/vlm.json and .md.
"""

import argparse
import gc
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.measure import table, write
from dico.losses import token_logps, xe_loss
from dico.models.torchvision_compat import ensure_torchvision_imports

WORDS, PLACES, IMAGES, CAPTIONS, TOKENS, IMAGE = 32_064, 576, 2, 5, 15, 32_000
PROMPT = [1, 13, 14, 15, *[IMAGE] * PLACES, 16, 17, 18, 19]


def model() -> Any:
    """A model of LLaVA's class with the tower of a toy, so that the language model is measured."""
    ensure_torchvision_imports()
    from transformers import (
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
    )

    torch.manual_seed(0)
    sizes = {"num_attention_heads": 4, "intermediate_size": 688}
    text = LlamaConfig(
        vocab_size=WORDS, hidden_size=256, num_hidden_layers=6, eos_token_id=2, **sizes
    )
    vision = CLIPVisionConfig(
        hidden_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=336, patch_size=14
    )
    config = LlavaConfig(text_config=text, vision_config=vision, image_token_index=IMAGE)
    return LlavaForConditionalGeneration(config).eval()


def inputs() -> tuple[Tensor, Tensor]:
    """Pixels (B, 3, H, W) and captions (B, K, T), BOS first and EOS last."""
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randn(IMAGES, 3, 336, 336, generator=generator)
    shape = (IMAGES, CAPTIONS, TOKENS)
    tokens = torch.randint(100, 31_000, shape, generator=generator)
    tokens[..., 0], tokens[..., -1] = 1, 2
    return pixels, tokens


def shared(policy: Any, pixels: Tensor, tokens: Tensor) -> Tensor:
    """Ours: log-probabilities (B, K)."""
    return policy.score_candidates(_encoded(policy, pixels), tokens)  # type: ignore[no-any-return]


def before(policy: Any, pixels: Tensor, tokens: Tensor) -> Tensor:
    """The operations of the class that this way replaced."""
    flat = tokens.flatten(0, 1)
    logits, targets = _logits_before(policy.model, pixels, flat)
    logps = token_logps(logits, targets)
    return logps.view(*tokens.shape[:2], -1).sum(dim=-1)


def trl(policy: Any, pixels: Tensor, tokens: Tensor) -> Tensor:
    """The operations of trl's trainers."""
    completions = tokens.flatten(0, 1)[:, 1:]
    prompts = torch.tensor([PROMPT]).expand(len(completions), -1)
    ids = torch.cat([prompts, completions], dim=1)
    kept = completions.shape[1]
    logits = policy.model(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        pixel_values=pixels.repeat_interleave(tokens.shape[1], dim=0),
        logits_to_keep=kept + 1,
        use_cache=False,
    ).logits
    logits = logits[:, :-1, :][:, -kept:, :] / 1.0
    logps = torch.stack(  # selective_log_softmax of float32
        [
            row.gather(-1, index[:, None])[:, 0]
            for row, index in zip(logits, completions, strict=True)
        ]
    ) - torch.stack([torch.logsumexp(row, dim=-1) for row in logits])
    return logps.sum(dim=-1).view(tokens.shape[:2])


def shared_xe(policy: Any, pixels: Tensor, tokens: Tensor) -> Tensor:
    """Ours: the cross-entropy of five captions an image."""
    logits, targets = policy.caption_logits(_encoded(policy, pixels), tokens.flatten(0, 1))
    return xe_loss(logits, targets, policy.pad_id)


def before_xe(policy: Any, pixels: Tensor, tokens: Tensor) -> Tensor:
    """The same by the class that this way replaced."""
    logits, targets = _logits_before(policy.model, pixels, tokens.flatten(0, 1))
    return xe_loss(logits, targets, policy.pad_id)


def search(policy: Any, pixels: Tensor, _tokens: Tensor) -> Tensor:
    """Ours: five beams of 15 words."""
    from dico.decoding import DecodingConfig
    from dico.decoding.beam import beam_search

    config = DecodingConfig(num_beams=5, max_tokens=TOKENS, eos_at_limit="open")
    with torch.no_grad():
        memory = policy.read_prompts(_encoded(policy, pixels))
        return beam_search(policy, memory, config).tokens[:, :, 1:]


def generate(policy: Any, pixels: Tensor, _tokens: Tensor) -> Tensor:
    """Transformers' own, from pixels."""
    prompts = torch.tensor([PROMPT]).expand(len(pixels), -1)
    with torch.no_grad():
        made = policy.model.generate(
            input_ids=prompts,
            attention_mask=torch.ones_like(prompts),
            pixel_values=pixels,
            num_beams=5,
            num_return_sequences=5,
            max_new_tokens=TOKENS - 1,
            do_sample=False,
            eos_token_id=2,
            pad_token_id=2,
            suppress_tokens=[IMAGE],
        )
    return made[:, len(PROMPT) :].view(len(pixels), 5, -1)  # type: ignore[no-any-return]


COMPARISONS: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor], bool]] = {
    "scores, before": (shared, before, True),
    "scores, trl": (shared, trl, True),
    "cross-entropy, before": (shared_xe, before_xe, True),
    "search, generate": (search, generate, False),
}


def _encoded(policy: Any, pixels: Tensor) -> Any:
    from dico.models.huggingface.inputs import InputBatch

    ids = torch.tensor([PROMPT])
    return policy.encode(InputBatch([{"input_ids": ids, "pixel_values": x[None]} for x in pixels]))


def _logits_before(model: Any, pixels: Tensor, flat: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and targets of captions (N, T), each behind its image's embedded prompt."""
    found = model.model.get_image_features(pixel_values=pixels)
    states = torch.stack(list(found.pooler_output))
    states = states.repeat_interleave(len(flat) // len(states), dim=0)
    inputs, targets = flat[:, :-1], flat[:, 1:]
    prompt = torch.tensor([PROMPT]).expand(len(flat), -1)
    ids = torch.cat([prompt, inputs[:, 1:]], dim=1)
    embedded = model.get_input_embeddings()(ids.masked_fill(ids == IMAGE, 0))
    places = (ids == IMAGE)[..., None].expand_as(embedded)
    embedded = embedded.masked_scatter(places, states.to(embedded.dtype))
    logits = model(inputs_embeds=embedded, use_cache=False).logits[:, len(PROMPT) - 1 :]
    return logits.flatten(0, 1), targets.flatten()


def _timed(policy: Any, run: Callable[..., Tensor], backward: bool) -> tuple[float, Tensor]:
    pixels, tokens = inputs()
    policy.model.zero_grad()
    start = time.process_time()
    result = run(policy, pixels, tokens)
    if backward:
        result.sum().backward()
    return time.process_time() - start, result.detach()


def _peak(name: str, which: int) -> float:
    """Peak of this process's memory, MB, above what the weights and their gradients take."""
    policy = _policy()
    *runs, backward = COMPARISONS[name]
    if backward:
        for parameter in policy.model.parameters():
            parameter.grad = torch.zeros_like(parameter)
    pixels, tokens = inputs()
    runs[which](policy, pixels[:1], tokens[:1, :1, -4:]).sum()  # what is loaded once is not counted
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew
    held = _status("VmRSS")
    result = runs[which](policy, pixels, tokens)
    if backward:
        result.sum().backward()
    return (_status("VmHWM") - held) / 1024


def _status(name: str) -> int:
    """A line of the process's status, kB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name + ":"))


def _policy() -> Any:
    from dico.models.huggingface import wrap

    torch.set_num_threads(1)
    return wrap(model())


def _peak_of(name: str, which: int) -> float:
    command = [sys.executable, "-m", "benchmarks.vlm", "--peak", name, str(which)]
    # glibc gives back what is freed at once, so that a peak is what was in use and not its holes.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return float(done.stdout)


def compare(name: str, rounds: int) -> dict[str, Any]:
    """Times in turn, peaks of memory, and how far the results are apart."""
    ours, theirs, backward = COMPARISONS[name]
    policy = _policy()
    times = []
    for _ in range(rounds + 1):  # the first turn warms up
        mine, first = _timed(policy, ours, backward)
        other, second = _timed(policy, theirs, backward)
        times.append((mine, other))
    off = float((first - second).abs().max() / second.abs().max().clamp_min(1))
    assert off < 1e-5, f"{name}: results differ by {off}"
    own, rival, faster = zip(*((x, y, y / x) for x, y in times[1:]), strict=True)
    row: dict[str, Any] = {
        "seconds": _spread(own),
        "rival_seconds": _spread(rival),
        "times_faster": _spread(faster),
        "off": off,
    }
    if backward:
        row["megabytes"], row["rival_megabytes"] = (_peak_of(name, which) for which in (0, 1))
        row["times_less_memory"] = row["rival_megabytes"] / row["megabytes"]
    return row


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def lines(rows: dict[str, dict[str, Any]]) -> str:
    """The comparisons as a Markdown table."""
    header = [
        "comparison",
        "dico, s",
        "rival, s",
        "times faster (range)",
        "MB, dico / rival",
        "less",
    ]
    cells = []
    for name, row in rows.items():
        faster = row["times_faster"]
        line = [name, *(f"{row[key]['median']:.2f}" for key in ("seconds", "rival_seconds"))]
        line.append(f"{faster['median']:.1f} ({faster['low']:.1f} to {faster['high']:.1f})")
        if "megabytes" in row:
            line.append(f"{row['megabytes']:.0f} / {row['rival_megabytes']:.0f}")
            line.append(f"{row['times_less_memory']:.1f}")
        cells.append([*line, *[""] * (len(header) - len(line))])
    return table(header, cells)


def main() -> None:
    """Prints a line a comparison."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--comparison", choices=COMPARISONS, action="append")
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        print(_peak(options.peak[0], int(options.peak[1])))
        return
    rows = {}
    for name in options.comparison or COMPARISONS:
        rows[name] = compare(name, options.rounds)
        print(lines({name: rows[name]}), flush=True)
    if not options.comparison:
        write("vlm", rows, lines(rows))


if __name__ == "__main__":
    main()
