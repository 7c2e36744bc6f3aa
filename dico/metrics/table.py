"""An evaluation as aligned text."""

from collections.abc import Mapping
from typing import Any

from dico.metrics.catalogue import verdict_of
from dico.process.text_table import aligned


def render_table(metrics: Mapping[str, Any]) -> str:
    """A row a metric, a column a system; intervals in brackets; differences that are real marked.

    Args:
        metrics: the content of metrics.json.
    """
    systems, names = metrics["systems"], list(metrics["systems"])
    keys = list(dict.fromkeys(key for own in systems.values() for key in own))
    rows = [["", *names]]
    for key in keys:
        cells = [_cell(metrics, name, key) for name in names]
        rows.append([key, *cells])
    lines = [f"warning: {warning}" for warning in metrics["warnings"]]
    lines += aligned(rows)
    lines += _differences(metrics)
    percent = f"{metrics['settings']['confidence']:.0%}"
    lines.append(f"{metrics['num_images']} images; [low, high]: {percent} bootstrap interval")
    return "\n".join([*lines, *metrics["notes"]])


def _cell(metrics: Mapping[str, Any], name: str, key: str) -> str:
    if key not in metrics["systems"][name]:
        return ""
    value = _number(metrics["systems"][name][key])
    bounds = metrics["intervals"].get(name, {}).get(key)
    return f"{value} [{_number(bounds[0])}, {_number(bounds[1])}]" if bounds else value


def _differences(metrics: Mapping[str, Any]) -> list[str]:
    lines = []
    for pair, own in metrics["differences"].items():
        if not own:
            continue
        rows = [[pair, "difference", "interval", "p", ""]]
        for key, d in own.items():
            verdict = verdict_of(key, d["low"], d["high"]).replace("even", "")
            bounds = f"[{_number(d['low'])}, {_number(d['high'])}]"
            p_value = f"{d['p_value']:.3f}"
            rows.append([key, f"{d['difference']:+.4f}", bounds, p_value, verdict])
        lines += ["", *aligned(rows)]
    return [*lines, ""]


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.4f}"
