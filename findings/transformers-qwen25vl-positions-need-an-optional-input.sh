#!/bin/sh
# transformers 5.23.0: Qwen2.5-VL computes something else without an argument that is optional.
#
# `mm_token_type_ids` defaults to None. The ids hold the image's places, `image_grid_thw` its shape:
# all that rotary positions in three dimensions are made of, and all that earlier versions asked for.
# Without it the image's tokens silently get positions of plain text, and every score changes.
# Qwen2-VL, the same code but for the tower, raises a ValueError.
#
# Output seen:
#   qwen2_5_vl: logits without mm_token_type_ids are off by 2.16
#   qwen2_vl: ValueError
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet transformers==5.23.0 torch==2.13.0 pillow
"$folder/venv/bin/python" - <<'PYTHON'
import torch
from transformers import AutoModelForImageTextToText, CONFIG_MAPPING

IMAGE = 60
text = dict(
    vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, bos_token_id=1,
    eos_token_id=2,
    num_key_value_heads=2, intermediate_size=48,
    rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]},
)
towers = {
    "qwen2_5_vl": dict(depth=2, hidden_size=32, out_hidden_size=32, num_heads=2,
                       intermediate_size=48, fullatt_block_indexes=[1], window_size=28),
    "qwen2_vl": dict(depth=2, embed_dim=32, hidden_size=32, num_heads=2, mlp_ratio=2),
}
ids = torch.tensor([[1, 58, *[IMAGE] * 6, 59, 5, 7, 9]])
grid = torch.tensor([[1, 4, 6]])
seen = {}
for kind, tower in towers.items():
    torch.manual_seed(0)
    config = CONFIG_MAPPING[kind](
        text_config=text, vision_config=tower, image_token_id=IMAGE, video_token_id=61,
        vision_start_token_id=58, vision_end_token_id=59,
    )
    model = AutoModelForImageTextToText.from_config(config).eval()
    for weight in model.parameters():
        weight.data += 0.2 * torch.randn_like(weight)
    pixels = torch.randn(24, 3 * 2 * 14 * 14)
    inputs = dict(input_ids=ids, pixel_values=pixels, image_grid_thw=grid)
    with torch.no_grad():
        right = model(**inputs, mm_token_type_ids=(ids == IMAGE).int()).logits
        model.model.rope_deltas = None
        try:
            off = float((model(**inputs).logits - right).abs().max())
            seen[kind] = off
            print(f"{kind}: logits without mm_token_type_ids are off by {off:.2f}")
        except ValueError as error:
            seen[kind] = None
            print(f"{kind}: ValueError: {str(error)[:80]}")
assert seen["qwen2_5_vl"] > 0.01, "no longer off"
assert seen["qwen2_vl"] is None, "no longer refused"
PYTHON
