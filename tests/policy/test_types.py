"""Every image-text-to-text type of transformers that can be made tiny, beside its own plain pass.

The rival of each is the model's own forward over pixels, prompt and caption, one caption at a time,
without a cache. ``make test`` takes one type of each way through the library; ``DICO_ALL_TYPES=1``
takes all.
"""

import os

import pytest
import torch

from dico.decoding import DecodingConfig
from dico.decoding.huggingface import search
from dico.models.huggingface import wrap
from dico.models.huggingface.inputs import collate
from tests.policy.tiny_types import build, captions, images, naive_logps

QUICK = (
    "aria",  # experts
    "blip-2",  # a query transformer between tower and language model
    "florence2",  # an encoder of image and prompt
    "gemma3",  # windows, places that look both ways
    "idefics3",  # tiles with masks
    "kosmos-2",  # pixels beside the prompt
    "llava_next",  # tiles without
    "mllama",  # cross-attention
    "paligemma",  # a prompt that looks both ways
    "qwen2_5_vl",  # positions in three dimensions
    "qwen3_5",  # recurrent layers
    "qwen3_vl",  # features for inner layers
)
TYPES = (
    *("aya_vision", "cohere2_vision", "cohere_compass", "cosmos3_edge", "cosmos3_omni"),
    *("deepseek_vl", "ernie4_5_vl_moe", "exaone4_5", "gemma4", "glm46v", "glm4v", "glm4v_moe"),
    *("glm_ocr", "glmga", "got_ocr2", "granite_docling", "hunyuan_vl", "hyperclovax_vision_v2"),
    *("idefics2", "instructblip", "internvl", "janus", "lfm2_vl", "lfm3_vl"),
    *("lighton_ocr", "llava", "llava_next_video", "llava_onevision"),
    *("minimax_m3_vl", "mistral3", "ovis2", "paddleocr_vl"),
    *("pp_chart2table", "qianfan_ocr", "qwen2_5_omni_thinker", "qwen2_vl", "qwen3_5_moe"),
    *("qwen3_vl_moe", "shieldgemma2", "smolvlm", "step3p7"),
    *("t5gemma2", "video_llama_3", "video_llava", "vipllava"),
)
ALL = sorted((*QUICK, *TYPES))
NO_BEAMS = {"granite_docling", "qwen2_5_omni_thinker"}
"""Types whose own ``generate`` of transformers 5.23 raises where beams start from these pixels."""
CHOSEN = ALL if os.environ.get("DICO_ALL_TYPES") else QUICK


@pytest.mark.parametrize("kind", CHOSEN)
def test_scores_gradients_and_beams_are_those_of_the_plain_pass(kind):
    model = build(kind)
    captioner, batch = wrap(model), images(model, 1)
    tokens = captions(captioner.pad_id)
    expected = naive_logps(model, batch, tokens, captioner.pad_id)
    expected.sum().backward()
    gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()

    memory = captioner.encode(batch)
    found = captioner.score_candidates(memory, tokens)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    found.sum().backward()
    ours = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    assert ours.keys() == gradients.keys()
    off = torch.stack([(ours[n] - g).norm() for n, g in gradients.items()]).norm()
    assert off < 1e-4 * torch.stack([g.norm() for g in gradients.values()]).norm()

    with torch.no_grad():
        others = captioner.score_candidates(captioner.encode(images(model, 2)), tokens)
    assert (others - found).abs().max() > 1e-3
    if kind not in NO_BEAMS:
        assert_beams(kind, captioner, batch)


@torch.no_grad()
def assert_beams(kind, captioner, batch):
    """``search`` from the prompt's states finds what ``generate`` finds from pixels."""
    config = DecodingConfig(num_beams=3, max_tokens=7, eos_at_limit="open")
    found = search(captioner, captioner.encode(batch), config)
    model = build(kind)
    inputs = collate(batch)
    begins = 1 if model.config.is_encoder_decoder else inputs["input_ids"].shape[1]
    theirs = model.generate(
        **inputs,
        attention_mask=torch.ones_like(inputs["input_ids"]),
        num_beams=3,
        num_return_sequences=3,
        max_new_tokens=6,
        do_sample=False,
        eos_token_id=2,
        pad_token_id=2,
        suppress_tokens=captioner.excluded_ids or None,
    )
    tokens = found.tokens.masked_fill(found.tokens == captioner.pad_id, 2)
    assert torch.equal(tokens[:, :, 1:].flatten(0, 1), theirs[:, begins:])
