"""SPICE (Anderson et al., ECCV 2016) by its own Java program and Stanford's parser models.

pycocoevalcap ships the program; the models (CoreNLP 3.6.0, about 400 MB) are a download of their
own. Minutes for a large set, so what was parsed is cached.
"""

import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from dico.errors import DicoError, UsageError
from dico.metrics.java_tokenizer import java_missing, pycocoevalcap_file
from dico.metrics.paraphrases import cache_folder
from dico.metrics.scores import Captions, References, Score, line_up
from dico.metrics.tokenizer import TokenizerName, tokenize

_JAR = "spice/spice-1.0.jar"
_MODELS = ("spice/lib/stanford-corenlp-3.6.0.jar", "spice/lib/stanford-corenlp-3.6.0-models.jar")


def spice_missing() -> str:
    """Why SPICE cannot be computed here, in one line; empty text if it can."""
    reason = java_missing(_JAR)
    if not reason and any(pycocoevalcap_file(name) is None for name in _MODELS):
        reason = (
            "Stanford's parser models are absent: "
            "python -m pycocoevalcap.spice.get_stanford_models fetches them (about 400 MB)"
        )
    return reason


def spice(captions: Captions, references: References, tokenizer: TokenizerName = "python") -> Score:
    """SPICE, in [0, 1], higher is better: F-score of objects, attributes and relations.

    The total is the mean, as in pycocoevalcap 1.2, whose program computes it.

    Raises:
        UsageError: Java, the jar or the models are absent.
        DicoError: the program failed.
    """
    reason = spice_missing()
    if reason:
        raise UsageError(f"SPICE: {reason}")
    texts, grouped = line_up(captions, references)
    flat = iter(tokenize([text for group in grouped for text in group], tokenizer))
    items = [
        {"image_id": number, "test": caption, "refs": [next(flat) for _ in group]}
        for number, (caption, group) in enumerate(
            zip(tokenize(texts, tokenizer), grouped, strict=True)
        )
    ]
    scores = _run(items)
    per_image = np.array([scores[number] for number in range(len(texts))])
    return Score(float(per_image.mean()), per_image)


def _run(items: list[dict[str, object]]) -> dict[int, float]:
    jar = pycocoevalcap_file(_JAR)
    assert jar is not None
    cache = cache_folder().parent / "spice"
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder) / "in.json", Path(folder) / "out.json"
        asked.write_text(json.dumps(items))
        command = ["java", "-Xmx8G", "-jar", str(jar), str(asked), "-cache", str(cache)]
        command += ["-out", str(answered), "-subset", "-silent"]
        done = subprocess.run(command, cwd=jar.parent, capture_output=True, text=True, check=False)
        if done.returncode or not answered.is_file():
            last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
            raise DicoError(f"SPICE: the Java program failed: {last}")
        found = json.loads(answered.read_text())
    return {int(item["image_id"]): float(item["scores"]["All"]["f"]) for item in found}
