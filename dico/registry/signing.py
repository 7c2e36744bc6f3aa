"""Ed25519 signatures of registered versions, made and checked without a network.

A signature covers the folder's list of digests, and with it every byte of every other file. It lies
in the folder as ``signature.json`` and is itself listed, so it travels wherever the folder goes:

    {"algorithm": "ed25519", "format": 1, "key_id": "9f2c...", "signature": "base64"}

Keys are PEM files, or PEM text where a secret arrives as a variable. Several public keys one after
the other in one file are all trusted, which is how a key is replaced.
"""

import base64
import binascii
import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dico.errors import AccessError, ConfigError, DataError, DigestError
from dico.storage import atomic_write, verify_digests, write_digests
from dico.storage.digests import DIGESTS, parse_digests
from dico.storage.digests import FORMAT as DIGESTS_FORMAT

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

SIGNATURE = "signature.json"
FORMAT = 1
PRIVATE_KEY_VARIABLE = "DICO_SIGNING_KEY"
"""Environment variable with the private key: the path of a PEM file, or PEM text."""
PUBLIC_KEY_VARIABLE = "DICO_VERIFY_KEY"
"""Environment variable with the trusted public keys: the path of a PEM file, or PEM text."""
_PURPOSE = b"dico registered version, format 1\n"
_PUBLIC_PEM = re.compile(rb"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----", re.DOTALL)


def sign(folder: str | Path, private_key: str | Path) -> str:
    """Writes the folder's signature, and its digests anew; returns the folder's digest.

    Args:
        folder: a version's folder, complete: what is added later is refused by `verify`.
        private_key: PEM file, or PEM text, of an Ed25519 private key.

    Raises:
        ConfigError: no such key, or not an Ed25519 one.
    """
    folder = Path(folder)
    key = _read_private_key(private_key)
    (folder / SIGNATURE).unlink(missing_ok=True)
    write_digests(folder)
    files = parse_digests((folder / DIGESTS).read_bytes(), str(folder / DIGESTS))
    content = {
        "algorithm": "ed25519",
        "format": FORMAT,
        "key_id": key_id(key.public_key()),
        "signature": base64.b64encode(key.sign(_message(files))).decode(),
    }
    with atomic_write(folder / SIGNATURE) as temporary:
        temporary.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
    return write_digests(folder)


def verify(folder: str | Path, public_key: str | Path) -> str:
    """Checks every file of a folder against its digests, and those against its signature.

    Args:
        folder: a folder that `sign` wrote, or a copy of it.
        public_key: PEM file, or PEM text, of one or more Ed25519 public keys.

    Returns:
        The id of the key that signed it.

    Raises:
        DigestError: a file is missing, added or changed, or the signature is not by a trusted key.
        DataError: the folder is not signed.
        ConfigError: no such key, or not an Ed25519 one.
    """
    from cryptography.exceptions import InvalidSignature

    folder = Path(folder)
    trusted = {key_id(key): key for key in _read_public_keys(public_key)}
    verify_digests(folder)
    files = _canonical_digests(folder)
    content = _read_signature(folder, files)
    key = trusted.get(content["key_id"])
    if key is None:
        known = ", ".join(sorted(trusted))
        raise DigestError(
            f"{folder / SIGNATURE}: signed by key {content['key_id']}, which is not trusted here "
            f"(trusted: {known}); check where the version comes from"
        )
    try:
        key.verify(_decode(content["signature"]), _message(files))
    except (InvalidSignature, ValueError):
        raise DigestError(
            f"{folder / SIGNATURE}: not the signature of these files; fetch the version again"
        ) from None
    return str(content["key_id"])


def sign_if_configured(folder: str | Path) -> bool:
    """Signs with the key that the environment names; False where it names none."""
    key = os.environ.get(PRIVATE_KEY_VARIABLE, "")
    if key:
        sign(folder, key)
    return bool(key)


def verify_if_configured(folder: str | Path) -> bool:
    """Verifies by the keys that the environment trusts; False where it names none.

    Once keys are named, a folder without a signature is refused.
    """
    key = os.environ.get(PUBLIC_KEY_VARIABLE, "")
    if key:
        verify(folder, key)
    return bool(key)


def sign_text(text: str, private_key: str | Path) -> str:
    """Signature, in base64, of one text, such as the record of a version or of an alias."""
    return base64.b64encode(_read_private_key(private_key).sign(_text_message(text))).decode()


