"""Signatures of a version's folder: every byte counts, keys can be replaced, nothing leaks."""

import json
import stat
import subprocess
import sys

import pytest

from dico.errors import ConfigError, DataError, DigestError
from dico.registry import signing
from dico.storage import write_digests


@pytest.fixture
def keys(tmp_path):
    signing.new_key(tmp_path / "private.pem", tmp_path / "public.pem")
    return tmp_path / "private.pem", tmp_path / "public.pem"


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "version"
    (made / "captioner").mkdir(parents=True)
    (made / "captioner" / "model.safetensors").write_bytes(bytes(range(64)))
    (made / "lineage.json").write_text('{"seed": 1}\n')
    return made


def test_signed_folder_verifies(folder, keys):
    digest = signing.sign(folder, keys[0])
    assert signing.verify(folder, keys[1]) == signing.verify(folder, keys[1].read_text())
    assert write_digests(folder) == digest


def test_the_same_folder_has_the_same_signature(folder, keys):
    first = signing.sign(folder, keys[0])
    assert signing.sign(folder, keys[0]) == first


def test_every_flipped_bit_is_noticed(folder, keys):
    signing.sign(folder, keys[0])
    tried = 0
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        data = path.read_bytes()
        for position in range(len(data)):
            path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
            with pytest.raises(DataError):
                signing.verify(folder, keys[1])
            tried += 1
        path.write_bytes(data)
    assert tried > 500
    signing.verify(folder, keys[1])


@pytest.mark.parametrize("change", ["changed", "added", "removed"])
def test_digests_written_anew_do_not_help(folder, keys, change):
    signing.sign(folder, keys[0])
    if change == "changed":
        (folder / "lineage.json").write_text('{"seed": 2}\n')
    elif change == "added":
        (folder / "more.json").write_text("{}")
    else:
        (folder / "lineage.json").unlink()
    write_digests(folder)
    with pytest.raises(DigestError, match="not the signature of these files"):
        signing.verify(folder, keys[1])


def test_unsigned_is_refused(folder, keys):
    write_digests(folder)
    with pytest.raises(DataError, match="not signed"):
        signing.verify(folder, keys[1])


def test_another_key_is_not_trusted(folder, keys, tmp_path):
    signing.new_key(tmp_path / "other.pem", tmp_path / "other-public.pem")
    signing.sign(folder, tmp_path / "other.pem")
    with pytest.raises(DigestError, match="not trusted here"):
        signing.verify(folder, keys[1])
    both = keys[1].read_text() + (tmp_path / "other-public.pem").read_text()
    signing.verify(folder, both)


def test_a_claimed_key_id_is_not_enough(folder, keys, tmp_path):
    signing.sign(folder, keys[0])
    claimed = json.loads((folder / signing.SIGNATURE).read_text())["key_id"]
    signing.new_key(tmp_path / "other.pem", tmp_path / "other-public.pem")
    signing.sign(folder, tmp_path / "other.pem")
    forged = json.loads((folder / signing.SIGNATURE).read_text()) | {"key_id": claimed}
    (folder / signing.SIGNATURE).write_text(json.dumps(forged, indent=1, sort_keys=True) + "\n")
    write_digests(folder)
    with pytest.raises(DigestError, match="not the signature of these files"):
        signing.verify(folder, keys[1])


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"format": 1}', "\xff"])
def test_a_broken_signature_is_bad_data(folder, keys, text):
    signing.sign(folder, keys[0])
    (folder / signing.SIGNATURE).write_text(text, encoding="latin-1")
    write_digests(folder)
    with pytest.raises(DigestError, match="not a signature of format 1"):
        signing.verify(folder, keys[1])


def test_texts_are_signed_too(keys):
    signature = signing.sign_text('{"number": 1}', keys[0])
    signing.verify_text('{"number": 1}', signature, keys[1], "versions/000001.json")
    for text, made in (('{"number": 2}', signature), ('{"number": 1}', "AAAA"), ("", "%")):
        with pytest.raises(DigestError, match=r"versions/000001\.json"):
            signing.verify_text(text, made, keys[1], "versions/000001.json")


def test_a_signature_has_one_spelling(keys):
    """64 bytes end in a letter of base64 of which four bits are spare."""
    signature = signing.sign_text("text", keys[0])
    assert signature[-3] in "AQgw"
    for letter in set("ABCDQRghwx") - {signature[-3]}:
        with pytest.raises(DigestError, match="not signed by a trusted key"):
            signing.verify_text("text", f"{signature[:-3]}{letter}==", keys[1], "x")


def test_private_key_is_its_owners(keys):
    assert stat.S_IMODE(keys[0].stat().st_mode) == 0o600
    with pytest.raises(ConfigError, match="never overwritten"):
        signing.new_key(keys[0], keys[1])


def test_wrong_keys_are_named_and_never_shown(folder, keys, tmp_path):
    text = keys[0].read_text()
    broken = text.replace(text.splitlines()[1][10:20], "AAAAAAAAAA")
    for source in (broken, str(keys[1]), str(tmp_path / "none.pem")):
        with pytest.raises(ConfigError) as caught:
            signing.sign(folder, source)
        assert text.splitlines()[1][20:] not in str(caught.value)
    with pytest.raises(ConfigError, match="no Ed25519 public key"):
        signing.verify(folder, keys[0])


def test_only_what_is_configured(folder, keys, monkeypatch):
    monkeypatch.delenv(signing.PRIVATE_KEY_VARIABLE, raising=False)
    monkeypatch.delenv(signing.PUBLIC_KEY_VARIABLE, raising=False)
    write_digests(folder)
    assert not signing.sign_if_configured(folder)
    assert not signing.verify_if_configured(folder)
    monkeypatch.setenv(signing.PUBLIC_KEY_VARIABLE, str(keys[1]))
    with pytest.raises(DataError, match="not signed"):
        signing.verify_if_configured(folder)
    monkeypatch.setenv(signing.PRIVATE_KEY_VARIABLE, keys[0].read_text())
    assert signing.sign_if_configured(folder)
    assert signing.verify_if_configured(folder)


def test_openssl_makes_the_same_keys(folder, tmp_path):
    private, public = tmp_path / "k.pem", tmp_path / "k.pub"
    try:
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True)
    except FileNotFoundError:
        pytest.skip("no openssl here")
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True)
    signing.sign(folder, private)
    signing.verify(folder, public)


def test_by_the_command_line(folder, tmp_path):
    def dico(*arguments):
        command = [sys.executable, "-m", "dico", "keys", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True)

    private, public = tmp_path / "a.pem", tmp_path / "a.pub"
    assert dico("new", private, public).returncode == 0
    assert dico("sign", folder, "--key", private).returncode == 0
    assert "as it was signed by key" in dico("verify", folder, "--key", public).stdout
    (folder / "lineage.json").write_text("{}")
    done = dico("verify", folder, "--key", public)
    assert done.returncode == 65
    assert "lineage.json" in done.stderr
