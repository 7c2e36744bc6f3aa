"""Every setting as a user sees it: complete, described, and read by the steps that it says."""

import dataclasses
from pathlib import Path

import pytest
import yaml

from dico.configuration.schema import to_dict
from dico.presets.config import Config, presets, resolve
from dico.presets.settings import READ_BY, list_settings

PIPELINE = Path(__file__).parents[2] / "pipelines" / "dico.yaml"


def flat(table, path=""):
    """{dotted name: value} of nested settings."""
    found = {}
    for name, value in table.items():
        if isinstance(value, dict):
            found |= flat(value, f"{path}{name}.")
        else:
            found[f"{path}{name}"] = value
    return found


@pytest.mark.parametrize("preset", presets())
def test_all_settings_of_a_preset_are_listed_with_their_values(preset):
    listed = {setting.name: setting for setting in list_settings(preset)}
    values, defaults = flat(to_dict(resolve(preset))), flat(to_dict(Config()))
    assert list(listed) == list(values)
    for name, setting in listed.items():
        value = list(setting.value) if isinstance(setting.value, tuple) else setting.value
        assert value == values[name]
        usual = list(setting.default) if isinstance(setting.default, tuple) else setting.default
        assert usual == defaults[name]
        assert setting.source in {"default", preset}
        assert setting.value == setting.default or setting.source == preset


def test_each_setting_says_what_it_is():
    for setting in list_settings("toy"):
        assert len(setting.text) > 5, setting.name
        assert setting.takes, setting.name
        assert "\n" not in setting.text


def test_types_units_and_sources(tmp_path):
    (tmp_path / "mine.toml").write_text('extends = "photos"\n[xe]\nnum_steps = 5\n')
    found = list_settings(str(tmp_path / "mine.toml"), "finetune.beta=0.3 xe.guards.max_rewinds=1")
    listed = {setting.name: setting for setting in found}
    takes = {name: (setting.takes, setting.unit) for name, setting in listed.items()}
    assert takes["xe.num_steps"] == ("whole number, at least 0", "steps")
    assert takes["evaluator.vision_layers"] == ("list of whole number, at least 1", "")
    assert takes["evaluator.image_size_px"] == ("whole number, at least 1", "pixels")
    assert takes["xe.warmup_share"] == ("number, from 0 to 1", "")
    assert takes["xe.schedule"] == ("constant | cosine", "")
    assert takes["evaluation.meteor"] == ("true or false", "")
    assert takes["xe.guards.max_step_seconds"] == ("number, at least 0", "s")
    sources = {name: setting.source for name, setting in listed.items()}
    assert sources["xe.num_steps"] == "mine.toml"
    assert sources["xe.batch_size"] == "photos"
    assert sources["finetune.beta"] == sources["xe.guards.max_rewinds"] == "overrides"
    assert sources["finetune.tau"] == "default"
    assert (listed["xe.num_steps"].value, listed["xe.num_steps"].default) == (5, 10_000)


def test_a_section_is_read_by_the_steps_that_the_pipeline_gives_it_to():
    """As the compiled pipeline wires the outputs of resolve-config."""
    content = next(yaml.safe_load_all(PIPELINE.read_bytes()))
    components = content["components"]
    consumers: dict[str, set[str]] = {}

    def step(component: str) -> str:
        executor = content["deploymentSpec"]["executors"][components[component]["executorLabel"]]
        return executor["container"]["args"][-1]

    for component in components.values():
        for task in component.get("dag", {}).get("tasks", {}).values():
            parameters = task.get("inputs", {}).get("parameters", {}).values()
            for given in parameters:
                made = given.get("taskOutputParameter", {})
                if made.get("producerTask") == "resolve-config":
                    name = step(task["componentRef"]["name"])
                    consumers.setdefault(made["outputParameterKey"], set()).add(name)
    consumers["toy"] = {"preflight"}  # which resolves the preset itself
    assert {section: set(steps) for section, steps in READ_BY.items()} == consumers
    assert set(READ_BY) == {field.name for field in dataclasses.fields(Config)}
