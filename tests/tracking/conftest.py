"""A training as trackers see it: rows, validations with captions of real images, and a resumption."""

import pytest
from PIL import Image

from dico.tracking import captions_made, rows_made
from dico.tracking.trackers import TRACK_VARIABLE, tracked

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


def row(step):
    values = {"step": step, "seconds": float(step), "loss": 1 / step, "reward": 0.5 * step}
    if step % 2 == 0:
        values["validation_cider"] = 0.1 * step
    if step == 3:
        values["events"] = ["step 3: went back"]
        values["gradient_norm"] = float("inf")
    return values
