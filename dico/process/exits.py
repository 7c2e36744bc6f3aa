"""From exceptions to exit codes: one line for the user, one status for whoever started the process.

Every entry into dico, a verb of the command line or the body of a component, runs inside
`exit_codes`. The codes are those of `dico.errors`; 130 means interrupted from the keyboard.
"""

import errno
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from dico.errors import DicoError, UsageError, system_error
from dico.process import redaction

ERROR_PREFIX = "error: "
"""Starts the last line of a failed command; a runner finds the reason of a failure by it."""

INTERRUPTED = 130
"""Exit code after an interrupt from the keyboard."""

EXIT_CODES = {2, 65, 70, 74, 75, 77, INTERRUPTED}
"""Every code that says why a process of dico failed."""

_STORAGE_ERRNOS = {errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS, errno.EFBIG}


@contextmanager
def exit_codes() -> Iterator[None]:
    """Leaves the process with the exit code of whatever the block raises.

    Expected errors print one line, and so does a package that an extra brings. An unexpected one prints its traceback before the line. Secrets
    are kept out of both, and out of what is logged meanwhile.

    Raises:
        SystemExit: the block raised; ``code`` says why.
    """
    redaction.redact_logs()
    try:
        yield
    except DicoError as error:
        _leave(str(error), error.exit_code)
    except KeyboardInterrupt:
        _leave("interrupted; the same command continues the work", INTERRUPTED)
    except ModuleNotFoundError as error:
        from dico.process.extras import advice

        missing = advice(error.name or "")
        if not missing:
            _leave_unexpected(error)
        _leave(missing, UsageError.exit_code)
    except Exception as error:
        found = system_error(error)
        if isinstance(found, PermissionError):
            _leave(f"{found.filename}: permission denied", 77)
        if found is None or found.errno not in _STORAGE_ERRNOS:
            _leave_unexpected(error)
        _leave(f"{found.filename or 'storage'}: {found.strerror}", 74)


def _leave(message: str, code: int) -> NoReturn:
    one_line = " ".join(redaction.redact(message).split())
    print(f"{ERROR_PREFIX}{one_line}", file=sys.stderr, flush=True)
    raise SystemExit(code)


def _leave_unexpected(error: Exception) -> NoReturn:
    lines = "".join(traceback.format_exception(error))
    print(redaction.redact(lines), file=sys.stderr, end="")
    _leave(f"internal: {type(error).__name__}: {error}", 70)
