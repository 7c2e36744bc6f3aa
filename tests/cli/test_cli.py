"""The command line: one line for what is wrong, its exit code, and what each verb prints."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dico import __version__
from dico.cli import COMPLETION_VARIABLE, VERBS, main
from dico.cli.caption import trained_on
from dico.cli.doctor import examine
from dico.data.toy.world import toy_key
from dico.errors import DataError, UsageError
from dico.registry import open_registry
from dico.registry.find import find_version
from dico_pipelines.local.specification import read_specification


def call(capsys, *arguments):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    captured = capsys.readouterr()
    return left.value.code, captured.out, captured.err


def test_version(capsys):
    assert call(capsys, "--version") == (0, f"dico {__version__}\n", "")


def test_help_lists_every_verb(capsys):
    code, out, _ = call(capsys, "--help")
    assert code == 0
    for verb in VERBS:
        assert f" {verb} " in out
    assert "...\n" not in out.replace("ARGS]...\n", "")  # a title that is cut says nothing


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb, capsys):
    code, out, _ = call(capsys, verb, "--help")
    assert code == 0
    assert "Usage: dico" in out
    titles = out.partition("Commands:")[2]
    assert "...\n" not in titles


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["nothing"], 2, "error: No such command 'nothing'; see dico --help"),
        (["caption"], 2, "error: caption: name image files, or --manifest, --captioner and"),
        (["toy", "--output", "x", "--seed", "no"], 2, "error: Invalid value for '--seed'"),
        (["caption", "missing.jpg"], 65, "error: missing.jpg: no such image"),
        (["caption", "."], 65, "error: .: a folder; name the images in it"),
        (["caption", "s3://b/a.jpg"], 65, "error: s3://b/a.jpg: images are files here; fetch it"),
        (["run", "missing.yaml"], 2, "error: missing.yaml: no such pipeline"),
        (["run", "pipelines/dico.yaml", "preset=nope"], 2, "error: "),
        (["run", "pipelines/dico.yaml", "overrides=xe.nope=1"], 2, "error: xe.nope"),
        (
            ["run", "pipelines/dico.yaml", "dataset=/missing.json"],
            65,
            "error: /missing.json: no such",
        ),
    ],
)
def test_wrong_use_is_one_line_with_its_code(arguments, code, line, capsys):
    found, out, err = call(capsys, *arguments)
    assert (found, out) == (code, "")
    assert err.startswith(line)
    assert err.count("\n") == 1


def test_wrong_parameters_are_said_within_a_second_of_work():
    """CPU seconds, which other work on the machine does not change."""
    before = os.times()
    command = [sys.executable, "-m", "dico", "run", "pipelines/dico.yaml", "presett=toy"]
    done = subprocess.run(command, capture_output=True, text=True)
    after = os.times()
    assert done.returncode == 2
    assert done.stderr == "error: presett: unknown parameter (did you mean preset?)\n"
    spent = after.children_user + after.children_system
    assert spent - before.children_user - before.children_system < 1.0


def test_toy_writes_a_dataset_and_never_overwrites(tmp_path, capsys):
    sizes = ["--num-train", "2", "--num-validation", "1", "--num-test", "1"]
    code, out, _ = call(capsys, "toy", "--output", str(tmp_path / "toy"), *sizes)
    assert code == 0
    assert out.strip() == str(tmp_path / "toy" / "dataset.jsonl")
    assert (tmp_path / "toy" / "dataset.jsonl").is_file()
    code, _, err = call(capsys, "toy", "--output", str(tmp_path / "toy"), *sizes)
    assert code == 2
    assert "exists already" in err


def registered(folder, *names):
    registry = open_registry(folder / "registry")
    for name in names:
        model = folder / name
        model.mkdir()
        (model / "weights").write_text(name)
        registry.register(name, model, {}, identity=name)
    return registry


def test_caption_chooses_the_only_champion(tmp_path):
    registry = registered(tmp_path, "toy")
    with pytest.raises(
        UsageError, match="no version was good enough to be champion; the newest is toy@1"
    ):
        find_version(registry)
    registry.set_alias("toy", "champion", 1, "first")
    assert find_version(registry).number == 1
    with pytest.raises(UsageError, match="no model 'other'; registered are toy"):
        find_version(registry, "other")


def test_caption_takes_the_newest_champion_of_several_models(tmp_path, capsys):
    registry = registered(tmp_path, "toy", "photos")
    registry.set_alias("toy", "champion", 1, "first")
    assert find_version(registry).name == "toy"
    assert "using toy, whose champion is the newest" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("dataset", "told"),
    [
        ("", ""),
        ("s3://pets/photos.jsonl", "s3://pets/photos.jsonl"),
        (
            f"/runs/store/{toy_key('0' * 64)}/dataset.jsonl",
            "the toy dataset: it knows coloured shapes only",
        ),
    ],
)
def test_a_version_says_what_it_was_trained_on(tmp_path, dataset, told):
    registry = registered(tmp_path, "toy")
    (tmp_path / "other").mkdir()
    version = registry.register("other", tmp_path / "other", {"dataset": dataset}, identity="two")
    assert trained_on(version) == told


def test_caption_asks_which_of_several_models(tmp_path):
    registry = registered(tmp_path, "toy", "photos")
    with pytest.raises(UsageError, match="name a version of photos, toy"):
        find_version(registry)
    found = find_version(registry, "photos@1")
    assert (found.name, found.number) == ("photos", 1)
    registry.set_alias("photos", "night", 1, "for the dark")
    assert find_version(registry, "photos@night").number == 1
    with pytest.raises(DataError, match="no alias 'day'; the newest version is photos@1"):
        find_version(registry, "photos@day")


def test_doctor_names_what_it_looked_at(tmp_path):
    findings = {finding.subject: finding for finding in examine(tmp_path, str(tmp_path / "none"))}
    assert {"dico", "python", "torch", "kfp", "java", "runs", "registry"} <= set(findings)
    assert findings["torch"].advice == ""
    assert findings["registry"].found.endswith("no models yet")


def test_brackets_in_help_are_there(capsys):
    _, out, _ = call(capsys, "evaluate", "--help")
    assert "{id: [captions]}, COCO or Karpathy JSON" in " ".join(out.split())


@pytest.mark.parametrize("verb", ["run", "submit", "schedule"])
def test_help_beside_a_pipeline_lists_its_parameters(verb, capsys):
    code, out, _ = call(capsys, verb, "pipelines/dico.yaml", "seed=2", "--help")
    said = " ".join(out.split())
    assert code == 0
    assert "Settings (key=value):" in said
    assert "seed <int> Seed of everything random. [default: 1]" in said
    assert "preset <str> Name of a preset, such as toy or photos. [default: toy]" in said
    assert "tolerations <json> Taints" in said
    for name in read_specification(Path("pipelines/dico.yaml")).parameters:
        assert f"\n  {name} " in out, name


def test_help_of_a_pipelines_verb_alone_says_how_to_list_parameters(capsys):
    _, out, _ = call(capsys, "run", "--help")
    assert "dico run pipelines/dico.yaml --help lists the parameters" in " ".join(out.split())
    code, _, err = call(capsys, "run", "none.yaml", "--help")
    assert (code, err.partition(";")[0]) == (2, "error: none.yaml: no such pipeline")


def test_help_beside_a_pipeline_imports_no_kfp():
    listing = "import sys; from dico.cli import main\ntry: main()\nfinally: assert 'kfp' not in sys.modules"
    words = [sys.executable, "-c", listing, "run", "pipelines/caption.yaml", "--help"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "inputs <str>" in " ".join(done.stdout.split())


def test_a_verb_of_verbs_alone_lists_them(capsys):
    code, out, err = call(capsys, "models")
    assert (code, err) == (2, "")
    assert "promote" in out


def test_a_verbs_line_in_the_list_is_of_what_it_does():
    assert all(line[0].isupper() and line.endswith(".") for _, line in VERBS.values())


@pytest.mark.parametrize(
    ("line", "expected"),
    [("dico se", ["settings", "serve"]), ("dico settings --fo", ["--format"])],
)
def test_a_shell_completes_verbs_and_options(line, expected):
    variables = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    done = subprocess.run(
        [Path(sys.executable).with_name("dico")],
        env=os.environ | variables | {COMPLETION_VARIABLE: "complete_bash"},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == expected
