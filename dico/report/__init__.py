"""A run's report: the table of metrics, and a self-contained page with curves and images."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dico.report.page import write_report
    from dico.report.summary import MetricTable, headline, read_metrics, tabulate

__all__ = ["MetricTable", "headline", "read_metrics", "tabulate", "write_report"]

_PLACES = dict.fromkeys(__all__, "dico.report.summary") | {"write_report": "dico.report.page"}


def __getattr__(name: str) -> object:
    """Loads what is used: a step's note needs neither numpy nor the page's template engine."""
    if name in _PLACES:
        return getattr(importlib.import_module(_PLACES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
