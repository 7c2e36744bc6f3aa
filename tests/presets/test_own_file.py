"""A user's own preset: what it extends and changes, and one line about what is wrong with it."""

import dataclasses

import pytest

from dico.errors import ConfigError
from dico.presets.config import resolve
from dico.presets.own_file import unfold

OWN = """
extends = "photos"
[xe]
num_steps = 7
schedule = "constant"
[xe.guards]
max_rewinds = 0
[evaluator]
vision_layers = [1, 2, 3, 4]
prompt = 'a "photo" of # \\ '
[evaluation]
meteor = false
[finetune]
learning_rate = 1e-7
"""


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(OWN)
    return str(path)


def test_a_file_changes_what_it_names_and_nothing_else(own):
    config, photos = resolve(own), resolve("photos")
    assert (config.xe.num_steps, config.xe.schedule, config.xe.guards.max_rewinds) == (
        7,
        "constant",
        0,
    )
    assert config.evaluator.vision_layers == (1, 2, 3, 4)
    assert config.evaluator.prompt == 'a "photo" of # \\ '
    assert config.finetune == dataclasses.replace(photos.finetune, learning_rate=1e-7)
    assert (config.captioner, config.gate) == (photos.captioner, photos.gate)
    assert photos.xe.num_steps != 7


def test_it_travels_as_overrides_that_mean_the_same(own):
    """What a pod is given names no file, and splits at white space as overrides do."""
    preset, overrides = unfold(own, "xe.num_steps=9")
    assert preset == "photos"
    assert own not in overrides
    assert resolve(preset, overrides) == resolve(own, "xe.num_steps=9")
    assert resolve(preset, overrides).xe.num_steps == 9
    assert resolve(*unfold(own, "")) == resolve(own)


def test_a_file_may_extend_another_beside_it(own, tmp_path):
    (tmp_path / "again.toml").write_text('extends = "mine.toml"\nxe.num_steps = 8\n')
    config = resolve(str(tmp_path / "again.toml"))
    assert (config.xe.num_steps, config.xe.schedule) == (8, "constant")
    assert resolve(*unfold(str(tmp_path / "again.toml"), "")) == config


def test_a_shipped_preset_stays_as_it_is():
    assert unfold("photos", "xe.num_steps=9") == ("photos", "xe.num_steps=9")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("xe.num_steps = 3", 'names no preset; its first line is extends = "photos"'),
        ("extends = 3", 'names no preset; its first line is extends = "photos"'),
        ('extends = "photo"', "'photo' is unknown; presets are"),
        ('extends = "mine.toml"', "extends more than 16 files, or itself"),
        ('extends = "other.toml"', "other.toml: no such file"),
        ("extends = photos", "not TOML"),
        ('extends = "photos"\nxe.num_step = 3', r"xe\.num_step: unknown setting \(did you mean"),
        ('extends = "photos"\nxe.num_steps = -1', r"xe\.num_steps: must be at least 0, got -1"),
        ('extends = "photos"\nxe = 3', "xe: expected settings, got 3"),
        ('extends = "photos"\nxe.num_steps.a = 3', r"xe\.num_steps\.a: num_steps has no settings"),
        ('extends = "photos"\nxe.num_steps = 2026-01-01', r"xe\.num_steps: expected int"),
    ],
)
def test_one_line_says_what_is_wrong_with_a_file(tmp_path, text, message):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as wrong:
        resolve(str(path))
    assert "\n" not in str(wrong.value)


def test_a_missing_file_and_one_that_is_no_text(tmp_path):
    with pytest.raises(ConfigError, match=r"preset: .*mine\.toml: no such file"):
        resolve(str(tmp_path / "mine.toml"))
    (tmp_path / "mine.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not TOML"):
        resolve(str(tmp_path / "mine.toml"))
