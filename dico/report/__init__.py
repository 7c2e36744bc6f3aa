"""What a run shows: the table of metrics, and a self-contained page with curves and pictures."""

from dico.report.summary import MetricTable, headline, read_metrics, tabulate

__all__ = ["MetricTable", "headline", "read_metrics", "tabulate", "write_report"]


def __getattr__(name: str) -> object:
    """Loads the page's writer, with its template engine and pictures, only when it is used."""
    if name == "write_report":
        from dico.report.page import write_report

        return write_report
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
