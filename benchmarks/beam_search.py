"""Beam search of the paper's captioner against transformers' ``generate``, on the same weights.

    python benchmarks/beam_search.py [--batch 8] [--threads 1] [--rounds 5]

Both start from the same encoder states and must return the same captions and scores. Weights are
random, except that EOS becomes likelier from word to word, so that captions have COCO's lengths.
"""

import argparse
import dataclasses
import json
from typing import Any

import torch
from measure import alternate, gemm_peak_flops, write

from dico.decoding import Candidates, DecodingConfig, beam_search
from dico.models.captioner import Captioner, CaptionerConfig
from dico.models.torchvision_compat import ensure_torchvision_imports
from dico.models.weights.huggingface import captioner_to_huggingface

SIZES = CaptionerConfig()
NUM_IMAGE_TOKENS = 257


def paper_captioner() -> Captioner:
    """The paper's sizes with weights that say nothing, in sentences as long as COCO's."""
    torch.manual_seed(0)
    captioner = Captioner(SIZES).eval()
    with torch.no_grad():
        for name, value in captioner.named_parameters():
            if name.startswith("decoder") and "norm" not in name and value.dim() == 2:
                value.mul_(1.5)
        direction = torch.nn.functional.normalize(torch.randn(SIZES.width), dim=0)
        rise = (torch.arange(SIZES.num_text_positions) - 6.0).clamp(-10.0, 12.0)
        captioner.decoder.positions += 0.35 * rise[:, None] * direction
        captioner.decoder.words.weight[captioner.eos_id] = 2.5 * direction
    return captioner


def random_memory(captioner: Captioner, batch: int) -> torch.Tensor:
    """Encoder states of noise, shifted a little from picture to picture so that lengths differ."""
    torch.manual_seed(1)
    with torch.no_grad():
        memory = captioner.encode(torch.randn(batch, NUM_IMAGE_TOKENS, SIZES.feature_width))
        return memory + 0.4 * torch.randn(batch, 1, SIZES.width)


def as_transformers(captioner: Captioner) -> Any:
    """The same weights in transformers' BERT and GPT-2."""
    ensure_torchvision_imports()
    from transformers import BertConfig, BertModel, EncoderDecoderModel, GPT2Config, GPT2LMHeadModel

    sizes = captioner.config
    bert = BertConfig(
        hidden_size=sizes.width,
        num_hidden_layers=sizes.num_encoder_layers,
        num_attention_heads=sizes.num_heads,
        intermediate_size=sizes.ffn_width,
        max_position_embeddings=sizes.num_image_positions,
    )
    gpt2 = GPT2Config(
        n_embd=sizes.width,
        n_layer=sizes.num_decoder_layers,
        n_head=sizes.num_heads,
        n_inner=sizes.ffn_width,
        n_positions=sizes.num_text_positions,
        vocab_size=sizes.vocab_size,
        add_cross_attention=True,
        is_decoder=True,
        bos_token_id=captioner.bos_id,
        eos_token_id=captioner.eos_id,
        pad_token_id=captioner.pad_id,
    )
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


def compare(ours: Candidates, theirs: Any, pad_id: int) -> dict[str, float]:
    """Share of identical captions, and the largest difference of their scores."""
    shape = ours.tokens.shape
    width = max(shape[2], theirs.sequences.shape[1])
    padded = [
        torch.nn.functional.pad(tokens, (0, width - tokens.shape[-1]), value=pad_id)
        for tokens in (ours.tokens.flatten(0, 1), theirs.sequences)
    ]
    same = (padded[0] == padded[1]).all(dim=1)
    gaps = (ours.scores.flatten() - theirs.sequences_scores)[same].abs()
    return {
        "identical": same.float().mean().item(),
        "largest_score_gap": gaps.max().item(),
        "mean_tokens": ours.lengths.float().mean().item(),
        "longest_tokens": int(ours.lengths.max()),
    }


def flops_per_token(sizes: CaptionerConfig) -> tuple[int, int]:
    """Floating-point operations of the decoder's products per token: with the head, and the head."""
    width, ffn = sizes.width, sizes.ffn_width
    attention = 4 * width * width + 2 * width * width
    cross = 2 * NUM_IMAGE_TOKENS * width
    layer = attention + 2 * width * ffn + cross
    head = width * sizes.vocab_size
    return 2 * (sizes.num_decoder_layers * layer + head), 2 * head


def main() -> None:
    """Runs the comparison and writes results/beam_search.json."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--batch", type=int, default=8, help="images (default 8)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default 1)")
    parser.add_argument("--rounds", type=int, default=5, help="measured turns (default 5)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    captioner = paper_captioner()
    model = as_transformers(captioner)
    memory = random_memory(captioner, options.batch)
    config = DecodingConfig(eos_at_limit="open")
    last: dict[str, Any] = {}

    def ours() -> None:
        last["ours"] = beam_search(captioner, memory, config)

    def theirs() -> None:
        last["theirs"] = generate(model, captioner, memory, config)

    times = alternate({"dico": ours, "transformers": theirs}, options.rounds)
    agreement = compare(last["ours"], last["theirs"], captioner.pad_id)
    steps = int(last["ours"].lengths.max()) - 1
    flops = flops_per_token(SIZES)[0] * steps * options.batch * config.num_beams
    result = {
        "batch": options.batch,
        "decoding": dataclasses.asdict(config),
        "times": times,
        "speed_up": times["transformers"]["cpu_seconds"] / times["dico"]["cpu_seconds"],
        "speed_up_wall": times["transformers"]["wall_seconds"] / times["dico"]["wall_seconds"],
        "agreement": agreement,
        "share_of_gemm_peak_at_most": flops / times["dico"]["cpu_seconds"] / gemm_peak_flops(),
    }
    write(
        f"beam_search_batch{options.batch}_threads{options.threads}", json.loads(json.dumps(result))
    )


if __name__ == "__main__":
    main()
