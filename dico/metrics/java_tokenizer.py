"""The Stanford PTBTokenizer itself, run by Java from the jar that pycocoevalcap ships."""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from dico.errors import DicoError, UsageError
from dico.metrics.ptb import LINE_SEPARATORS, without_punctuation

_JAR = "tokenizer/stanford-corenlp-3.4.1.jar"


@cache
def pycocoevalcap_file(name: str) -> Path | None:
    """A file of the installed pycocoevalcap package, or None where it is absent."""
    spec = find_spec("pycocoevalcap")
    places = list(spec.submodule_search_locations or []) if spec else []
    found = [Path(place) / name for place in places if (Path(place) / name).exists()]
    return found[0] if found else None


def java_missing(name: str) -> str:
    """Why the jar ``name`` cannot be run, in one line; empty text if it can."""
    if shutil.which("java") is None:
        return "no java on the PATH: install a Java runtime (8 or later)"
    if pycocoevalcap_file(name) is None:
        return f"pycocoevalcap/{name} is absent: pip install pycocoevalcap"
    return ""


def tokenizer_missing() -> str:
    """Why `tokenize_with_java` cannot run; empty text if it can."""
    return java_missing(_JAR)


def tokenize_with_java(captions: Sequence[str]) -> list[str]:
    """Tokens of each caption, separated by single spaces, by the Java tokeniser.

    Raises:
        UsageError: Java or the jar is absent.
        DicoError: it gave another number of lines.
    """
    reason = java_missing(_JAR)
    if reason:
        raise UsageError(f"tokenizer=java: {reason}, or use tokenizer=python")
    if not captions:
        return []
    lines = _run([LINE_SEPARATORS.sub(" ", caption) for caption in captions])
    if len(lines) != len(captions):
        raise DicoError(f"tokenizer=java: {len(lines)} lines for {len(captions)} captions")
    return [without_punctuation(line.rstrip().split(" ")) for line in lines]


def _run(lines: Sequence[str]) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "captions.txt"
        path.write_text("\n".join(lines), encoding="utf-8", errors="replace")
        command = ["java", "-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8"]
        command += ["-cp", str(pycocoevalcap_file(_JAR)), "edu.stanford.nlp.process.PTBTokenizer"]
        command += ["-preserveLines", "-lowerCase", "-encoding", "UTF-8", str(path)]
        done = subprocess.run(command, capture_output=True, check=True)
    return done.stdout.decode("utf-8").split("\n")
