"""Help of the verbs that take a pipeline, with the parameters of the one that is named."""

from pathlib import Path
from typing import Any

from typer.core import TyperCommand

_PIPELINE = ".yaml"


class PipelineCommand(TyperCommand):
    """A verb whose ``--help`` goes on with the parameters of the pipeline beside it.

    Such as ``dico run pipelines/dico.yaml --help``; kfp is not imported for it.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Keeps the words of the line: help is printed before any of them is a value."""
        ctx.meta[_PIPELINE] = next((word for word in args if word.endswith(_PIPELINE)), "")
        return super().parse_args(ctx, args)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Writes the parameters in their groups, each with type, meaning and default.

        Raises:
            UsageError: no such pipeline.
        """
        from importlib.metadata import entry_points

        pipeline = ctx.meta[_PIPELINE]
        if not pipeline:
            formatter.write_paragraph()
            example = f"{ctx.command_path} pipelines/dico.yaml --help"
            formatter.write_text(f"{example} lists the parameters of that pipeline.")
            return
        for found in entry_points(group="dico.commands", name="describe"):
            for group, rows in found.load()(Path(pipeline)).items():
                with formatter.section(group):
                    formatter.write_dl(rows)
