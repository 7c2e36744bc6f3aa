"""Beam search of the paper's captioner against transformers' ``generate``, on the same weights.

    python benchmarks/beam_search.py [--rounds 3] [--case NAME ...]

Both start from the same encoder states and must return the same captions and scores. The rule of
4.20, which today's ``generate`` does not have, is measured against a plain search by the
reference's operations, which leaves out nothing that the reference does. Weights are random, except
that EOS becomes likelier from word to word, so that captions have COCO's lengths, or never comes.
In bfloat16 the rival stays in float32, and the share of captions that rounding leaves alone is told.
"""

import argparse
import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import torch
from measure import alternate, gemm_peak_flops, has_bfloat16, table, write
from sizes import NUM_IMAGE_TOKENS, SIZES

from dico.decoding import Candidates, DecodingConfig, beam_search
from dico.models.captioner import Captioner
from dico.models.torchvision_compat import ensure_torchvision_imports
from dico.weights.huggingface import captioner_to_huggingface, huggingface_config


@dataclasses.dataclass(frozen=True)
class Case:
    """What is measured."""

    name: str
    batch: int = 8
    threads: int = 1
    rule: Literal["transformers5", "transformers4"] = "transformers5"
    full_length: bool = False
    dtype: torch.dtype = torch.float32


CASES = [
    Case("COCO lengths"),
    Case("full length", full_length=True),
    Case("rule of 4.20, against the reference's operations", rule="transformers4"),
    Case("batch 32, 2 threads", batch=32, threads=2),
    Case("bfloat16", dtype=torch.bfloat16),
    Case("bfloat16, batch 32, 2 threads", batch=32, threads=2, dtype=torch.bfloat16),
]


def paper_captioner(full_length: bool = False) -> Captioner:
    """The paper's sizes with weights that say nothing, in sentences as long as COCO's, or longest."""
    torch.manual_seed(0)
    captioner = Captioner(SIZES).eval()
    with torch.no_grad():
        for name, value in captioner.named_parameters():
            if name.startswith("decoder") and "norm" not in name and value.dim() == 2:
                value.mul_(1.5)
        direction = torch.nn.functional.normalize(torch.randn(SIZES.width), dim=0)
        rise = (torch.arange(SIZES.num_text_positions) - 6.0).clamp(-10.0, 12.0)
        if full_length:
            rise = torch.full_like(rise, -10.0)
        captioner.decoder.positions += 0.35 * rise[:, None] * direction
        captioner.decoder.token_embedding.weight[captioner.eos_id] = 2.5 * direction
    return captioner


def random_memory(captioner: Captioner, batch: int) -> torch.Tensor:
    """Encoder states of noise, shifted a little from image to image so that lengths differ."""
    torch.manual_seed(1)
    with torch.no_grad():
        memory = captioner.encode(torch.randn(batch, NUM_IMAGE_TOKENS, SIZES.feature_width))
        return memory + 0.4 * torch.randn(batch, 1, SIZES.width)


def as_transformers(captioner: Captioner) -> Any:
    """The same weights in transformers' BERT and GPT-2."""
    ensure_torchvision_imports()
    from transformers import BertConfig, BertModel, EncoderDecoderModel, GPT2Config, GPT2LMHeadModel

    config = huggingface_config(captioner.config, {})
    bert = BertConfig.from_dict(config["encoder"]["encoder"])
    gpt2 = GPT2Config.from_dict(config["decoder"])
    theirs = captioner_to_huggingface(captioner)
    decoder = GPT2LMHeadModel(gpt2)
    names = [name for name in theirs if name.startswith("decoder.")]
    decoder.load_state_dict({name.removeprefix("decoder."): theirs[name] for name in names})
    return EncoderDecoderModel(encoder=BertModel(bert), decoder=decoder).eval()


def generate(model: Any, captioner: Captioner, memory: torch.Tensor, config: DecodingConfig) -> Any:
    """The rival: transformers' beam search from the same encoder states."""
    from transformers.modeling_outputs import BaseModelOutput

    return model.generate(
        encoder_outputs=BaseModelOutput(last_hidden_state=memory),
        decoder_start_token_id=captioner.bos_id,
        eos_token_id=captioner.eos_id,
        pad_token_id=captioner.pad_id,
        suppress_tokens=[captioner.bos_id, captioner.pad_id],
        num_beams=config.num_beams,
        num_return_sequences=config.num_beams,
        max_length=config.max_tokens,
        length_penalty=config.length_penalty,
        do_sample=False,
        return_dict_in_generate=True,
        output_scores=True,
    )


def identical(ours: torch.Tensor, theirs: torch.Tensor, pad_id: int) -> torch.Tensor:
    """(N,) which rows of (N, T) and (N, T') are the same caption."""
    width = max(ours.shape[1], theirs.shape[1])
    padded = [
        torch.nn.functional.pad(tokens, (0, width - tokens.shape[1]), value=pad_id)
        for tokens in (ours, theirs)
    ]
    return (padded[0] == padded[1]).all(dim=1)


