"""An image's file to normalised pixels: ours, exact and fast, against transformers' processors.

Run: python benchmarks/images.py [--folder DIR] [--images 100] [--rounds 5]

CLIP's preprocessing at 224 px, one thread, CPU time. The folder's JPEGs are read before; compared
are the pixels of each way with ours; transformers cuts some squares one pixel beside.
"""

import argparse
import io
from pathlib import Path

import numpy as np
import torch
from measure import alternate, write
from PIL import Image

from dico.images.fast_square import fast_square
from dico.images.load import load_image_bytes
from dico.models.clip_config import ClipConfig, TextConfig, VisionConfig
from dico.models.evaluator import EvaluatorConfig, normalise, preprocess

SIZE_PX = 224
DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "coco_mini" / "val2017"


def main() -> None:
    """Times the ways in alternation and compares their pixels."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=DATA, help="folder of JPEGs")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    files = sorted(arguments.folder.glob("*.jpg"))[: arguments.images]
    if not files:
        raise SystemExit(f"{arguments.folder}: no JPEGs; give --folder")
    write("images", measure([path.read_bytes() for path in files], arguments.rounds))


def measure(files: list[bytes], rounds: int) -> dict[str, object]:
    """CPU milliseconds an image, and how the pixels differ."""
    config = EvaluatorConfig(
        clip=ClipConfig(
            embed_dim=512,
            vision_cfg=VisionConfig(image_size=SIZE_PX, layers=1, width=64, patch_size=32),
            text_cfg=TextConfig(77, 49408, 64, 1, 1),
        )
    )
    slow, quick = _processors()

    def ours(data: bytes) -> torch.Tensor:
        return preprocess(load_image_bytes(data, "image"), config)

    def fast(data: bytes) -> torch.Tensor:
        square = fast_square(data, "image", SIZE_PX, "bicubic")
        return ours(data) if square is None else normalise(square, config)

    def by(processor) -> object:  # type: ignore[no-untyped-def]
        return lambda data: processor(Image.open(io.BytesIO(data)).convert("RGB"),
                                      return_tensors="pt")["pixel_values"][0]  # fmt: skip

    ways = {"dico": ours, "dico, fast": fast, "transformers, Pillow": by(slow)}
    if quick is not None:
        ways["transformers, torchvision"] = by(quick)
    rivals = {name: (lambda way=way: [way(data) for data in files]) for name, way in ways.items()}
    times = alternate(rivals, rounds)
    truth = [ours(data) for data in files]
    per_image = {name: 1000 * one["cpu_seconds"] / len(files) for name, one in times.items()}
    return {
        "num_images": len(files),
        "ms_per_image": {name: round(ms, 3) for name, ms in per_image.items()},
        "times_faster_than_transformers": {
            name: round(per_image["transformers, Pillow"] / ms, 2) for name, ms in per_image.items()
        },
        "share_of_bytes_that_differ": {
            name: _differing([way(data) for data in files], truth) for name, way in ways.items()
        },
        "rounds": times,
    }


def _processors():  # type: ignore[no-untyped-def]
    from dico.models.torchvision_compat import ensure_torchvision_imports

    ensure_torchvision_imports()
    from transformers import CLIPImageProcessor, CLIPImageProcessorPil

    return CLIPImageProcessorPil(), CLIPImageProcessor()


def _differing(found: list[torch.Tensor], truth: list[torch.Tensor]) -> dict[str, float]:
    """Share of values that differ by at least one and by more than two steps of 255."""
    step = 1 / 255 / 0.27  # one step of a byte after normalisation
    gaps = [np.abs((a - b).numpy()) / step for a, b in zip(found, truth, strict=True)]
    all_gaps = np.concatenate([gap.ravel() for gap in gaps])
    return {
        "by_one_or_more": round(float((all_gaps > 0.5).mean()), 5),
        "by_more_than_two": round(float((all_gaps > 2.5).mean()), 6),
        "most": round(float(all_gaps.max()), 1),
    }


if __name__ == "__main__":
    main()
