"""The validation report: one page that needs no other file and no network."""

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from dico.data.manifest import SPLITS
from dico.errors import DicoError
from dico.images.errors import ImageError
from dico.images.load import open_image, read_image, to_rgb
from dico.images.near_duplicates import Pair
from dico.pages.rendering import render as render_page
from dico.pages.thumbnails import thumbnail
from dico.validation.comparisons import Comparisons
from dico.validation.config import ValidationConfig
from dico.validation.findings import KINDS
from dico.validation.outcome import Outcome
from dico.validation.scan import Scan

PREVIEW_PX = 300
MAX_PAIRS = 12
MAX_SAMPLE = 12
MAX_UNREAD = 40
_SEVERITIES = ("fatal", "error", "excluded", "warning")


def render(
    summary: dict[str, Any],
    scan: Scan,
    comparisons: Comparisons,
    outcome: Outcome,
    config: ValidationConfig,
) -> str:
    """The page as HTML."""
    pairs = _chosen_pairs(comparisons.pairs, outcome)
    sample = _sample_rows(outcome) if config.image_check == "decode" else []
    rows = _rows(scan, {*sample, *(row for p in pairs for row in (p.first, p.second))}, outcome)
    numbers = summary["numbers"]
    return render_page(
        "dico.validation",
        "validation.html",
        name=summary["dataset"]["files"][0].rstrip("/").rpartition("/")[2],
        s=summary,
        num_aside=numbers["num_set_aside"],
        tiles=_tiles(summary),
        fidelity=_fidelity(summary["fidelity"]),
        unread=list(summary["fidelity"]["unread"].items())[:MAX_UNREAD],
        splits=_split_bars(summary),
        findings=_findings(summary, config),
        pairs=[_pair(pair, rows, outcome) for pair in pairs],
        num_pairs=len(comparisons.pairs),
        charts=_charts(outcome),
        words=[word for word, _ in outcome.words.most_common(40)],
        sample=[{**rows[row], "preview": preview(rows[row]["uri"])} for row in sample],
        judgements=_judgements(summary),
    )


@lru_cache(maxsize=512)
def preview(uri: str) -> str:
    """A small copy of an image as a data URI; empty when it cannot be shown."""
    try:
        image = open_image(read_image(uri), uri)
        image.draft("RGB", (2 * PREVIEW_PX, 2 * PREVIEW_PX))
        image.load()
        return thumbnail(to_rgb(image, uri), PREVIEW_PX)
    except (ImageError, DicoError, OSError, ValueError, SyntaxError, MemoryError):
        return ""


def _tiles(summary: dict[str, Any]) -> list[tuple[str, str]]:
    numbers = summary["numbers"]
    return [
        (f"{numbers['num_usable']:,}", "images to train on"),
        (f"{numbers['num_set_aside']:,}", f"set aside ({100 * numbers['share_set_aside']:.2g} %)"),
        (f"{numbers['num_captions']:,}", "captions"),
        (f"{numbers['captions_per_image']:.3g}", "captions per image"),
        (f"{numbers['words_per_caption']:.3g}", "words per caption"),
        (f"{len(summary['findings'])}", "kinds of findings"),
    ]


def _fidelity(counts: dict[str, Any]) -> list[dict[str, Any]]:
    """What was read and kept, and why the rest was left out, as rows of a table."""
    found = []
    for name in ("rows", "images", "captions"):
        one = counts[name]
        reasons = [(n, KINDS[code].title, code) for code, n in one["left_out"].items()]
        found.append({"name": name, **one, "left_out": reasons})
    return found


def _split_bars(summary: dict[str, Any]) -> list[tuple[str, int, float, str]]:
    counts = [(name, summary["split_counts"][name], name) for name in SPLITS]
    counts.append(("set aside", summary["numbers"]["num_set_aside"], "aside"))
    total = max(1, sum(count for _, count, _ in counts))
    return [(name, count, 100 * count / total, kind) for name, count, kind in counts if count]


