"""Files and folders are whole or absent; digests name the file that changed."""

import errno
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from dico.errors import AccessError, ConfigError, DataError, DigestError, StorageError
from dico.storage import (
    atomic_folder,
    atomic_write,
    open_store,
    require_space,
    sha256_file,
    split_uri,
    verify_digests,
    write_digests,
)
from dico.storage.files import storage_errors


def test_a_file_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.txt"
    with atomic_write(path) as temporary:
        temporary.write_text("one")
        assert not path.exists()
    assert path.read_text() == "one"
    assert os.listdir(path.parent) == ["a.txt"]


def test_an_error_leaves_the_previous_content(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("before")
    with suppress(RuntimeError), atomic_write(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_folder_is_replaced_at_once(tmp_path: Path) -> None:
    path = tmp_path / "model"
    for text in ("one", "two"):
        with atomic_folder(path) as temporary:
            (temporary / text).write_text(text)
        assert os.listdir(path) == [text]
    with suppress(RuntimeError), atomic_folder(path) as temporary:
        (temporary / "three").write_text("three")
        raise RuntimeError
    assert os.listdir(path) == ["two"]
    assert os.listdir(tmp_path) == ["model"]


def test_digests_name_what_changed(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/a.bin").write_bytes(b"abc")
    (tmp_path / "b.bin").write_bytes(b"")
    digest = write_digests(tmp_path)
    verify_digests(tmp_path, digest)
    (tmp_path / "deep/a.bin").write_bytes(b"abd")
    with pytest.raises(DigestError, match=r"deep/a\.bin: its bytes changed"):
        verify_digests(tmp_path)
    (tmp_path / "deep/a.bin").unlink()
    with pytest.raises(DigestError, match=r"deep/a\.bin: missing"):
        verify_digests(tmp_path)
    (tmp_path / "deep/a.bin").write_bytes(b"abc")
    (tmp_path / "c.bin").write_bytes(b"")
    with pytest.raises(DigestError, match=r"c\.bin: not listed"):
        verify_digests(tmp_path)
    (tmp_path / "c.bin").unlink()
    with pytest.raises(DigestError, match="not the version that is expected"):
        verify_digests(tmp_path, "0" * 64)
    (tmp_path / "digests.json").unlink()
    with pytest.raises(DataError, match="missing"):
        verify_digests(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", '{"format": 1}', '{"format": 2, "files": {}}',
                                  '{"format": 1, "files": {"../x": {"sha256": "", "bytes": 0}}}'])  # fmt: skip
def test_wrong_digests_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "digests.json").write_text(text)
    with pytest.raises(DataError):
        verify_digests(tmp_path)


def test_space_is_asked_for_before(tmp_path: Path) -> None:
    require_space(tmp_path / "not yet", 1)
    with pytest.raises(StorageError, match="GB are needed"):
        require_space(tmp_path, 10**18)


@pytest.mark.parametrize(
    ("number", "kind", "code"),
    [
        (errno.ENOSPC, StorageError, 74),
        (errno.EIO, StorageError, 74),
        (errno.EROFS, StorageError, 74),
        (errno.EACCES, AccessError, 77),
    ],
)
def test_the_systems_errors_get_their_exit_code(
    number: int, kind: type[Exception], code: int
) -> None:
    with pytest.raises(kind, match="here: ") as error, storage_errors("here"):
        raise OSError(number, os.strerror(number))
    assert error.value.exit_code == code  # type: ignore[attr-defined]


def test_a_local_store(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    store.write_bytes("a/x", b"hello")
    assert store.read_bytes("a/x", sha256_file(tmp_path / "store/a/x")) == b"hello"
    assert store.read_range("a/x", 1, 3) == b"ell"
    assert store.create("a/y", b"1")
    assert not store.create("a/y", b"2")
    assert store.read_bytes("a/y") == b"1"
    assert store.list() == ["a/x", "a/y"]
    with pytest.raises(DigestError):
        store.read_bytes("a/x", "0" * 64)
    with pytest.raises(DataError, match="no such file"):
        store.read_bytes("a/z")
    for key in ("../x", "/etc/passwd"):
        with pytest.raises(ConfigError):
            store.read_bytes(key)
    digest = store.publish(tmp_path / "store/a", "m")
    assert store.exists("m")
    assert (store.fetch("m", tmp_path / "out", digest) / "x").read_bytes() == b"hello"
    store.delete("m")
    assert not store.exists("m")


def test_uris() -> None:
    assert split_uri("s3://b/a/x.json") == ("s3://b/a", "x.json")
    assert split_uri("/a/x.json") == ("/a", "x.json")
    assert split_uri("s3://b") == ("s3://b", "")
    with pytest.raises(ConfigError, match="unknown store gs://"):
        open_store("gs://bucket")


def test_a_full_disk_under_safetensors_is_a_storage_error(tmp_path):
    """Its own error is no OSError; here the limit is that of a file's size."""
    code = f"""
import resource, signal
import numpy as np
from safetensors.numpy import save_file
from dico.process.exits import exit_codes
from dico.storage import atomic_write
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
with exit_codes(), atomic_write({str(tmp_path / "x")!r}) as path:
    save_file({{"a": np.zeros(1000)}}, path)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 74, done.stderr
    assert done.stderr.splitlines()[-1] == f"error: {tmp_path / 'x'}: File too large"
    assert not any(tmp_path.iterdir())
