"""A captioner's folder is looked at before anything is loaded: true-format folders, one thing wrong."""

import importlib.util
import json
import subprocess
import sys

import pytest

from dico.errors import ConfigError, DataError
from dico.models.captioner_config import CaptionerSettings, HuggingFaceConfig
from dico.models.huggingface_checks import PACKAGES, WITHOUT_PROMPT, check_folder
from dico.models.huggingface_files import known_types
from dico.preflight import check_weights
from dico.steps.resolve_config import resolve_config
from dico.training.configs import EvaluatorTrainingConfig, JudgeConfig
from tests.policy.chat_models import write_qwen, write_smolvlm
from tests.policy.families import blip, write_checkpoint

CAPTIONS = ["a dog runs", "two red birds"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {
        "qwen": write_qwen(folder / "qwen", CAPTIONS),
        "smolvlm": write_smolvlm(folder / "smolvlm", CAPTIONS),
        "blip": write_checkpoint(blip, folder / "blip", CAPTIONS),
    }


@pytest.fixture
def folder_of(made, tmp_path):
    """A folder of links to a model's files, some of which are changed or left out."""

    def link(kind, left_out=(), **changes):
        for path in made[kind].iterdir():
            if path.name not in left_out:
                (tmp_path / path.name).symlink_to(path)
        for name, change in changes.items():
            path = tmp_path / f"{name}.json"
            data = json.loads(path.read_text())
            change(data)
            path.unlink()
            path.write_text(json.dumps(data))
        return tmp_path

    return link


def config(folder, **settings):
    return HuggingFaceConfig(checkpoint=str(folder), **settings)


@pytest.mark.parametrize("kind", ["qwen", "smolvlm", "blip"])
def test_what_is_right_or_not_here_passes(made, kind):
    check_folder(config(made[kind]))
    check_folder(config(made[kind] / "elsewhere", lora_rank=2, lora_targets=("nothing",)))
    name = "query" if kind == "blip" else "q_proj"
    check_folder(config(made[kind], lora_rank=2, lora_targets=(name,)))


def test_a_literal_prompt_and_an_instruction_pass_where_the_model_takes_them(made):
    check_folder(config(made["qwen"], instruction="What is it?"))
    check_folder(config(made["qwen"], prompt="<|vision_start|><|image_pad|><|vision_end|> it?"))


WRONG = [
    ("qwen", {}, {"lora_rank": 2, "lora_targets": ("q_prj",)}, "did you mean q_proj"),
    ("qwen", {}, {"lora_rank": 2, "lora_targets": ("norm",)}, "no layer 'norm' to adapt"),
    (
        "qwen",
        {},
        {"prompt": "What is it?"},
        "must hold the image's place once, such as <.image_pad.>",
    ),
    ("qwen", {"left_out": ("chat_template.jinja",)}, {}, "must hold the image's place"),
    (
        "qwen",
        {"left_out": ("chat_template.jinja",)},
        {"instruction": "What is it?"},
        "captioner.instruction: .* has no chat template",
    ),
    ("blip", {}, {"prompt": "a photo of"}, "captioner.prompt: captions of blip have none"),
    ("blip", {}, {"instruction": "Look."}, "captioner.instruction: captions of blip have none"),
    (
        "qwen",
        {"generation_config": lambda data: data.update(eos_token_id=[9, 77_777])},
        {},
        "eos_token_id 77777 is no token of its tokenizer",
    ),
    (
        "qwen",
        {
            "generation_config": lambda data: data.pop("eos_token_id"),
            "config": lambda data: data["text_config"].update(eos_token_id=None),
        },
        {},
        "no eos_token_id in generation_config.json",
    ),
    (
        "qwen",
        {"config": lambda data: data.update(model_type="qwen2")},
        {},
        "captions no images: .* the nearest type is qwen2_vl",
    ),
    (
        "qwen",
        {"config": lambda data: data.update(model_type="own", auto_map={"AutoModel": "own.Own"})},
        {},
        "needs code of its repository",
    ),
]


@pytest.mark.parametrize(("kind", "changes", "settings", "told"), WRONG)
def test_each_wrong_thing_is_one_line_from_files_alone(folder_of, kind, changes, settings, told):
    folder = folder_of(kind, **changes)
    with pytest.raises(ConfigError, match=told) as end:
        check_folder(config(folder, **settings))
    assert "\n" not in str(end.value)


@pytest.mark.parametrize(("package", "kind"), [("num2words", "smolvlm"), ("peft", "qwen")])
def test_a_missing_package_is_named_with_its_extra(made, monkeypatch, package, kind):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == package else find(name)
    )
    extra = "vlm" if package == "num2words" else "lora"
    with pytest.raises(
        ConfigError, match=rf"package {package}; install 'dico-captioner\[{extra}\]'"
    ):
        check_folder(config(made[kind], lora_rank=2))


def test_a_folder_that_holds_no_model_is_named(folder_of):
    folder = folder_of("qwen", left_out=("model.safetensors",))
    with pytest.raises(DataError, match=r"no model\.safetensors"):
        check_folder(config(folder))
    (folder / "model.safetensors").write_bytes(b"\xff" * 20)
    with pytest.raises(DataError, match="not a safetensors file"):
        check_folder(config(folder))
    (folder / "config.json").unlink()
    (folder / "config.json").write_text("{}")
    with pytest.raises(DataError, match=r"not a safetensors|config\.json: names no model_type"):
        check_folder(config(folder))


def test_the_first_step_and_the_preflight_say_the_same(made, tmp_path):
    wanted = {"lora_rank": 2, "lora_targets": ("proj_q",)}
    told = "captioner.lora_targets: qwen2_5_vl has no layer 'proj_q' to adapt"
    overrides = (
        f'captioner.architecture=huggingface captioner.checkpoint="{made["qwen"]}" '
        'captioner.lora_rank=2 captioner.lora_targets=["proj_q"]'
    )
    with pytest.raises(ConfigError, match=told):
        resolve_config("toy", overrides)
    captioner = CaptionerSettings(
        architecture="huggingface", checkpoint=str(made["qwen"]), **wanted
    )
    found = check_weights(
        EvaluatorTrainingConfig(), JudgeConfig(), captioner, str(tmp_path / "store")
    )
    assert [finding.missing for finding in found] == [True]
    assert found[0].advice.startswith(told)


def test_no_model_class_is_imported_nor_torch(made):
    code = (
        "import sys; from dico.models.captioner_config import HuggingFaceConfig as Config; "
        "from dico.models.huggingface_checks import check_folder; "
        f"check_folder(Config(checkpoint={str(made['smolvlm'])!r}, lora_rank=2)); "
        "print({'torch', 'transformers'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_types_read_from_the_source_are_those_of_transformers():
    from transformers.models.auto import modeling_auto

    from dico.models.huggingface.families import FAMILIES

    images, anything = known_types()
    assert images == modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES.keys()
    assert images | anything == modeling_auto.MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES.keys()
    assert FAMILIES.keys() == set(WITHOUT_PROMPT)
    assert PACKAGES.keys() & images == {"smolvlm"}
