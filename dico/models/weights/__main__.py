"""Published weights into our folders.

python -m dico.models.weights evaluator FOLDER --clip ViT-B-32:openai --pac clip_ViT-B-32.pth \
        --tower ViT-L-14:openai
python -m dico.models.weights captioner CHECKPOINT FOLDER
"""

import argparse
import sys

from dico.errors import DicoError
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
            pac = ClipSource(options.pac, not options.pac_gelu, options.pac_sha256)
            tower = ClipSource(options.tower) if options.tower else None
            prepare_evaluator(options.folder, ClipSource(options.clip), pac, tower, options.w)
    except DicoError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(options.folder)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m dico.models.weights", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(dest="what", required=True)
    evaluator = commands.add_parser("evaluator", help="base CLIP, PAC weights and a tower")
    evaluator.add_argument("folder", help="folder to write")
    evaluator.add_argument("--clip", required=True, help="open_clip MODEL:TAG, or a file")
    evaluator.add_argument("--pac", required=True, help="PAC-S or PAC-S++ .pth file")
    evaluator.add_argument("--pac-sha256", default="", help="digest the PAC file must have")
    evaluator.add_argument(
        "--pac-gelu", action="store_true", help="the PAC file comes from OpenCLIP, not OpenAI"
    )
    evaluator.add_argument("--tower", default="", help="the captioner's CLIP, if not --clip")
    evaluator.add_argument("--w", type=float, default=2.0, help="factor of PAC-S (default 2.0)")
    captioner = commands.add_parser("captioner", help="a checkpoint of the DiCO authors")
    captioner.add_argument("checkpoint", help="folder with config.json and weights")
    captioner.add_argument("folder", help="folder to write")
    captioner.add_argument("--sha256", default="", help="digest the weights file must have")
    return parser


if __name__ == "__main__":
    sys.exit(main())
