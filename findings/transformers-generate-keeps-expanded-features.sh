#!/bin/sh
# transformers 5.23.0: `generate` writes into the image features that its caller hands it.
#
# `mm_encoder_outputs={"image": features}` lets a vision-language model start from features that were
# computed before. One would think that they can be used again: an argument is not a result. But
# `_expand_multimodal_outputs` assigns `pooler_output`, repeated num_beams times, to the very object.
# A second `generate` with it raises nothing; it captions the second image from the FIRST one's
# features, because the first len(images) entries of the repeated list are all of image one.
# Pass a fresh copy (copy.copy is enough) to each call.
#
# Output seen:
#   features before: 2 after: 6
#   second search captions image 2 as it would image 1: True
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet transformers==5.23.0 torch==2.13.0 pillow
"$folder/venv/bin/python" - <<'PYTHON'
import copy

import torch
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

torch.manual_seed(0)
sizes = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48)
config = LlavaConfig(
    text_config=LlamaConfig(vocab_size=64, **sizes),
    vision_config=CLIPVisionConfig(image_size=32, patch_size=16, **sizes),
    image_token_index=60,
)
model = LlavaForConditionalGeneration(config).eval()
for weight in model.parameters():
    weight.data += 0.2 * torch.randn_like(weight)
pixels = torch.randn(2, 3, 32, 32)
prompt = torch.tensor([[1, 60, 60, 60, 60, 5]] * 2)


def search(features):
    made = model.generate(
        input_ids=prompt, attention_mask=torch.ones_like(prompt),
        mm_encoder_outputs={"image": features}, num_beams=3, max_new_tokens=6, do_sample=False,
        pad_token_id=2, return_dict_in_generate=True, output_scores=True,
    )
    return made.sequences, made.sequences_scores


with torch.no_grad():
    features = model.get_image_features(pixels, return_dict=True)
    first_twice = model.get_image_features(pixels[[0, 0]], return_dict=True)
    whole = copy.copy(features)
    before = len(features.pooler_output)
    right = search(features)
    after = len(features.pooler_output)
    wrong = search(features)
    as_first = search(first_twice)
print("features before:", before, "after:", after)
same = torch.equal(wrong[0][1], as_first[0][1]) and torch.allclose(wrong[1][1], as_first[1][1])
print("second search captions image 2 as it would image 1:", same)
assert (before, after) == (2, 6) and same
assert not torch.allclose(right[1][1], wrong[1][1])
PYTHON
