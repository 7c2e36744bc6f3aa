"""The command line: ``dico <verb>``. A verb's module is imported only when the verb is used."""

import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.main import get_command

from dico import __version__
from dico.cli.pipeline_help import PipelineCommand
from dico.errors import UsageError
from dico.process.exits import INTERRUPTED, exit_codes
from dico.process.limits import apply_to_threads

# Verb: its module, and its line in the list of verbs. The module holds a function of the verb's
# name, or for a verb with verbs of its own a typer.Typer called ``app``.
VERBS = {
    "run": ("dico.cli.run", "Run a compiled pipeline on this machine, without a cluster."),
    "submit": ("dico.cli.cluster", "Submit a compiled pipeline to a Kubeflow cluster."),
    "schedule": ("dico.cli.cluster", "Run a compiled pipeline on a cluster on a schedule."),
    "runs": (
        "dico.cli.runs",
        "List local and cluster runs, or the steps of one run.",
    ),
    "compare": (
        "dico.cli.runs",
        "Compare runs: one column per method, over seeds, with intervals.",
    ),
    "logs": ("dico.cli.cluster", "Print the logs of a run's steps on a Kubeflow cluster."),
    "caption": ("dico.cli.caption", "Caption images with a registered model."),
    "settings": ("dico.cli.settings", "List every setting of a preset: value, default, range."),
    "validate": ("dico.cli.validate", "Validate a dataset; list every problem."),
    "data": ("dico.cli.data", "Convert, shard, split and count datasets."),
    "train": ("dico.cli.train", "Train one stage: evaluator, xe or dico."),
    "features": ("dico.cli.features", "Compute the image features that training reads."),
    "evaluate": ("dico.cli.evaluate", "Score captions against references."),
    "audit": ("dico.cli.audit", "Audit an evaluator: what it tells, and what it pays for."),
    "rate": ("dico.cli.people", "Serve a page where people compare captions, blind."),
    "agree": ("dico.cli.people", "Measure how far raters, metrics and evaluators agree."),
    "toy": ("dico.cli.toy", "Write the toy dataset: rendered shapes and captions."),
    "serve": ("dico.cli.serve", "Caption images over HTTP with a registered model."),
    "weights": ("dico.cli.weights", "Fetch, pack and list published weights; make evaluators."),
    "models": ("dico.cli.models", "Add, list, show, promote, roll back and verify models."),
    "rebuild": ("dico.cli.rebuild", "Train a registered version again, to the same weights."),
    "keys": ("dico.cli.keys", "Make keys, and sign or verify a registered version's folder."),
    "doctor": ("dico.cli.doctor", "Check what this machine has and lacks."),
}
TAKES_A_PIPELINE = ("run", "submit", "schedule")


COMPLETION_VARIABLE = "_DICO_COMPLETE"
"""Set by a shell that asks how a line may go on."""


def _print_what_a_terminal_lacks_as_escapes() -> None:
    """A name or a caption that standard output cannot encode ends no command."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs ``dico`` with ``arguments``, those of the process by default, and ends the process."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    _print_what_a_terminal_lacks_as_escapes()
    apply_to_threads()
    with exit_codes():
        try:
            code = get_command(build_app(given)).main(
                args=given, prog_name="dico", standalone_mode=False
            )
        except Exception as error:
            if not hasattr(error, "format_message"):
                raise
            if type(error).__name__ == "NoArgsIsHelpError":  # a verb of verbs, alone
                print(error.format_message())
                sys.exit(UsageError.exit_code)
            raise UsageError(_complaint(error)) from None
        if code == INTERRUPTED:
            raise KeyboardInterrupt  # the parser swallows the first one
    sys.exit(code if isinstance(code, int) else 0)


def build_app(arguments: Sequence[str]) -> typer.Typer:
    """The command line with the one verb that ``arguments`` ask for, and all others by name."""
    app = typer.Typer(
        pretty_exceptions_enable=False,
        # Help is plain text: rich would take "[captions]" in it for a style and leave it out.
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(_dico)
    words = [*arguments, *_completed_words()]
    wanted = next((word for word in words if not word.startswith("-")), "")
    for verb, (module_name, line) in VERBS.items():
        if verb != wanted:
            app.command(verb, help=line)(_not_wanted)
            continue
        module = importlib.import_module(module_name)
        if hasattr(module, "app"):
            app.add_typer(module.app, name=verb, help=line)
        else:
            kind = PipelineCommand if verb in TAKES_A_PIPELINE else None
            app.command(verb, cls=kind)(getattr(module, verb))
    return app


def _dico(
    ctx: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version and leave."),
) -> None:
    """Train image captioners by cross-entropy, then by Direct CLIP-based Optimization (DiCO)."""
    if version:
        print(f"dico {__version__}")
    elif ctx.invoked_subcommand is None:
        print(ctx.get_help())


def _completed_words() -> list[str]:
    """The words of the line that a shell asks to complete, the program's name left out."""
    line = os.environ.get("_TYPER_COMPLETE_ARGS") or os.environ.get("COMP_WORDS") or ""
    return line.split()[1:] if COMPLETION_VARIABLE in os.environ else []


def _not_wanted() -> None:
    """Stands for a verb in the list of verbs."""


def _complaint(error: Any) -> str:
    """What the parser says is wrong, and where to read more."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "dico"
    return f"{error.format_message().rstrip('.')}; see {path} --help"
