"""Models with processors and chat templates: from images of any size to saved folders."""

import numpy as np
import pytest
import torch
from PIL import Image

from dico.decoding import DecodingConfig
from dico.errors import ConfigError
from dico.models.captioner_config import HuggingFaceConfig
from dico.models.huggingface import load, open_checkpoint
from dico.models.huggingface.inputs import batch_of
from dico.policy import HuggingFacePolicy
from tests.policy.chat_models import END, STOP, write_qwen, write_smolvlm

CAPTIONS = ["a red circle", "a blue square on a green ground"]
SIZES = [(60, 41), (32, 32), (70, 20), (60, 41)]
SEARCH = DecodingConfig(num_beams=3, max_tokens=7, eos_at_limit="open")


@pytest.fixture(scope="module", params=[write_smolvlm, write_qwen])
def folder(request, tmp_path_factory):
    return request.param(tmp_path_factory.mktemp("model"), CAPTIONS)


def opened(folder, **settings):
    return HuggingFacePolicy(open_checkpoint(HuggingFaceConfig(checkpoint=str(folder), **settings)))


def images():
    rng = np.random.default_rng(3)
    arrays = [rng.integers(0, 256, (h, w, 3), dtype=np.uint8) for w, h in SIZES]
    return [Image.fromarray(array) for array in arrays]


@torch.no_grad()
def test_images_of_any_size_are_captioned_as_alone(folder):
    policy = opened(folder)
    batch = batch_of([policy.preprocess(image) for image in images()])
    lengths = {one["input_ids"].shape[1] for one in batch}
    assert len(lengths) > 1
    found = policy.search(policy.encode(batch), SEARCH)
    for place, one in enumerate(batch.split(1)):
        alone = policy.search(policy.encode(one), SEARCH)
        width = alone.tokens.shape[2]
        assert torch.equal(found.tokens[place, :, :width], alone.tokens[0])
        assert (found.tokens[place, :, width:] == policy.pad_id).all()
        torch.testing.assert_close(found.logps[place], alone.logps[0], atol=1e-5, rtol=0)
    assert not torch.equal(found.tokens[0], found.tokens[3])  # of one size, another image


@torch.no_grad()
def test_what_is_saved_captions_the_same_in_transformers_alone(folder, tmp_path):
    from transformers import AutoModelForImageTextToText, AutoProcessor

    policy = opened(folder)
    with torch.no_grad():
        for value in policy.module.parameters():
            value.mul_(1.01)
    batch = batch_of([policy.preprocess(image) for image in images()])
    found = policy.search(policy.encode(batch), SEARCH)
    policy.save(tmp_path / "saved")
    again = HuggingFacePolicy(load(tmp_path / "saved"))
    assert torch.equal(again.search(again.encode(batch), SEARCH).tokens, found.tokens)

    model = AutoModelForImageTextToText.from_pretrained(tmp_path / "saved")
    processor = AutoProcessor.from_pretrained(tmp_path / "saved")
    assert model.generation_config.eos_token_id == processor.tokenizer.convert_tokens_to_ids(
        [STOP, END]
    )
    content = [{"type": "image"}, {"type": "text", "text": "Describe the image in one sentence."}]
    text = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True
    )
    for place, image in enumerate(images()):
        inputs = processor(images=image, text=text, return_tensors="pt")
        made = model.generate(
            **inputs,
            num_beams=3,
            max_new_tokens=6,
            do_sample=False,
            suppress_tokens=policy.captioner.excluded_ids,
        )
        words = made[0, inputs["input_ids"].shape[1] :].tolist()
        ours = [i for i in found.tokens[place, 0, 1:].tolist() if i != policy.pad_id]
        assert words[: len(ours)] == ours


def test_a_caption_ends_as_the_template_closes_a_turn_and_at_any_end(folder):
    policy = opened(folder)
    names = policy.tokenizer._raw.convert_ids_to_tokens(policy.captioner.eos_ids)
    assert names == [END, STOP]
    ids = policy.tokenizer.encode_batch(["a red circle"], 20)[0]
    assert ids[-1] == policy.captioner.eos_ids[0]
    ended = torch.tensor([[*ids[:2], policy.captioner.eos_ids[1], *ids[2:]]])
    assert policy.tokenizer.decode_batch(ended) == ["a"]
    assert policy.captioner.ends(ended)[0, 1:].tolist() == [False, True, False, False, True]


def test_the_instruction_and_the_bound_are_the_settings(folder):
    plain, asked = opened(folder), opened(folder, instruction="What is it?", image_px=32)
    assert asked.preprocess.prompt == plain.preprocess.prompt.replace(
        "Describe the image in one sentence.", "What is it?"
    )
    image = images()[2]
    wide, narrow = (one.preprocess(image)["input_ids"].shape[1] for one in (plain, asked))
    assert narrow < wide
    literal = opened(folder, prompt=plain.preprocess.prompt.removeprefix("<|im_start|> "))
    assert not literal.preprocess.prompt.startswith("<|im_start|>")
    with pytest.raises(ConfigError, match=r"captioner\.prompt: must hold the image's place"):
        opened(folder, prompt="user : What is it?")
    with pytest.raises(ConfigError, match=r"prompt: must be empty where captioner\.instruction"):
        HuggingFaceConfig(prompt="a", instruction="b")


def test_frozen_weights_in_bfloat16_and_adapters_in_float32(folder, tmp_path):
    policy = opened(folder, lora_rank=2, dtype="bfloat16")
    policy.begin_training(1)
    trained = dict(policy.trained.named_parameters())
    assert {p.dtype for p in trained.values()} == {torch.float32}
    model = policy.captioner.model
    assert {p.dtype for p in model.parameters() if not p.requires_grad} == {torch.bfloat16}
    tower = policy.captioner.image_encoder
    assert not any(p.requires_grad for p in tower.parameters())
    batch = batch_of([policy.preprocess(image) for image in images()[:2]])
    memory = policy.encode(batch)
    assert not memory.requires_grad
    tokens = policy.search(memory, SEARCH).tokens
    logps = policy.score(memory, tokens)
    reference = policy.reference_model()
    assert torch.equal(logps, reference.score(memory, tokens))
    logps.sum().backward()
    assert sum(float(p.grad.abs().sum()) for p in trained.values()) > 0
    with pytest.raises(ConfigError, match=r"dtype: needs captioner\.lora_rank above 0"):
        HuggingFaceConfig(dtype="bfloat16")


def test_a_server_that_cuts_images_first_sees_the_same(folder):
    preprocess = opened(folder, image_px=48).preprocess
    frames = [preprocess.frame.cut(image) for image in images()]
    assert max(max(frame.size) for frame in frames) == 48
    for one, image in zip(preprocess.of_frames(frames), images(), strict=True):
        expected = preprocess(image)
        assert one.keys() == expected.keys()
        assert all(torch.equal(one[name], expected[name]) for name in one)