def verify_text(text: str, signature: str, public_key: str | Path, where: str) -> None:
    """Checks a signature of `sign_text` against all trusted keys.

    Raises:
        DigestError: none of them made it; ``where`` says what was signed.
    """
    from cryptography.exceptions import InvalidSignature

    for key in _read_public_keys(public_key):
        try:
            key.verify(_decode(signature), _text_message(text))
        except (InvalidSignature, ValueError):
            continue
        return
    raise DigestError(f"{where}: not signed by a trusted key; check where it comes from")


def new_key(private_path: str | Path, public_path: str | Path) -> str:
    """Writes a new pair of keys as PEM files, the private one for its owner only; returns its id.

    Raises:
        ConfigError: a file is there already; it is left as it is.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    for path in (Path(private_path), Path(public_path)):
        if path.exists():
            raise ConfigError(
                f"{path}: exists already, and a key is never overwritten; choose another path"
            )
    key = Ed25519PrivateKey.generate()
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    descriptor = os.open(private_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:
        file.write(private)
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    Path(public_path).write_bytes(public)
    return key_id(key.public_key())


def key_id(key: "Ed25519PublicKey") -> str:
    """The first 16 hex digits of the SHA-256 of the raw public key."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def _message(files: Mapping[str, Mapping[str, str | int]]) -> bytes:
    """The bytes that are signed: all digests but the signature's own, in one spelling."""
    covered = {name: entry for name, entry in files.items() if name != SIGNATURE}
    return _PURPOSE + json.dumps(covered, sort_keys=True, separators=(",", ":")).encode()


def _text_message(text: str) -> bytes:
    return b"dico registry record, format 1\n" + text.encode()


def _canonical_digests(folder: Path) -> dict[str, dict[str, str | int]]:
    """The digests, whose file must be spelled as it is written, to the byte."""
    data = (folder / DIGESTS).read_bytes()
    files = parse_digests(data, str(folder / DIGESTS))
    content = {"format": DIGESTS_FORMAT, "files": files}
    if data != json.dumps(content, indent=1, sort_keys=True).encode():
        raise DigestError(
            f"{folder / DIGESTS}: its bytes changed since it was written; fetch the version again"
        )
    return files


def _read_signature(folder: Path, files: Mapping[str, Any]) -> dict[str, Any]:
    path = folder / SIGNATURE
    if SIGNATURE not in files:
        raise DataError(f"{folder}: not signed; sign it with {PRIVATE_KEY_VARIABLE} set")
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
        if content["format"] == FORMAT and content["algorithm"] == "ed25519":
            return {"key_id": str(content["key_id"]), "signature": str(content["signature"])}
    except (ValueError, KeyError, TypeError):
        pass
    raise DigestError(f"{path}: not a signature of format {FORMAT}; fetch the version again")


def _decode(signature: str) -> bytes:
    """Bytes of base64, in its one canonical spelling: the last letter's spare bits are 0."""
    try:
        data = base64.b64decode(signature, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
    if base64.b64encode(data).decode() != signature:
        raise ValueError("base64 with spare bits set")
    return data


def _read_private_key(source: str | Path) -> "Ed25519PrivateKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    data, where = _read_pem(source, "private key")
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{where}: not an Ed25519 private key in PEM without a password")
    return key


def _read_public_keys(source: str | Path) -> list["Ed25519PublicKey"]:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    data, where = _read_pem(source, "public key")
    keys = []
    for block in _PUBLIC_PEM.findall(data):
        try:
            key = load_pem_public_key(block)
        except ValueError:
            key = None
        if not isinstance(key, Ed25519PublicKey):
            raise ConfigError(f"{where}: holds a public key that is not Ed25519")
        keys.append(key)
    if not keys:
        raise ConfigError(f"{where}: holds no Ed25519 public key in PEM")
    return keys


def _read_pem(source: str | Path, what: str) -> tuple[bytes, str]:
    """A key's bytes, and what it is called in errors, which never show the key."""
    if "-----BEGIN" in str(source):
        return str(source).encode(), f"the {what}"
    try:
        return Path(source).read_bytes(), str(source)
    except PermissionError:
        raise AccessError(f"{source}: permission denied; the {what} cannot be read") from None
    except OSError as error:
        raise ConfigError(f"{source}: no {what} there ({error.strerror})") from None