def compare(ours: Candidates, theirs: Any, pad_id: int) -> dict[str, float]:
    """Share of identical captions, and the largest difference of their scores."""
    if isinstance(theirs, torch.Tensor):
        same = identical(ours.tokens.flatten(0, 1), theirs.flatten(0, 1), pad_id)
        return {"identical": same.float().mean().item()}
    same = identical(ours.tokens.flatten(0, 1), theirs.sequences, pad_id)
    gaps = (ours.scores.flatten() - theirs.sequences_scores.float())[same].abs()
    return {
        "identical": same.float().mean().item(),
        "largest_score_gap": gaps.max().item() if len(gaps) else float("nan"),
    }


def search_flops(captioner: Captioner, found: Candidates) -> float:
    """Floating-point operations of the products of a search that ran to its longest caption."""
    sizes, (batch, beams) = captioner.config, found.lengths.shape
    width, ffn = sizes.width, sizes.ffn_width
    layer = 6 * width * width + 2 * width * ffn + 2 * NUM_IMAGE_TOKENS * width
    word = 2 * (sizes.num_decoder_layers * layer + width * sizes.vocab_size)
    image = 2 * sizes.num_decoder_layers * NUM_IMAGE_TOKENS * 2 * width * width
    steps = (found.lengths.amax(dim=1) - 2).clamp(min=0).sum().item()  # after BOS, K beams each
    return word * (batch + beams * steps) + batch * image


def measure(case: Case, rounds: int) -> dict[str, Any]:
    """Times, agreement and achieved share of one case."""
    torch.set_num_threads(case.threads)
    captioner = paper_captioner(case.full_length)
    memory = random_memory(captioner, case.batch)
    # The plain search forces EOS at the limit; `generate` leaves it open.
    forced = case.rule == "transformers4"
    config = DecodingConfig(rule=case.rule, eos_at_limit="forced" if forced else "open")
    model, exact = as_transformers(captioner), memory
    captioner, memory = captioner.to(case.dtype), memory.to(case.dtype)
    last: dict[str, Any] = {}

    def keep(name: str, run: Callable[[], Any]) -> Callable[[], None]:
        return lambda: last.update({name: run()})

    def rival() -> Any:
        if case.rule == "transformers4":
            from reference_step import reference_search

            return reference_search(captioner, memory, config)
        return generate(model, captioner, exact, config)

    rivals = {
        "dico": keep("ours", lambda: beam_search(captioner, memory, config)),
        "rival": keep("theirs", rival),
    }
    times = alternate(rivals, rounds)
    ours, theirs = times["dico"], times["rival"]
    found, pad = last["ours"], captioner.pad_id
    agreement = compare(found, last["theirs"], pad)
    peak = gemm_peak_flops(dtype=case.dtype if has_bfloat16() else torch.float32)
    return {
        **dataclasses.asdict(case),
        "dtype": str(case.dtype),
        "decoding": dataclasses.asdict(config),
        "times": times,
        "speed_up": theirs["cpu_seconds"] / ours["cpu_seconds"],
        "speed_up_range": [
            theirs["cpu_seconds_low"] / ours["cpu_seconds_high"],
            theirs["cpu_seconds_high"] / ours["cpu_seconds_low"],
        ],
        "speed_up_wall": theirs["wall_seconds"] / ours["wall_seconds"],
        "mean_tokens": found.lengths.float().mean().item(),
        "agreement": agreement,
        "share_of_gemm_peak": search_flops(captioner, found) / ours["cpu_seconds_low"] / peak,
    }


def line(result: dict[str, Any]) -> list[str]:
    """A row of the table."""
    agreement, times = result["agreement"], result["times"]
    return [
        result["name"],
        f"{times['rival']['cpu_seconds']:.2f}",
        f"{times['dico']['cpu_seconds']:.2f}",
        f"{result['speed_up']:.2f}",
        "{:.2f} to {:.2f}".format(*result["speed_up_range"]),
        f"{result['mean_tokens']:.1f}",
        f"{agreement['identical']:.1%}",
        f"{result['share_of_gemm_peak']:.0%}",
    ]


def main() -> None:
    """Runs the cases and writes results/beam_search.json and .md."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=3, help="measured turns (default 3)")
    parser.add_argument("--case", nargs="+", choices=[case.name for case in CASES])
    options = parser.parse_args()
    asked = [case for case in CASES if options.case is None or case.name in options.case]
    results = [measure(case, options.rounds) for case in asked]
    header = ["case", "rival, CPU s", "dico, CPU s", "times faster", "range", "tokens"]
    lines = table([*header, "identical", "of GEMM peak"], [line(result) for result in results])
    if not has_bfloat16():
        lines += "\nThis CPU has no instructions for bfloat16: dico multiplies in float32.\n"
    write("beam_search", {"cases": results}, lines)


if __name__ == "__main__":
    main()
