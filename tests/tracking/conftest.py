"""A training as trackers see it: rows, validations with captions of real images, and a resumption."""

import zlib

import numpy as np
import pytest
from PIL import Image

from dico.audit.audit import audit
from dico.audit.config import AuditConfig
from dico.audit.judges import CosineJudge
from dico.audit.tracking import tell_audit
from dico.data.toy.facts import TOY_VOCABULARY
from dico.tracking import captions_made, rows_made
from dico.tracking.trackers import TRACK_VARIABLE, tracked
from tests.audit.worlds import corpus, items

REFERENCES = [("a red square", "red"), ("a blue square",)]


@pytest.fixture
def images(tmp_path):
    paths = []
    for name, colour in (("red", (200, 0, 0)), ("blue", (0, 0, 200))):
        path = tmp_path / f"{name}.png"
        Image.new("RGB", (40, 30), colour).save(path)
        paths.append(str(path))
    return paths


@pytest.fixture
def train(images, monkeypatch):
    """Trains from a step to another, validating every second step; the history is the run's."""

    def run(track, stage, start, stop, name="harbour-1"):
        monkeypatch.setenv(TRACK_VARIABLE, track)
        monkeypatch.setenv("DICO_RUN_ID", name)
        rows = [row(step) for step in range(1, start + 1)]
        with tracked(stage, {"num_steps": stop, "guards": {"max_rewinds": 2}}):
            for step in range(start + 1, stop + 1):
                if step % 2 == 0:
                    captions_made(images, [f"red {step}", f"blue {step}"], REFERENCES)
                rows.append(row(step))
                rows_made(rows)

    return run


@pytest.fixture(scope="session")
def found():
    """An audit of a judge that knows words alone, of the toy dataset's scenes."""
    config = AuditConfig(pool_size=10, num_resamples=50)
    rows = items("validation", 20)
    vectors = {item.key: bag(" ".join(item.captions)) for item in rows}
    judge = CosineJudge("bag, of words", vectors, lambda texts: np.stack([*map(bag, texts)]))
    return audit(judge, rows, corpus(), config, TOY_VOCABULARY, [judge])


@pytest.fixture
def tell(found, images, monkeypatch):
    """Tells the trackers of the audit, as the step does."""

    def run(track, name="harbour-1"):
        monkeypatch.setenv(TRACK_VARIABLE, track)
        monkeypatch.setenv("DICO_RUN_ID", name)
        with tracked("audit_evaluator", {"pool_size": 10}):
            tell_audit(found, {f"validation-{k}": images[k % 2] for k in range(20)})

    return run


def bag(text):
    words = (zlib.crc32(word.encode()) for word in sorted(set(text.split())))
    vector = sum(np.random.default_rng(word).normal(size=32) for word in words)
    return vector / np.linalg.norm(vector)


def row(step):
    values = {"step": step, "seconds": float(step), "loss": 1 / step, "reward": 0.5 * step}
    if step % 2 == 0:
        values["validation_cider"] = 0.1 * step
    if step == 3:
        values["events"] = ["step 3: went back"]
        values["gradient_norm"] = float("inf")
    return values
