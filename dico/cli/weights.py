"""``dico weights``: published weights by name, kept in a store, and made into models."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from dico.storage import Store
    from dico.weights.pins import Pin
    from dico.weights.prepare import ClipSource

app = typer.Typer(no_args_is_help=True)

StoreUri = Annotated[
    str, typer.Option("--store", help="Folder or s3:// prefix that keeps the weights.")
]
Names = Annotated[
    list[str],
    typer.Argument(
        help="ORG/NAME of the Hugging Face Hub, MODEL:TAG of open_clip, or the path of a file that "
        "its authors publish elsewhere, such as PAC-S's.",
        show_default=False,
    ),
]
Numbers = tuple[float, float, float]
DEFAULT = "runs/store"


@app.command()
def fetch(names: Names, store: StoreUri = DEFAULT) -> None:
    """Fetch weights by name into a store.

    A run with that store then needs no network for them.
    """
    from dico.storage import open_store
    from dico.weights.keeping import keep, keep_file, resolve

    opened = open_store(store)
    for name in names:
        path = Path(name)
        pin = (
            keep_file(path, opened)
            if path.is_file()
            else keep(resolve(name, "NAME", opened), opened)
        )
        print(_line(pin))


@app.command("list")
def list_weights(store: StoreUri = DEFAULT) -> None:
    """List the weights that a store keeps: name, commit, licence."""
    from dico.storage import open_store
    from dico.weights.keeping import known_pins

    lines = [_line(pin) for pin in known_pins(open_store(store))]
    print("\n".join(lines) or f"{store}: keeps no weights yet")


@app.command()
def pack(
    archive: Annotated[Path, typer.Argument(help="Tar to write.")],
    names: Annotated[
        list[str] | None, typer.Argument(help="Names of weights; all by default.")
    ] = None,
    store: StoreUri = DEFAULT,
) -> None:
    """Pack kept weights into one file, for a closed network."""
    from dico.storage import open_store
    from dico.weights.packing import pack as write

    for pin in write(archive, open_store(store), names or []):
        print(_line(pin))


@app.command()
def unpack(
    archive: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Tar to read.")],
    store: StoreUri = DEFAULT,
) -> None:
    """Put packed weights into a store, checked by digests."""
    from dico.storage import open_store
    from dico.weights.packing import unpack as read

    for pin in read(archive, open_store(store)):
        print(_line(pin))


@app.command()
def evaluator(
    folder: Annotated[Path, typer.Argument(help="Folder to write.")],
    clip: Annotated[str, typer.Option(help="Base dual encoder: a name, a folder or a file.")],
    pac: Annotated[str, typer.Option(help="PAC-S or PAC-S++ weights tuned from it.")] = "",
    tower: Annotated[str, typer.Option(help="The captioner's vision tower, if not --clip.")] = "",
    w: Annotated[float, typer.Option(help="Factor of PAC-S; some PAC-S++ code uses 2.5.")] = 2.0,
    store: StoreUri = DEFAULT,
    clip_sha256: Annotated[str, typer.Option(help="Digest that the file must have.")] = "",
    clip_gelu: Annotated[bool, typer.Option("--clip-gelu", help="A file of OpenCLIP: plain GELU.")] = False,
    clip_mean: Annotated[Numbers | None, typer.Option(help="Mean of a file's pixels.")] = None,
    clip_std: Annotated[Numbers | None, typer.Option(help="Standard deviation of its pixels.")] = None,
    clip_interpolation: Annotated[str, typer.Option(help="How its images are resized.")] = "",
    pac_sha256: Annotated[str, typer.Option(help="Digest that the file must have.")] = "",
    pac_gelu: Annotated[bool, typer.Option("--pac-gelu", help="A file of OpenCLIP: plain GELU.")] = False,
    pac_mean: Annotated[Numbers | None, typer.Option(help="Mean of a file's pixels.")] = None,
    pac_std: Annotated[Numbers | None, typer.Option(help="Standard deviation of its pixels.")] = None,
    pac_interpolation: Annotated[str, typer.Option(help="How its images are resized.")] = "",
    tower_sha256: Annotated[str, typer.Option(help="Digest that the file must have.")] = "",
    tower_gelu: Annotated[bool, typer.Option("--tower-gelu", help="A file of OpenCLIP: plain GELU.")] = False,
    tower_mean: Annotated[Numbers | None, typer.Option(help="Mean of a file's pixels.")] = None,
    tower_std: Annotated[Numbers | None, typer.Option(help="Standard deviation of its pixels.")] = None,
    tower_interpolation: Annotated[str, typer.Option(help="How its images are resized.")] = "",
) -> None:  # fmt: skip
    """Make an evaluator's folder of published weights.

    A file tells neither its activation nor its pixels: OpenAI's are taken, or what the options say.
    """
    from dico.storage import open_store
    from dico.weights.prepare import prepare_evaluator

    options = dict(locals())
    with ExitStack() as stack:
        sources = {
            kind: _source(kind, options, stack, open_store(store)) if options[kind] else None
            for kind in ("clip", "pac", "tower")
        }
        base = sources["clip"]
        assert base is not None
        prepare_evaluator(folder, base, sources["pac"], sources["tower"], w)
    print(folder)


@app.command()
def captioner(
    checkpoint: Annotated[Path, typer.Argument(help="Folder with config.json and weights.")],
    folder: Annotated[Path, typer.Argument(help="Folder to write.")],
    sha256: Annotated[str, typer.Option(help="Digest that the weights file must have.")] = "",
) -> None:
    """Convert a checkpoint of the DiCO authors."""
    from dico.models.tokenizer import Tokenizer
    from dico.weights.huggingface import import_dico

    import_dico(checkpoint, Tokenizer.clip(), sha256).save(folder)
    print(folder)


def _source(kind: str, options: dict[str, Any], stack: ExitStack, store: "Store") -> "ClipSource":
    """What the options say of one encoder, its files at hand."""
    from dico.errors import ConfigError
    from dico.images.preprocessing import ClipPixels
    from dico.weights.keeping import at_hand, keep, resolve
    from dico.weights.prepare import ClipSource

    name, told = options[kind], {key: options[f"{kind}_{key}"] for key in ("sha256", "gelu")}
    names = {"mean": "image_mean", "std": "image_std", "interpolation": "interpolation"}
    own = {field: options[f"{kind}_{key}"] for key, field in names.items()}
    own = {field: value for field, value in own.items() if value}
    pixels = ClipPixels(**own) if own else None
    is_file = Path(name).exists() or Path(name.partition(":")[2]).is_file()
    if is_file:
        return ClipSource(name, False if told["gelu"] else None, told["sha256"], pixels)
    if told["gelu"] or told["sha256"]:
        raise ConfigError(
            f"weights: {name!r} tells its activation and its digest itself; give these options "
            "with a file"
        )
    pin = keep(resolve(name, f"--{kind}", store), store)
    path = stack.enter_context(at_hand(pin))
    return ClipSource(str(path), pixels=pixels, architecture=pin.architecture)


def _line(pin: "Pin") -> str:
    facts = _facts(pin)
    return "  ".join([pin.name, *facts])


def _facts(pin: "Pin") -> Iterator[str]:
    if pin.commit:
        yield f"commit {pin.commit[:12]}"
    if pin.licence:
        yield f"licence {pin.licence}"
    yield f"sha256 {pin.sha256[:12]}"
    yield pin.uri
