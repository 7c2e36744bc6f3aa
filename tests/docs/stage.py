"""The folder in which the pages' commands are typed: small data under the names that they use."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image

from dico.registry import open_registry
from tests.docs.pages import ROOT
from tests.docs.plan import TINY

DICO = str(Path(sys.executable).with_name("dico"))
# Of seeds 1 and 2 two images nearly the same lie in two splits, which validation refuses.
SIZES = ("--num-train", "48", "--num-validation", "12", "--num-test", "24", "--seed", "3")
RUN = Path("runs/dico-a")
KEY = "private.pem"


def typed(folder, words, variables=()):
    """One command, run to its end in ``folder`` by this environment's programs."""
    places = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    given = dict(variable.split("=", 1) for variable in variables)
    if (folder / KEY).is_file():  # what verifies the registry wants all that is written signed
        given.setdefault("DICO_SIGNING_KEY", KEY)
    return subprocess.run(
        list(words), cwd=folder, env={**os.environ, **given, "PATH": places},
        capture_output=True, text=True, timeout=900,
    )  # fmt: skip


def do(folder, *words):
    done = typed(folder, words)
    assert done.returncode == 0, f"{words}: {done.stderr[-2000:]}"


def build(folder):
    """A dataset in the formats and under the names that pages have, and an image."""
    for name in ("pipelines", "manifests"):
        (folder / name).symlink_to(ROOT / name)
    do(folder, DICO, "toy", "--output", "toy", *SIZES)
    lines = (folder / "toy/dataset.jsonl").read_text()
    (folder / "images").symlink_to(folder / "toy/images")
    for name in ("my_photos.jsonl", "photos.jsonl"):
        (folder / name).write_text(lines)
    do(folder, DICO, "data", "convert", "my_photos.jsonl", "dataset_coco.json", "--to", "karpathy")
    shutil.copy(folder / "dataset_coco.json", folder / "dataset_flickr8k.json")
    for name in ("Images", "photos"):
        (folder / name).symlink_to(folder)
    Image.new("RGB", (64, 64), "red").save(folder / "photo.jpg")


def build_trained(folder):
    """Four runs, a registry of two versions, and captions that were made."""
    for seed, name in enumerate(("dico-a", "dico-b"), start=1):
        train(folder, name, "dico", seed)
    for name, rate in (("scst-1", 2e-3), ("scst-2", 1e-3)):  # other weights, so another version
        train(folder, name, f"scst finetune.reward=pac xe.learning_rate={rate}")
    _registry(folder)
    _captions(folder)


def train(folder, name, method, seed=1):
    overrides = f"overrides={TINY} finetune.method={method}"
    given = ["dataset=my_photos.jsonl", "preset=toy", overrides, f"seed={seed}"]
    do(folder, DICO, "run", "pipelines/dico.yaml", *given, "--name", name)


def _registry(folder):
    do(folder, DICO, "keys", "new", KEY, "public.pem")
    evaluator = str(RUN / "models/evaluator")
    data = ["--manifest", str(RUN / "manifest.parquet"), "--features", str(RUN / "features")]
    for run in (RUN, Path("runs/scst-2")):
        models = run / "models"
        parts = ["--captioner", str(models / "dico"), "--baseline", str(models / "xe")]
        add = [DICO, "models", "add", "photos", *parts, "--evaluator", evaluator, *data]
        do(folder, *add, "--overrides", TINY)
    registry = open_registry(str(folder / "runs/registry"))
    kept = registry.fetch(registry.get("photos", 1), folder / "fetched")
    shutil.copytree(kept, folder / "version")
    do(folder, DICO, "models", "promote", "photos@1", "--anyway")
    shutil.rmtree(folder / "runs/registry/toy")
    (folder / "evaluator").symlink_to(folder / evaluator)


def _captions(folder):
    """Captions, references and a manifest as the pages on scoring and rating call them."""
    shutil.copy(folder / RUN / "manifest.parquet", folder / "manifest.parquet")
    shutil.copy(folder / RUN / "captions/xe.jsonl", folder / "xe.jsonl")
    shutil.copy(folder / "xe.jsonl", folder / "other.jsonl")
    rows = [json.loads(line) for line in (folder / "xe.jsonl").read_text().splitlines()]
    known = [json.loads(line) for line in (folder / "my_photos.jsonl").read_text().splitlines()]
    human = {row["id"]: row["captions"] for row in known}
    # Models this small say the same before and after DiCO, and equal captions cannot be rated.
    for row, other in zip(rows, (*rows[1:], rows[0]), strict=True):
        row["caption"] = human[other["image_id"]][0]
    (folder / "dico.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    captions = {row["image_id"]: row["caption"] for row in rows}
    (folder / "captions.json").write_text(json.dumps(captions))
    references = {name: human[name] for name in captions}
    (folder / "references.json").write_text(json.dumps(references))
