"""Published weights into our folders.

python -m dico.models.weights evaluator FOLDER --clip ViT-B-32:openai --pac clip_ViT-B-32.pth \
        --tower ViT-L-14:openai
python -m dico.models.weights captioner CHECKPOINT FOLDER
"""

import argparse
import dataclasses
import sys
from typing import get_args

from dico.errors import DicoError
from dico.images.preprocessing import INTERPOLATIONS, ClipPixels
from dico.models.evaluator import Weights
from dico.models.tokenizer import Tokenizer
from dico.models.weights.huggingface import import_dico
from dico.models.weights.prepare import ClipSource, prepare_evaluator


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    options = _parser().parse_args(arguments)
    try:
        if options.what == "captioner":
            import_dico(options.checkpoint, Tokenizer.clip(), options.sha256).save(options.folder)
        else:
            clip, pac = _source(options, "clip"), _source(options, "pac")
            tower = _source(options, "tower") if options.tower else None
            prepare_evaluator(options.folder, clip, pac, tower, options.w)
    except DicoError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(options.folder)
    return 0


def _source(options: argparse.Namespace, kind: str) -> ClipSource:
    """What the options say of one CLIP."""
    told = {name.removeprefix(f"{kind}_"): value for name, value in vars(options).items()}
    names = [field.name for field in dataclasses.fields(ClipPixels)]
    pixels = {name: told[name] for name in names if told[name] is not None}
    for name in ("image_mean", "image_std"):
        if name in pixels:
            pixels[name] = tuple(pixels[name])
    own = ClipPixels(**pixels) if pixels else None
    return ClipSource(told[kind], not told["gelu"], told["sha256"], own)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m dico.models.weights", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(dest="what", required=True)
    evaluator = commands.add_parser("evaluator", help="base CLIP, PAC weights and a tower")
    evaluator.add_argument("folder", help="folder to write")
    evaluator.add_argument("--clip", required=True, help="open_clip MODEL:TAG, or a file")
    evaluator.add_argument("--pac", required=True, help="PAC-S or PAC-S++ .pth file")
    evaluator.add_argument("--tower", default="", help="the captioner's CLIP, if not --clip")
    for kind in get_args(Weights):
        _add_file_options(evaluator, kind)
    evaluator.add_argument("--w", type=float, default=2.0, help="factor of PAC-S (default 2.0)")
    captioner = commands.add_parser("captioner", help="a checkpoint of the DiCO authors")
    captioner.add_argument("checkpoint", help="folder with config.json and weights")
    captioner.add_argument("folder", help="folder to write")
    captioner.add_argument("--sha256", default="", help="digest the weights file must have")
    return parser


def _add_file_options(parser: argparse.ArgumentParser, kind: str) -> None:
    """What a file does not tell of its weights, and names of open_clip do."""
    seen = "Pixels are OpenAI's where nothing else is said"
    if kind == "pac":
        seen = "Pixels are what --clip sees, or OpenAI's in what is left out of the three"
    group = parser.add_argument_group(f"where --{kind} is a file", seen)
    group.add_argument(
        f"--{kind}-sha256", default="", metavar="DIGEST", help="digest that it must have"
    )
    group.add_argument(
        f"--{kind}-gelu", action="store_true", help="it comes from OpenCLIP, not OpenAI: plain GELU"
    )
    for name in ("mean", "std"):
        group.add_argument(
            f"--{kind}-{name}",
            dest=f"{kind}_image_{name}",
            nargs=3,
            type=float,
            metavar=("R", "G", "B"),
            help=f"{name} of its pixels, on the 0..1 scale",
        )
    group.add_argument(
        f"--{kind}-interpolation", choices=INTERPOLATIONS, help="how its pictures are resized"
    )


if __name__ == "__main__":
    sys.exit(main())
