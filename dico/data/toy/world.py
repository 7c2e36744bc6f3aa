"""The toy dataset on disk: images and a JSONL dataset, in the format that a user would bring."""

import functools
import json
import multiprocessing
import random
import re
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from dico.data.toy.captions import write_caption, write_full_caption
from dico.data.toy.config import ToyConfig
from dico.data.toy.facts import TOY_VOCABULARY, facts_of
from dico.data.toy.render import render
from dico.data.toy.scenes import sample_scene
from dico.facts import FACTS_FILE, Scene, write_facts
from dico.process.progress import progress

DATASET_FILE = "dataset.jsonl"
_RENDERED = re.compile(r"/datasets/toy-[0-9a-f]{16}/" + re.escape(DATASET_FILE) + "$")


def toy_key(digest: str) -> str:
    """Key in a store of the toy dataset whose settings, seed and code have this hex digest."""
    return f"datasets/toy-{digest[:16]}"


def is_toy_dataset(place: str) -> bool:
    """Whether these annotations were rendered by `write_toy_dataset` into a store by `toy_key`."""
    return bool(_RENDERED.search(place))


def write_toy_dataset(folder: Path, config: ToyConfig, seed: int) -> Path:
    """Renders the toy dataset into the new ``folder``; returns the path of its dataset file.

    Its facts are beside it (`dico.facts.FACTS_FILE`). Images are rendered on all cores. The same config and seed give the same bytes.
    """
    sizes = {
        "train": config.num_train,
        "validation": config.num_validation,
        "test": config.num_test,
    }
    places = [(split, index) for split, size in sizes.items() for index in range(size)]
    (folder / "images").mkdir(parents=True, exist_ok=True)
    write = functools.partial(_write_image, folder, config, seed)
    with (
        ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool,
        progress("toy dataset", total=len(places), unit="image") as bar,
    ):
        lines, scenes = [], []
        for entry, scene in pool.map(write, places, chunksize=50):
            lines.append(json.dumps(entry))
            scenes.append((entry["id"], scene))
            bar.advance()
    write_facts(folder / FACTS_FILE, TOY_VOCABULARY, scenes)
    (folder / DATASET_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / DATASET_FILE


def _write_image(
    folder: Path, config: ToyConfig, seed: int, place: tuple[str, int]
) -> tuple[dict[str, Any], Scene]:
    """Writes one image (two for training); returns its line of the dataset, and its facts."""
    split, index = place
    rng = random.Random(f"{seed}/{split}/{index}")
    scene = sample_scene(rng)
    name = f"images/{split}-{index:05d}"
    render(scene, rng, config.image_side_px).save(folder / f"{name}.png", compress_level=1)
    entry: dict[str, Any] = {
        "id": f"{split}-{index:05d}",
        "image": f"{name}.png",
        "captions": [write_caption(scene, rng) for _ in range(config.num_captions)],
        "split": split,
    }
    if split == "train":
        render(scene, rng, config.image_side_px).save(
            folder / f"{name}-again.png", compress_level=1
        )
        entry["positive_images"] = [f"{name}-again.png"]
        entry["positive_captions"] = [write_full_caption(scene, rng)]
    return entry, facts_of(scene)
