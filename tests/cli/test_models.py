"""``dico models``: what it prints, and what it refuses."""

import pytest

from dico.cli import main
from dico.registry import open_registry, signing


@pytest.fixture
def registry(tmp_path, monkeypatch):
    monkeypatch.setenv("DICO_REGISTRY", str(tmp_path / "registry"))
    signing.new_key(tmp_path / "k.pem", tmp_path / "k.pub")
    monkeypatch.setenv("DICO_SIGNING_KEY", str(tmp_path / "k.pem"))
    opened = open_registry(tmp_path / "registry")
    for number, promote in ((1, True), (2, True), (3, False)):
        folder = tmp_path / f"made-{number}"
        folder.mkdir()
        (folder / "weights").write_bytes(bytes([number]))
        metadata = {
            "fingerprint": "0123456789abcdef",
            "metrics": {"cider": 1.0 + number, "vocabulary_size": 40},
            "intervals": {"cider": [1.0, 9.0]},
            "decision": {"promote": promote, "reasons": ["because"]},
        }
        opened.register("toy", folder, metadata, f"identity {number}")
    opened.set_alias("toy", "champion", 1, "first")
    opened.set_alias("toy", "champion", 2, "better")
    return opened


def call(capsys, *arguments):
    with pytest.raises(SystemExit) as left:
        main(["models", *arguments])
    captured = capsys.readouterr()
    return left.value.code, captured.out, captured.err


def test_list(registry, capsys):
    code, out, _ = call(capsys, "list")
    lines = out.splitlines()
    assert code == 0
    assert lines[0].split() == [
        *("model", "version", "registered", "PAC-S", "CIDEr", "R@1"),
        *("dataset", "digest"),
    ]
    assert [line.split()[:3] for line in lines[2:3]] == [["toy", "2", "*"]]
    assert "3.0000" in lines[2]
    assert len({line.index("0123456789ab") for line in lines[1:]}) == 1
    assert call(capsys, "list", "toy")[1] == out


def test_show(registry, capsys):
    _, out, _ = call(capsys, "show")
    assert "version           2 (champion)" in out
    assert "champion because  better" in out
    assert "cider            3.0000  [1.0000, 9.0000]" in out
    assert "version      3\n" in call(capsys, "show", "@3")[1]


def test_promote_and_rollback(registry, capsys):
    code, _, err = call(capsys, "promote", "toy@3")
    assert code == 2
    assert "the quality gate refused it: because; --anyway" in err
    assert registry.champion("toy").number == 2
    assert call(capsys, "promote", "@3", "--anyway")[0] == 0
    assert registry.champion("toy").number == 3
    assert call(capsys, "rollback")[1] == "toy: the champion is version 2 again\n"
    assert registry.champion("toy").number == 2
    code, _, err = call(capsys, "promote", "toy@9")
    assert (code, "no version 9 of toy" in err) == (65, True)
    code, _, err = call(capsys, "promote", "toy")
    assert (code, "name the version too, as toy@3" in err) == (2, True)


def test_verify(registry, capsys, tmp_path):
    code, out, _ = call(capsys, "verify", "--all", "--key", str(tmp_path / "k.pub"))
    assert code == 0
    assert out.count("every byte as registered, signed by key") == 3
    assert "give --key" in call(capsys, "verify")[1]
    (registry.fetch(registry.get("toy", 3), tmp_path) / "weights").write_bytes(b"x")
    code, _, err = call(capsys, "verify", "toy@3")
    assert code == 65
    assert "weights" in err


def test_wrong_use_is_one_line(registry, capsys, monkeypatch, tmp_path):
    assert "no model 'cat'; registered are toy" in call(capsys, "show", "cat")[2]
    (tmp_path / "more").mkdir()
    (tmp_path / "more/weights").write_bytes(b"m")
    registry.register("more", tmp_path / "more", {}, "m")
    assert "name one of the models more, toy" in call(capsys, "show")[2]
    code, _, err = call(capsys, "rollback", "more")
    assert (code, "no champion before this one" in err) == (2, True)
    assert "no version was good enough" in call(capsys, "show", "more")[2]
    monkeypatch.setenv("DICO_REGISTRY", str(tmp_path / "empty"))
    assert "no registered model" in call(capsys, "list")[1]
    assert "no registered model" in call(capsys, "show")[2]
