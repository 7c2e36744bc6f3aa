#!/bin/sh
# transformers 5.23.0: GIT gives tokens after a cache wrong positions, and says nothing.
#
# One would think that GitForCausalLM over a prefix, and then over the rest with the cache of the
# prefix, gives the logits of one pass over both, as with every other decoder. But the length of the
# cache counts the image's tokens too, and word positions begin behind them: the second token of the
# text is embedded at position 1 without a cache, and at position 1 + image tokens with it. Whoever
# passes position_ids gets the right numbers.
#
# Output seen:
#   largest difference of logits: 2.78 (with position_ids: 0.00)
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet transformers==5.23.0 torch==2.13.0 pillow
"$folder/venv/bin/python" - <<'PYTHON'
import torch
from transformers import GitConfig, GitForCausalLM

torch.manual_seed(0)
sizes = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48)
config = GitConfig(
    vision_config=dict(image_size=32, patch_size=16, **sizes), vocab_size=64, bos_token_id=1, eos_token_id=2, **sizes
)
model = GitForCausalLM(config).eval()
for weight in model.parameters():
    weight.data += 0.2 * torch.randn_like(weight)
pixels = torch.randn(1, 3, 32, 32)
words = torch.tensor([[1, 7, 8, 9]])
with torch.no_grad():
    whole = model(input_ids=words, pixel_values=pixels).logits[:, -3:]

    def in_two(**more):
        first = model(input_ids=words[:, :1], pixel_values=pixels, use_cache=True)
        cache = first.past_key_values
        return model(input_ids=words[:, 1:], past_key_values=cache, **more).logits[:, -3:]

    off = float((in_two() - whole).abs().max())
    right = float((in_two(position_ids=torch.tensor([[1, 2, 3]])) - whole).abs().max())
print(f"largest difference of logits: {off:.2f} (with position_ids: {right:.2f})")
assert off > 0.01 and right < 1e-4
PYTHON