def _findings(summary: dict[str, Any], config: ValidationConfig) -> list[dict[str, Any]]:
    """Findings for the page: errors first, the most frequent first, with previews."""
    found = []
    for code, finding in summary["findings"].items():
        show = config.image_check == "decode"
        examples = [
            {**one, "preview": preview(one["uri"]) if show and one["uri"] else ""}
            for one in finding["examples"]
        ]
        found.append({**finding, "code": code, "examples": examples})
    order = {severity: rank for rank, severity in enumerate(_SEVERITIES)}
    return sorted(found, key=lambda f: (order[f["severity"]], -f["num_images"]))


def _chosen_pairs(pairs: list[Pair], outcome: Outcome) -> list[Pair]:
    across = [p for p in pairs if outcome.splits[p.first] != outcome.splits[p.second]]
    within = [p for p in pairs if outcome.splits[p.first] == outcome.splits[p.second]]
    return (across + within)[:MAX_PAIRS]


def _sample_rows(outcome: Outcome) -> list[int]:
    kept = np.flatnonzero(~outcome.set_aside)
    if not len(kept):
        return []
    places = np.unique(np.linspace(0, len(kept) - 1, MAX_SAMPLE).astype(int))
    return [int(kept[place]) for place in places]


def _rows(scan: Scan, wanted: set[int], outcome: Outcome) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    start = 0
    for batch in scan.batches(["image_id", "uri", "captions"]) if wanted else []:
        for row in wanted:
            if start <= row < start + len(batch):
                split = outcome.splits[row]
                name = SPLITS[split] if split >= 0 else ""
                found[row] = {**batch[row - start], "split": name}
        start += len(batch)
    return found


def _pair(pair: Pair, rows: dict[int, dict[str, Any]], outcome: Outcome) -> dict[str, Any]:
    sides = [{**rows[r], "preview": preview(rows[r]["uri"])} for r in (pair.first, pair.second)]
    leak = outcome.splits[pair.first] != outcome.splits[pair.second]
    return {"sides": sides, "kind": pair.kind, "likeness": pair.likeness, "leak": leak}


def _charts(outcome: Outcome) -> list[dict[str, Any]]:
    kept = ~outcome.set_aside
    captions = outcome.num_captions[kept]
    words = outcome.num_words[kept] / np.maximum(1, captions)
    columns: list[tuple[str, npt.NDArray[Any]]] = [
        ("Words per caption", words),
        ("Captions per image", captions),
    ]
    sizes = outcome.sizes[kept].astype(np.float64)
    if sizes.any():
        columns.append(("Short side, px", sizes.min(1)))
        columns.append(("Width / height", sizes[:, 0] / np.maximum(1, sizes[:, 1])))
    return [_histogram(title, values) for title, values in columns if len(values)]


def _histogram(title: str, values: npt.NDArray[Any], num_bins: int = 26) -> dict[str, Any]:
    low, high = (float(v) for v in np.quantile(values, [0.005, 0.995]))
    whole = bool(np.all(values == np.round(values)))
    if (whole and high - low < num_bins) or high == low:
        edges = np.arange(low - 0.5, high + 1.5)
    else:
        edges = np.linspace(low, high, num_bins + 1)
    counts, _ = np.histogram(np.clip(values, low, high), edges)
    step = 260 / len(counts)
    width = min(step, 40.0)
    top = max(1, int(counts.max()))
    bars = [
        {
            "x": round(i * step + (step - width) / 2 + 0.5, 2),
            "y": round(94 - 90 * int(count) / top, 2),
            "width": round(max(0.5, width - 1), 2),
            "height": round(90 * int(count) / top, 2),
            "label": f"{edges[i]:.3g} to {edges[i + 1]:.3g}",
            "count": int(count),
        }
        for i, count in enumerate(counts)
    ]
    median = f"{float(np.median(values)):.3g}"
    return {
        "title": title,
        "bars": bars,
        "low": f"{low:.3g}",
        "high": f"{high:.3g}",
        "median": median,
    }


def _judgements(summary: dict[str, Any]) -> list[dict[str, Any]]:
    def settings(kwargs: dict[str, Any]) -> str:
        shown = {k: v for k, v in kwargs.items() if k != "column"}
        return ", ".join(
            f"{k} {v:.6g}" if isinstance(v, float) else f"{k} {v}" for k, v in shown.items()
        )

    rows = [{**one, "settings": settings(one["kwargs"])} for one in summary["judgements"]]
    return sorted(rows, key=lambda one: (one["met"], one["table"], one["name"] not in KINDS))
