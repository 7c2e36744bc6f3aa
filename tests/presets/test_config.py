"""Presets and overrides: what they resolve to, and one line about what is wrong with them (D3)."""

import dataclasses
import subprocess
import sys

import pytest

from dico.configuration.schema import from_json, to_json
from dico.errors import ConfigError
from dico.presets.config import Config, presets, resolve
from dico.steps.resolve_config import ResolvedConfig, resolve_config

SECTIONS = [field.name for field in dataclasses.fields(Config)]


@pytest.mark.parametrize("preset", presets())
def test_every_preset_is_valid(preset):
    config = resolve(preset)
    assert isinstance(config, Config)
    assert config.xe.captions_per_image <= config.xe.batch_size
    assert config.decoding.max_tokens <= config.captioner.num_text_positions


def test_the_shipped_presets_are_there():
    assert {"toy", "photos"} <= set(presets())


def test_what_a_preset_leaves_out_has_its_default():
    config = resolve("toy")
    assert config.captioner.num_encoder_layers == 0
    assert config.captioner.feature_width == 1024
    assert config.finetune.batch_size == 16
    assert resolve("toy", "  ") == config


def test_overrides_replace_values():
    config = resolve(
        "toy",
        "xe.num_steps=7 xe.schedule=constant\tevaluation.meteor=false finetune.beta=1\n"
        "finetune.learning_rate=1e-5 evaluator.vision_layers=[2] evaluator.prompt=",
    )
    assert (config.xe.num_steps, config.xe.schedule) == (7, "constant")
    assert config.evaluation.meteor is False
    assert (config.finetune.beta, config.finetune.learning_rate) == (1.0, 1e-5)
    assert isinstance(config.finetune.beta, float)
    assert config.evaluator.vision_layers == (2,)
    assert config.evaluator.prompt == ""
    assert config.captioner == resolve("toy").captioner
    assert resolve("toy", "xe.guards.max_rewinds=0").xe.guards.max_rewinds == 0


@pytest.mark.parametrize(
    ("preset", "overrides", "message"),
    [
        ("toi", "", "preset: 'toi' is unknown; presets are blip"),
        ("", "", "preset: '' is unknown"),
        ("../presets/toy", "", "preset: '../presets/toy' is unknown"),
        ("toy", "xee.num_steps=3", r"xee: unknown setting \(did you mean xe\?\)"),
        ("toy", "xe.num_stepz=3", r"xe\.num_stepz: unknown setting \(did you mean num_steps\?\)"),
        ("toy", "xe.num_steps=many", r"xe\.num_steps: expected int, got 'many'"),
        ("toy", "xe.num_steps=3.5", r"xe\.num_steps: expected int, got 3\.5"),
        ("toy", "xe.num_steps=true", r"xe\.num_steps: expected int, got True"),
        ("toy", 'xe.learning_rate="1e-5"', r"xe\.learning_rate: expected float, got '1e-5'"),
        ("toy", "xe.learning_rate=nan", r"xe\.learning_rate: expected a finite number, got nan"),
        ("toy", "finetune.tau=inf", r"finetune\.tau: expected a finite number, got inf"),
        ("toy", "finetune.beta=-0.2", r"finetune\.beta: must be above 0, got -0\.2"),
        ("toy", "xe.num_steps=-1", r"xe\.num_steps: must be at least 0, got -1"),
        ("toy", "xe.schedule=linear", r"xe\.schedule: expected one of constant, cosine, got"),
        ("toy", "evaluation.meteor=1", r"evaluation\.meteor: expected bool, got 1"),
        ("toy", "evaluator.vision_layers=2", r"evaluator\.vision_layers: expected a list, got 2"),
        ("toy", "evaluator.vision_layers=[1,x]", r"evaluator\.vision_layers: expected a list"),
        ("toy", 'evaluator.vision_layers=[1,"a"]', r"evaluator\.vision_layers\[1\]: expected int"),
        ("toy", "xe=3", "overrides: expected section.setting=value, got 'xe=3'"),
        ("toy", "xe.num_steps", "overrides: expected section.setting=value"),
        ("toy", ".num_steps=3", "overrides: expected section.setting=value"),
        (
            "toy",
            "xe.num_steps.a=3",
            r"overrides: xe\.num_steps\.a: num_steps has no settings of its own",
        ),
        ("toy", "xe.guards.max_rewind=1", r"xe\.guards\.max_rewind: unknown setting"),
        (
            "toy",
            "finetune.reward_hacking.patience=-1",
            r"finetune\.reward_hacking\.patience: must be at least 0",
        ),
        (
            "toy",
            "decoding.num_groups=2",
            r"decoding\.num_groups: must divide num_beams \(5\), got 2",
        ),
        (
            "toy",
            "decoding.diversity_penalty=-1",
            r"decoding\.diversity_penalty: must be at least 0, got -1\.0",
        ),
        ("toy", "xe.batch_size=321", r"xe\.batch_size: must be a multiple of captions_per_image"),
        ("toy", "captioner.num_heads=5", r"captioner\.width: must hold whole heads, got 128"),
        ("toy", "xe.num_steps=" + "9" * 5000, r"xe\.num_steps: expected int, got '9{50,}"),
        ("toy", "xe.num_steps=" + "[" * 5000, r"xe\.num_steps: expected int, got '\[{50,}"),
    ],
)
def test_one_line_names_what_is_wrong(preset, overrides, message):
    with pytest.raises(ConfigError, match=f"^{message}") as wrong:
        resolve(preset, overrides)
    assert "\n" not in str(wrong.value)
    assert len(str(wrong.value)) < 1000


def test_each_section_comes_back_from_its_json():
    overrides = "evaluator.vision_layers=[3,1,1,1] xe.schedule=constant toy.num_train=11"
    resolved, config = resolve_config("toy", overrides), resolve("toy", overrides)
    assert list(ResolvedConfig._fields) == SECTIONS
    for section in SECTIONS:
        expected = getattr(config, section)
        text = getattr(resolved, section)
        assert from_json(type(expected), text, section) == expected
        assert to_json(from_json(type(expected), text, section)) == text


def test_an_edited_setting_changes_its_own_section_only():
    before, after = resolve_config("toy", ""), resolve_config("toy", "finetune.beta=0.25")
    changed = [s for s in SECTIONS if getattr(before, s) != getattr(after, s)]
    assert changed == ["finetune"]


def test_reading_settings_loads_nothing_heavy():
    code = (
        "import sys; from dico.steps.resolve_config import resolve_config;"
        "resolve_config('toy', 'xe.num_steps=3');"
        "heavy = {'torch', 'great_expectations', 'pandas', 'kfp', 'boto3', 'transformers'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
