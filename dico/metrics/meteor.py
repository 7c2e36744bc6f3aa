"""METEOR 1.5 (Denkowski and Lavie, 2014); words are aligned by its own Java program.

pycocoevalcap ships the program. One Java process serves all calls and ends with this one. Lines are
written by a thread of their own while answers are read, so neither side can wait for the other; its
errors go to a file. The score is computed here from its counts, equal to what it prints.
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
from numpy.typing import NDArray

from dico.errors import DicoError, UsageError
from dico.metrics.java_tokenizer import java_missing, pycocoevalcap_file
from dico.metrics.paraphrases import Needed, cut_down
from dico.metrics.scores import Captions, References, Score, line_up
from dico.metrics.tokenizer import TokenizerName, tokenize

_JAR = "meteor/meteor-1.5.jar"
_PARAPHRASES = "meteor/data/paraphrase-en.gz"
_SEPARATOR = "|||"
_MAX_KNOWN_PAIRS = 500_000
# the quick compiler alone and a small nursery: half the CPU seconds and half the memory
_JAVA_OPTIONS = ("-Xmx2G", "-Xmn32m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_ALPHA, _BETA, _GAMMA, _DELTA = 0.85, 0.2, 0.6, 0.75
_STAGE_WEIGHTS = np.array([1.0, 0.6, 0.8, 0.6])  # equal, stem, synonym, paraphrase
_CHUNKS, _MATCHES, _REFERENCE_MATCHES = 20, 21, 22
NUM_STATISTICS = 23

Floats = NDArray[np.float64]


class MeteorPair(NamedTuple):
    """A caption and its references, each one line of tokens."""

    caption: str
    references: tuple[str, ...]


def meteor_missing() -> str:
    """Why METEOR cannot be computed here, in one line; empty text if it can."""
    return java_missing(_JAR) or java_missing(_PARAPHRASES)


def meteor(
    captions: Captions, references: References, tokenizer: TokenizerName = "python"
) -> Score:
    """METEOR 1.5 in English, in [0, 1], higher is better; the total is the corpus score.

    Aligns words that are equal, or equal in stem, synonym or paraphrase. (1 - penalty) times the
    weighted harmonic mean of precision and recall (alpha .85); penalty .6 (chunks / matches)^.2.
    Equal to pycocoevalcap 1.2.

    Raises:
        UsageError: Java or the jar is absent.
        DicoError: the Java program died; its last words are in the message.
    """
    table = meteor_statistics(captions, references, tokenizer)
    return Score(float(meteor_from_sums(table.sum(axis=0))), meteor_from_sums(table))


def meteor_statistics(
    captions: Captions, references: References, tokenizer: TokenizerName = "python"
) -> Floats:
    """(B, 23) the counts that METEOR adds up over a corpus; raises as `meteor`."""
    reason = meteor_missing()
    if reason:
        raise UsageError(f"METEOR: {reason}")
    texts, grouped = line_up(captions, references)
    flat = map(_one_line, tokenize([text for group in grouped for text in group], tokenizer))
    pairs = [
        MeteorPair(_one_line(caption), tuple(next(flat) for _ in group))
        for caption, group in zip(tokenize(texts, tokenizer), grouped, strict=True)
    ]
    return _statistics(pairs)


def meteor_from_sums(sums: Floats) -> Floats:
    """METEOR (...) from rows of `meteor_statistics`, (..., 23), or sums of them."""
    words, other_words, functions, other_functions = np.moveaxis(sums[..., :4], -1, 0)
    stages = sums[..., 4:_CHUNKS].reshape(*sums.shape[:-1], 4, 4)
    content, other_content, function, other_function = np.moveaxis(
        (stages * _STAGE_WEIGHTS[:, None]).sum(axis=-2), -1, 0
    )
    precision = _ratio(
        _DELTA * content + (1 - _DELTA) * function,
        _DELTA * (words - functions) + (1 - _DELTA) * functions,
    )
    recall = _ratio(
        _DELTA * other_content + (1 - _DELTA) * other_function,
        _DELTA * (other_words - other_functions) + (1 - _DELTA) * other_functions,
    )
    mean = _ratio(precision * recall, _ALPHA * precision + (1 - _ALPHA) * recall)
    matches = (sums[..., _MATCHES] + sums[..., _REFERENCE_MATCHES]) / 2
    score: Floats = mean * (1 - _GAMMA * _ratio(sums[..., _CHUNKS], matches) ** _BETA)
    return score


class MeteorProcess:
    """The Java program with a paraphrase table cut down to some references."""

    def __init__(self, needed: Needed) -> None:
        """Starts it with the paraphrases that ``needed`` may call for."""
        self.needed = needed
        self._lock = threading.Lock()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        table = pycocoevalcap_file(_PARAPHRASES)
        assert table is not None
        command = ["java", *_JAVA_OPTIONS, "-Dfile.encoding=UTF-8"]
        command += ["-Dstdout.encoding=UTF-8", "-jar", str(pycocoevalcap_file(_JAR)), "-", "-"]
        command += ["-stdio", "-l", "en", "-norm", "-a", str(cut_down(table, needed))]
        self._java = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors
        )
        atexit.register(self.close)

    def close(self) -> None:
        """Ends the Java process; called at exit."""
        atexit.unregister(self.close)
        self._java.kill()
        self._java.wait()
        for stream in (self._java.stdin, self._java.stdout, self._errors):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    @property
    def alive(self) -> bool:
        """Whether the Java process runs."""
        return self._java.poll() is None

    def ask(self, lines: Sequence[str]) -> list[str]:
        """One answer for each line.

        Raises:
            DicoError: the program ended.
        """
        with self._lock:
            assert self._java.stdin is not None
            assert self._java.stdout is not None
            writer = threading.Thread(target=_write, args=(self._java.stdin, lines), daemon=True)
            writer.start()
            answers = [self._java.stdout.readline().decode() for _ in lines]
            writer.join()
        if any(not answer.endswith("\n") for answer in answers):
            raise DicoError(f"METEOR: the Java program ended: {self._last_words()}")
        return [answer.strip() for answer in answers]

    def _last_words(self) -> str:
        self._java.wait()
        self._errors.seek(0)
        text = self._errors.read().decode(errors="replace").strip()
        return text.splitlines()[0] if text else f"exit status {self._java.returncode}"


_known: dict[MeteorPair, tuple[float, ...]] = {}
_running: MeteorProcess | None = None
_running_in = 0
_starting = threading.Lock()


def _statistics(pairs: Sequence[MeteorPair]) -> Floats:
    """Counts of each pair; those seen before are not asked for again."""
    new = [pair for pair in dict.fromkeys(pairs) if pair not in _known]
    if len(_known) + len(new) > _MAX_KNOWN_PAIRS:
        _known.clear()
        new = list(dict.fromkeys(pairs))
    if new:
        process = _process(Needed.of(text for pair in new for text in pair.references))
        lines = [f" {_SEPARATOR} ".join(("SCORE", *p.references, p.caption)) for p in new]
        for pair, answer in zip(new, process.ask(lines), strict=True):
            _known[pair] = _parse(answer)
    return np.array([_known[pair] for pair in pairs])


def _process(needed: Needed) -> MeteorProcess:
    """A process for these references: the running one where it serves, else a new one for all."""
    global _running, _running_in
    with _starting:
        if _running is not None and _running_in == os.getpid() and _running.alive:
            if _running.needed.covers(needed):
                return _running
            needed = needed | _running.needed
            _running.close()
        _running, _running_in = MeteorProcess(needed), os.getpid()
        return _running


def _parse(answer: str) -> tuple[float, ...]:
    try:
        values = [float(value) for value in answer.split()]
    except ValueError:
        values = []
    if len(values) != NUM_STATISTICS:
        raise DicoError(f"METEOR: unexpected answer {answer[:80]!r}")
    whole = values[_MATCHES] == values[0] and values[_REFERENCE_MATCHES] == values[1]
    if whole and values[_CHUNKS] == 1:
        values[_CHUNKS] = 0.0  # a caption equal to its reference has no penalty
    return tuple(values)


def _ratio(part: Floats, whole: Floats) -> Floats:
    ratio: Floats = part / np.where(whole == 0, 1.0, whole)
    return ratio


def _write(stream: IO[bytes], lines: Sequence[str]) -> None:
    # a broken pipe is Java's end: the reader runs out of answers and says so
    with contextlib.suppress(BrokenPipeError, ValueError):
        for line in lines:
            stream.write(line.encode("utf-8", "replace") + b"\n")
        stream.flush()


def _one_line(text: str) -> str:
    """Text that is one field of one line of the protocol."""
    return " ".join(text.replace(_SEPARATOR, "").splitlines()).replace("  ", " ")
