"""Keeps secrets out of what is printed and logged, whoever put them into the text.

Nothing in dico writes a secret on purpose. But servers repeat headers in their answers, libraries
put addresses with passwords into messages, and tracebacks show what they were given; so whatever
leaves by `dico.process.exits` or by a log passes here last.
"""

import logging
import os
import re
import traceback
from typing import Any

HIDDEN = "***"
MIN_LENGTH = 8
"""A shorter value is too likely part of another word."""

_SECRET_NAME = re.compile(
    r"SECRET|TOKEN|PASSW|CREDENTIAL|COOKIE|ACCESS_KEY|API_KEY|SIGNING_KEY|PRIVATE_KEY"
)
_NOT_A_SECRET = re.compile(r"_(FILE|PATH|URL|URI|DIR)$|^TOKENIZERS_")
_PATTERNS = (
    (re.compile(r"\b([a-zA-Z][a-zA-Z0-9+.-]*:/{1,2})[^/\s@'\"]+@"), rf"\1{HIDDEN}@"),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)",
                re.DOTALL), HIDDEN),
    (re.compile(r"(?i)\b(bearer|basic)\s+[a-z0-9._~+/=-]{8,}"), rf"\1 {HIDDEN}"),
    (re.compile(r"(?i)\b(x-amz-(?:signature|credential|security-token))([=:]\s*)[^\s&'\",;<]+"),
     rf"\1\2{HIDDEN}"),
)  # fmt: skip


def redact(text: str) -> str:
    """The text without the values of secret environment variables, passwords in addresses and keys.

    A variable is secret by its name; its value is replaced as a whole and line by line.
    """
    for value in secret_values():
        text = text.replace(value, HIDDEN)
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text


def secret_values() -> list[str]:
    """Values of the environment that must not be shown, the longest first."""
    found = set()
    for name, value in os.environ.items():
        if _SECRET_NAME.search(name.upper()) and not _NOT_A_SECRET.search(name.upper()):
            parts = {value, value.strip(), *value.splitlines()}
            found |= {part for part in parts if _is_secret(part)}
    return sorted(found, key=len, reverse=True)


def redact_logs() -> None:
    """From now on every log record is redacted when it is made, its traceback too."""
    make = logging.getLogRecordFactory()
    if getattr(make, "redacts", False):
        return

    def make_redacted(*arguments: Any, **named: Any) -> logging.LogRecord:
        record = make(*arguments, **named)
        record.msg, record.args = redact(record.getMessage()), ()
        if record.exc_info:
            record.exc_text = redact("".join(traceback.format_exception(*record.exc_info))).rstrip()
        return record

    make_redacted.redacts = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(make_redacted)


def _is_secret(value: str) -> bool:
    is_path = value.startswith(("/", "./", "~"))
    return len(value) >= MIN_LENGTH and not is_path and not value.startswith("-----")
