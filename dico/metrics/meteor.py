"""METEOR 1.5 (Denkowski and Lavie, 2014) by its own Java program, which pycocoevalcap ships.

One Java process serves all calls and ends with this one. Lines are written by a thread of their
own while answers are read, so neither side can wait for the other; Java's errors go to a file.
"""

import atexit
import contextlib
import os
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from typing import IO, NamedTuple

import numpy as np

from dico.errors import DicoError, UsageError
from dico.metrics.java_tokenizer import java_missing, pycocoevalcap_file
from dico.metrics.scores import Captions, References, Score, line_up
from dico.metrics.tokenizer import TokenizerName, tokenize

_JAR = "meteor/meteor-1.5.jar"
_SEPARATOR = "|||"


class _Pair(NamedTuple):
    caption: str
    references: tuple[str, ...]


def meteor_missing() -> str:
    """Why METEOR cannot be computed here, in one line; empty text if it can."""
    return java_missing(_JAR)


def meteor(
    captions: Captions, references: References, tokenizer: TokenizerName = "python"
) -> Score:
    """METEOR 1.5 in English, in [0, 1], higher is better; the total is the corpus score.

    Aligns words that are equal, or equal in stem, synonym or paraphrase; a weighted harmonic mean
    of precision and recall times a penalty for scattered matches. Equal to pycocoevalcap 1.2.

    Raises:
        UsageError: Java or the jar is absent.
        DicoError: the Java program died; its last words are in the message.
    """
    reason = meteor_missing()
    if reason:
        raise UsageError(f"METEOR: {reason}")
    texts, grouped = line_up(captions, references)
    flat = tokenize([text for group in grouped for text in group], tokenizer)
    ends = np.cumsum([len(group) for group in grouped])
    pairs = [
        _Pair(_one_line(caption), tuple(map(_one_line, flat[end - len(group) : end])))
        for caption, group, end in zip(tokenize(texts, tokenizer), grouped, ends, strict=True)
    ]
    return _process().score(pairs)


class MeteorProcess:
    """The Java program, started once; answers are kept, so a pair seen before costs nothing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._statistics: dict[_Pair, str] = {}
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        command = ["java", "-Xmx2G", "-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8"]
        command += ["-jar", str(pycocoevalcap_file(_JAR)), "-", "-", "-stdio", "-l", "en", "-norm"]
        self._java = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors
        )
        atexit.register(self.close)

    def close(self) -> None:
        """Ends the Java process; called at exit."""
        self._java.kill()
        self._java.wait()
        for stream in (self._java.stdin, self._java.stdout, self._errors):
            if stream is not None:
                _close(stream)

    @property
    def alive(self) -> bool:
        """Whether the Java process runs."""
        return self._java.poll() is None

    def score(self, pairs: Sequence[_Pair]) -> Score:
        """The corpus score and that of each pair."""
        with self._lock:
            new = [pair for pair in dict.fromkeys(pairs) if pair not in self._statistics]
            lines = [f" {_SEPARATOR} ".join(("SCORE", *p.references, p.caption)) for p in new]
            self._statistics.update(zip(new, self._ask(lines, len(lines)), strict=True))
            known = (self._statistics[pair] for pair in pairs)
            evaluation = f" {_SEPARATOR} ".join(("EVAL", *known))
            values = [float(line) for line in self._ask([evaluation], len(pairs) + 1)]
        return Score(values[-1], np.array(values[:-1]))

    def _ask(self, lines: Sequence[str], num_answers: int) -> list[str]:
        assert self._java.stdin is not None
        assert self._java.stdout is not None
        writer = threading.Thread(target=_write, args=(self._java.stdin, lines), daemon=True)
        writer.start()
        answers = [self._java.stdout.readline().decode() for _ in range(num_answers)]
        writer.join()
        if any(not answer.endswith("\n") for answer in answers):
            raise DicoError(f"METEOR: the Java program ended: {self._last_words()}")
        return [answer.strip() for answer in answers]

    def _last_words(self) -> str:
        self._java.wait()
        self._errors.seek(0)
        text = self._errors.read().decode(errors="replace").strip()
        return text.splitlines()[0] if text else f"exit status {self._java.returncode}"


_running: MeteorProcess | None = None
_running_in = 0


def _process() -> MeteorProcess:
    """The process of this Python process; a fork starts its own, a dead one is replaced."""
    global _running, _running_in
    if _running is None or _running_in != os.getpid() or not _running.alive:
        _running, _running_in = MeteorProcess(), os.getpid()
    return _running


def _write(stream: IO[bytes], lines: Sequence[str]) -> None:
    try:
        for line in lines:
            stream.write(line.encode("utf-8", "replace") + b"\n")
        stream.flush()
    except (BrokenPipeError, ValueError):
        pass  # Java is gone: the reader sees the end of its answers and says so


def _close(stream: IO[bytes]) -> None:
    with contextlib.suppress(BrokenPipeError):
        stream.close()


def _one_line(text: str) -> str:
    """Text that is one field of one line of the protocol."""
    return " ".join(text.replace(_SEPARATOR, "").splitlines()).replace("  ", " ")
