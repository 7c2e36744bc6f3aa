"""``dico models``: what is registered, which version is champion, and whether it is still what it was."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dico.cli.add_model import add
from dico.cli.options import DEFAULT_REGISTRY, Registry
from dico.cli.push_model import push
from dico.metrics.catalogue import label_of
from dico.process.text_table import aligned

if TYPE_CHECKING:
    from dico.registry import Registry as Opened
    from dico.registry import Version

app = typer.Typer(no_args_is_help=True)

_SHOWN_SCORES = ("pac_score", "cider", "recall_at_1")
_DIGEST_DIGITS = 12

Name = Annotated[
    str,
    typer.Argument(help="name, name@3 or name@alias; optional if there is one model."),
]
Reason = Annotated[str, typer.Option(help="Why, for the record.")]
app.command()(add)
app.command()(push)


@app.command("list")
def list_models(name: Name = "", registry: Registry = DEFAULT_REGISTRY) -> None:
    """List models, or the versions of one; the champion has a star."""
    opened = _open(registry)
    names = [_known(opened, name)] if name else opened.names()
    if not names:
        print(f"{opened.uri}: no registered model")
        return
    shown = map(label_of, _SHOWN_SCORES)
    rows = [["model", "version", "", "registered", *shown, "dataset", "digest"]]
    for model in names:
        champion = opened.champion(model)
        for version in opened.versions(model):
            is_champion = champion is not None and version.number == champion.number
            rows.append([model, str(version.number), "*" if is_champion else "", *_facts(version)])
    print("\n".join(aligned(rows)))


@app.command()
def show(name: Name = "", registry: Registry = DEFAULT_REGISTRY) -> None:
    """Show one version: place, lineage and scores."""
    opened, chosen = _choose(registry, name)
    metadata = dict(chosen.metadata)
    metrics, intervals = metadata.pop("metrics", {}), metadata.pop("intervals", {})
    decision = metadata.pop("decision", {})
    champion = opened.champion(chosen.name)
    is_champion = champion is not None and champion.number == chosen.number
    facts = [
        ["model", chosen.name],
        ["version", f"{chosen.number}{' (champion)' if is_champion else ''}"],
        ["registered", chosen.created],
        ["folder", chosen.uri],
        ["digest", chosen.digest],
        *([key, str(value)] for key, value in sorted(metadata.items())),
        *(["gate", reason] for reason in decision.get("reasons", [])),
    ]
    if is_champion:
        facts.append(
            ["champion because", str(opened.last_change(chosen.name, "champion")["reason"])]
        )
    print("\n".join(aligned(facts)))
    scores = [[key, _number(value), _bounds(intervals.get(key))] for key, value in metrics.items()]
    if scores:
        print("", *aligned([["metric", "score", "95 % interval"], *scores]), sep="\n")


@app.command()
def promote(
    name: Annotated[str, typer.Argument(help="name@3 or name@alias; @3 if there is one model.")],
    reason: Reason = "promoted by hand",
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Promote even if the quality gate refused it.")
    ] = False,
    registry: Registry = DEFAULT_REGISTRY,
) -> None:
    """Make a version the champion."""
    from dico.errors import UsageError
    from dico.registry import CHAMPION

    if "@" not in name:
        raise UsageError(f"{name}: name the version too, as {'' if name.isdigit() else name}@3")
    opened, chosen = _choose(registry, name)
    decision = chosen.metadata.get("decision", {})
    if not decision.get("promote", True) and not anyway:
        reasons = "; ".join(decision.get("reasons", []))
        raise UsageError(
            f"{chosen.name} {chosen.number}: the quality gate refused it: {reasons}; "
            "--anyway makes it the champion all the same"
        )
    opened.set_alias(chosen.name, CHAMPION, chosen.number, reason)
    print(f"{chosen.name}: the champion is version {chosen.number}")


@app.command()
def rollback(
    name: Name = "", reason: Reason = "rolled back by hand", registry: Registry = DEFAULT_REGISTRY
) -> None:
    """Make the champion before this one the champion again."""
    from dico.errors import UsageError
    from dico.registry import CHAMPION

    opened = _open(registry)
    model = _known(opened, name)
    previous = int(opened.last_change(model, CHAMPION).get("previous", 0))
    if not previous:
        raise UsageError(f"{model}: no champion before this one; choose by `dico models promote`")
    opened.set_alias(model, CHAMPION, previous, reason)
    print(f"{model}: the champion is version {previous} again")


@app.command()
def verify(
    name: Name = "",
    everything: Annotated[bool, typer.Option("--all", help="Every version of the model.")] = False,
    key: Annotated[
        str, typer.Option(envvar="DICO_VERIFY_KEY", help="Trusted public keys, PEM file.")
    ] = "",
    registry: Registry = DEFAULT_REGISTRY,
) -> None:
    """Verify the digests and the signature of a version."""
    from dico.registry import cache_folder
    from dico.registry.signing import verify as verify_folder

    opened = _open(registry)
    chosen = opened.versions(_known(opened, name)) if everything else [_find(opened, name)]
    for one in chosen:
        folder = opened.fetch(one, cache_folder())
        signed = f", signed by key {verify_folder(folder, key)}" if key else ""
        print(f"{one.name} {one.number}: every byte as registered{signed}")
        _warn_unsigned(folder, key)


def _warn_unsigned(folder: Path, key: str) -> None:
    if not key and (folder / "signature.json").is_file():
        print("  signed; give --key to check by whom")


def _open(uri: str) -> "Opened":
    from dico.registry import open_registry

    return open_registry(uri)


def _known(registry: "Opened", name: str) -> str:
    from dico.errors import UsageError

    names = registry.names()
    if not names:
        raise UsageError(f"{registry.uri}: no registered model")
    if name and name not in names:
        raise UsageError(f"no model {name!r}; registered are {', '.join(names)}")
    if not name and len(names) > 1:
        raise UsageError(f"name one of the models {', '.join(names)}")
    return name or names[0]


def _choose(uri: str, name: str) -> "tuple[Opened, Version]":
    """A version, by default the champion, and its registry."""
    opened = _open(uri)
    return opened, _find(opened, name)


def _find(registry: "Opened", wanted: str) -> "Version":
    from dico.registry.find import find_version

    name, at, which = wanted.partition("@")
    return find_version(registry, f"{_known(registry, name)}{at}{which}")


def _facts(version: "Version") -> list[str]:
    metadata = version.metadata
    scores = [_number(metadata.get("metrics", {}).get(key)) for key in _SHOWN_SCORES]
    made = version.created.replace("T", " ").removesuffix("+00:00")
    fingerprint = str(metadata.get("fingerprint", ""))
    return [made, *scores, fingerprint[:_DIGEST_DIGITS], version.digest[:_DIGEST_DIGITS]]


def _number(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else "" if value is None else str(value)


def _bounds(bounds: Any) -> str:
    return f"[{bounds[0]:.4f}, {bounds[1]:.4f}]" if bounds else ""
