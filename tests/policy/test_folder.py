"""A captioner of transformers on disk: what is read, what is refused, and that nothing runs."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from dico.errors import ConfigError, DataError, DigestError
from dico.models.captioner_config import HuggingFaceConfig
from dico.models.huggingface import HuggingFaceCaptioner, load, open_checkpoint, save
from dico.policy import HuggingFacePolicy
from tests.policy.families import PROMPT, git, llava, vision_encoder_decoder, write_checkpoint

CAPTIONS = ["a red circle", "a blue square"]


@pytest.fixture
def folder(tmp_path):
    return write_checkpoint(git, tmp_path / "git", CAPTIONS)


def opened(folder, **settings):
    return open_checkpoint(HuggingFaceConfig(checkpoint=str(folder), **settings))


def test_a_saved_captioner_is_the_same_and_transformers_reads_it(folder, tmp_path):
    from transformers import GitForCausalLM

    captioner = opened(folder, lora_rank=3)
    save(captioner, tmp_path / "saved")
    again = load(tmp_path / "saved")
    assert again.settings.lora_rank == 3
    assert again.tokenizer.encode("a red circle") == captioner.tokenizer.encode("a red circle")
    assert again.pixels == captioner.pixels
    theirs = GitForCausalLM.from_pretrained(tmp_path / "saved").state_dict()
    for name, value in captioner.model.state_dict().items():
        assert torch.equal(theirs[name], value), name


def test_one_flipped_bit_is_noticed(folder, tmp_path):
    save(opened(folder), tmp_path / "saved")
    weights = tmp_path / "saved" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-5] ^= 4
    weights.write_bytes(data)
    with pytest.raises(DigestError, match=r"model\.safetensors"):
        load(tmp_path / "saved")


def test_no_code_of_the_folder_is_run(folder, tmp_path):
    trap = tmp_path / "sprung"
    (folder / "trap.py").write_text(f"open({str(trap)!r}, 'w')\nclass Trap: ...\n")
    for name, key in [("config.json", "AutoConfig"), ("tokenizer_config.json", "AutoTokenizer")]:
        data = json.loads((folder / name).read_text())
        data["auto_map"] = {key: ["trap.Trap", "trap.Trap"] if "token" in name else "trap.Trap"}
        (folder / name).write_text(json.dumps(data))
    assert isinstance(opened(folder), HuggingFaceCaptioner)
    data = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(data | {"model_type": "trap"}))
    with pytest.raises((ConfigError, DataError)):
        opened(folder)
    assert not trap.exists()


def test_weights_of_another_shape_are_refused(folder):
    data = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(data | {"intermediate_size": 40}))
    with pytest.raises(DataError, match="not a captioner of transformers"):
        opened(folder)


def test_weights_that_are_missing_are_not_left_at_random(folder):
    weights = load_file(folder / "model.safetensors")
    name = "git.encoder.layer.1.attention.self.key.weight"
    rest = {key: value for key, value in weights.items() if key != name}
    save_file(rest, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(DataError, match=f"weight {name} is missing"):
        opened(folder)


def test_a_checkpoint_may_lack_the_pooler(tmp_path):
    """As TrOCR's do: nothing that captions reads it."""
    folder = write_checkpoint(vision_encoder_decoder, tmp_path / "theirs", CAPTIONS)
    weights = load_file(folder / "model.safetensors")
    rest = {name: value for name, value in weights.items() if ".pooler." not in name}
    assert len(rest) == len(weights) - 2
    pixels = torch.randn(1, 3, 32, 32)
    expected = opened(folder).encode(pixels)
    save_file(rest, folder / "model.safetensors", {"format": "pt"})
    assert torch.equal(opened(folder).encode(pixels), expected)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("model.safetensors", "captioner"), ("tokenizer.json", "tokenizer")],
)
def test_files_of_another_kind_end_in_one_line(folder, name, kind):
    (folder / name).write_text('{"model": "none"}')
    with pytest.raises(DataError, match=f"not a {kind} of transformers") as wrong:
        opened(folder)
    assert "\n" not in str(wrong.value)


def test_a_prompt_holds_the_image_once(folder, tmp_path):
    with pytest.raises(ConfigError, match=r"captioner\.prompt: captions of git have none"):
        opened(folder, prompt="a picture of")
    two = write_checkpoint(llava, tmp_path / "llava", CAPTIONS)
    for settings in ({"prompt": "it shows"}, {}, {"prompt": "<image> <image> it shows"}):
        with pytest.raises(ConfigError, match=r"captioner\.prompt: .*the image's place <image>"):
            opened(two, **settings)
    with pytest.raises(
        ConfigError, match=r"captioner\.instruction: the model has no chat template"
    ):
        opened(two, instruction="What is it?")
    captioner = opened(two, prompt=PROMPT)
    assert captioner.max_tokens == 64 - 6  # 32 pixels in patches of 16, and two words


def test_adapters_alone_are_trained_and_switched_off_for_the_start_model(folder):
    policy = HuggingFacePolicy(opened(folder, lora_rank=2))
    pixels, tokens = torch.randn(2, 3, 32, 32), torch.tensor([[[1, 4, 2]], [[1, 5, 2]]])
    before = policy.score(policy.encode(pixels), tokens)
    policy.begin_training(seed=3)
    names = [n for n, p in policy.module.named_parameters() if p.requires_grad]
    assert names
    assert all("lora_" in name for name in names)
    share = sum(p.numel() for p in policy.trained.parameters()) / sum(
        p.numel() for p in policy.module.parameters()
    )
    assert share < 0.2
    assert torch.equal(policy.score(policy.encode(pixels), tokens), before)
    with torch.no_grad():
        for parameter in policy.trained.parameters():
            parameter.add_(0.1)
    reference = policy.reference_model()
    assert torch.equal(reference.score(reference.encode(pixels), tokens), before)
    assert not torch.allclose(policy.score(policy.encode(pixels), tokens), before)
    policy.begin_training(seed=3)
    assert [n for n, p in policy.module.named_parameters() if p.requires_grad] == names
