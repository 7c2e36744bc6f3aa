"""dico settings: tables to read, files to edit, and one line about what is unknown."""

import json
import tomllib

import pytest

from dico.cli import main
from dico.presets.config import Config, resolve
from dico.presets.settings import list_settings


def dico(capsys, *arguments):
    """Exit code, output and error output of ``dico settings``."""
    with pytest.raises(SystemExit) as ended:
        main(["settings", *arguments])
    said = capsys.readouterr()
    return ended.value.code, said.out, said.err


def test_every_setting_is_a_line(capsys):
    code, out, _ = dico(capsys, "photos")
    assert code == 0
    for setting in list_settings("photos"):
        assert f"\n{setting.name} " in out
    assert "[finetune]  read by finetune_captioner" in out


def test_named_settings_come_with_their_text(capsys):
    code, out, _ = dico(
        capsys, "toy", "finetune.beta", "xe.guards", "--overrides", "finetune.beta=2"
    )
    assert code == 0
    row = next(line for line in out.splitlines() if line.startswith("finetune.beta"))
    assert row.split() == ["finetune.beta", "2.0", "0.2", "number,", "above", "0", "overrides"]
    assert "Longest time between two steps" in out
    assert "finetune.tau" not in out


def test_changed_ones_alone(capsys):
    _, out, _ = dico(capsys, "toy", "--changed", "--format", "json")
    changed = {row["name"] for row in json.loads(out)}
    assert "decoding.length_penalty" in changed
    assert "decoding.num_beams" not in changed


def test_what_is_printed_as_toml_is_a_preset_that_changes_nothing(capsys, tmp_path):
    _, out, _ = dico(capsys, "toy", "--format", "toml")
    assert tomllib.loads(out)["extends"] == "toy"
    path = tmp_path / "mine.toml"
    path.write_text(out)
    assert resolve(str(path)) == resolve("toy") != Config()


def test_markdown_has_a_row_for_each(capsys):
    _, out, _ = dico(capsys, "toy", "--format", "markdown")
    rows = [line for line in out.splitlines() if line.startswith("| `")]
    assert len(rows) == len(list_settings("toy"))
    assert all(row.replace("\\|", "").count("|") == 5 for row in rows)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["toi"], "error: preset: 'toi' is unknown; presets are"),
        (["toy", "xee"], "error: no setting 'xee'; sections are toy, validation"),
        (["toy", "--overrides", "xe.num_steps=-1"], "error: xe.num_steps: must be at least 0"),
        (["./absent.toml"], "error: preset: absent.toml: no such file"),
    ],
)
def test_one_line_and_exit_2(capsys, arguments, message):
    code, out, err = dico(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(message)
    assert err.count("\n") == 1
