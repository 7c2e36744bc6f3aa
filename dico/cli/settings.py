"""``dico settings``: every setting of a run, and where its value comes from."""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from dico.cli.options import Overrides
from dico.process.text_table import aligned

if TYPE_CHECKING:
    from dico.presets.settings import Setting


class Form(StrEnum):
    """How settings are printed."""

    table = "table"
    toml = "toml"
    json = "json"
    markdown = "markdown"


def settings(
    preset: Annotated[str, typer.Argument(help="Preset, or a TOML file that extends one.")] = "toy",
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...",
            help="Only these, such as xe or finetune.beta, with their documentation.",
        ),
    ] = None,
    overrides: Overrides = "",
    changed: Annotated[
        bool, typer.Option("--changed", help="Only those that differ from their default.")
    ] = False,
    form: Annotated[
        Form, typer.Option("--format", help="toml can be edited and passed as preset=./mine.toml.")
    ] = Form.table,
) -> None:
    """List every setting of a preset: value, default, range, source and who reads it.

    For example: dico settings photos xe finetune.beta
    """
    from dico.presets.settings import list_settings

    found = _chosen(list_settings(preset, overrides), names or [])
    if changed:
        found = [setting for setting in found if setting.value != setting.default]
    if form is Form.json:
        print(json.dumps([dataclasses.asdict(setting) for setting in found], indent=1))
    elif form is Form.toml:
        print("\n".join(_toml(found, preset)))
    elif form is Form.markdown:
        print("\n".join(_markdown(found)))
    else:
        print("\n".join(_table(found, with_text=bool(names))))


def _chosen(known: "Sequence[Setting]", names: Sequence[str]) -> "list[Setting]":
    """The settings of these names or below them; all where none is named."""
    from dico.errors import UsageError

    if not names:
        return list(known)
    for name in names:
        if not any(_is_below(setting.name, name) for setting in known):
            sections = dict.fromkeys(setting.name.partition(".")[0] for setting in known)
            raise UsageError(f"no setting {name!r}; sections are {', '.join(sections)}")
    return [setting for setting in known if any(_is_below(setting.name, n) for n in names)]


def _is_below(setting: str, name: str) -> bool:
    return setting == name or setting.startswith(f"{name}.")


def _table(found: "Sequence[Setting]", with_text: bool) -> Iterator[str]:
    from dico.presets.own_file import write_value

    rows = [("setting", "value", "default", "takes", "source")]
    for one in found:
        default = "" if one.value == one.default else write_value(one.default)
        takes = f"{one.takes} ({one.unit})" if one.unit else one.takes
        rows.append((one.name, write_value(one.value), default, takes, one.source))
    section = ""
    for number, line in enumerate(aligned(rows)):
        own = rows[number][0].partition(".")[0]
        if number and own != section:
            section = own
            yield f"\n[{section}]  read by {', '.join(found[number - 1].read_by)}"
        yield line
        if number and with_text:
            yield f"    {found[number - 1].text}"


def _toml(found: "Sequence[Setting]", preset: str) -> Iterator[str]:
    """A file of these settings that extends the preset and changes nothing."""
    from dico.presets.own_file import write_value

    yield f"extends = {write_value(preset)}"
    sections: dict[str, list[Setting]] = {}
    for one in found:  # a table may be opened once, also where another lies among its settings
        sections.setdefault(one.name.rpartition(".")[0], []).append(one)
    for section, own in sections.items():
        yield f"\n[{section}]"
        for one in own:
            unset = "# " if one.value is None else ""
            name = one.name.rpartition(".")[2]
            yield f"{unset}{name} = {write_value(one.value)}  # {one.takes}; {one.text}"


def _markdown(found: "Sequence[Setting]") -> Iterator[str]:
    """A table for each section."""
    from dico.presets.own_file import write_value

    section = ""
    for one in found:
        own = one.name.partition(".")[0]
        if own != section:
            section = own
            yield f"\n## {section}\n\nRead by {', '.join(f'`{step}`' for step in one.read_by)}.\n"
            yield "| setting | value | takes | |\n|---|---|---|---|"
        cells = (f"`{one.name}`", f"`{write_value(one.value)}`", _takes(one), one.text)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _takes(one: "Setting") -> str:
    return f"{one.takes}, {one.unit}" if one.unit else one.takes
