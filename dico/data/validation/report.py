"""The validation report: one page that needs no other file and no network."""

from typing import Any

from dico.data.validation.comparisons import Comparisons
from dico.data.validation.config import ValidationConfig
from dico.data.validation.outcome import Outcome
from dico.data.validation.scan import Scan


def render(
    summary: dict[str, Any],
    scan: Scan,
    comparisons: Comparisons,
    outcome: Outcome,
    config: ValidationConfig,
) -> str:
    """The page as HTML."""
    import html

    lines = "".join(f"<li>{html.escape(r)}</li>" for r in summary["reasons"])
    return f"<!doctype html><title>Validation</title><h1>{summary['ok']}</h1><ul>{lines}</ul>"
