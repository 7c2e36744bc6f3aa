"""An evaluation as one HTML file: scores, distributions, best and worst captions, differences.

Nothing to load: charts are inline SVG, images small JPEGs inside the file. Captions are text that
a model or a stranger wrote, so everything is escaped.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from dico.evaluation.evaluate import Evaluation
from dico.evaluation.systems import HUMAN
from dico.metrics.catalogue import label_of, metric_of, verdict_of
from dico.pages.rendering import render
from dico.pages.thumbnails import thumbnail
from dico.storage import atomic_write

_TEMPLATE = "evaluation_page.html"
_MAIN_KEYS = ("ref_pac_score", "pac_score", "ref_clip_score", "clip_score", "cider")
_CHART_KEYS = ("pac_score", "clip_score", "cider", "bleu_4", "rouge_l", "meteor", "num_words")
_NUM_SHOWN = 6
_NUM_BINS = 24
_THUMBNAIL_PX = 240
_WIDTH, _HEIGHT, _BASE = 300, 120, 104


@dataclass(frozen=True, slots=True)
class Row:
    """A metric of all systems."""

    label: str
    """The metric's name."""

    better: str
    """Which way is better, as an arrow; empty where neither is."""

    cells: Sequence[tuple[str, str]]
    """Score and interval of each system."""


@dataclass(frozen=True, slots=True)
class Chart:
    """How a metric is spread over the images."""

    label: str
    """The metric's name."""

    svg: Markup
    """A line for each system."""


@dataclass(frozen=True, slots=True)
class Card:
    """One image with what was said about it."""

    image_id: str
    """Its id."""

    image: str
    """A data URI, or nothing."""

    score: str
    """The score it was chosen for."""

    captions: Sequence[tuple[str, str, str]]
    """System, caption and score of each."""

    references: Sequence[str]
    """What people say."""


def write_page(
    evaluation: Evaluation, path: str | Path, images: Mapping[str, Path] | None = None
) -> None:
    """Writes the page.

    Args:
        evaluation: what to show.
        path: the HTML file.
        images: {image id: image file}; images without one are shown as text.
    """
    page = _Page(evaluation, images or {})
    html = render(
        "dico.report",
        _TEMPLATE,
        page=page,
        evaluation=evaluation,
        systems=list(evaluation.systems),
        confidence=f"{evaluation.settings['confidence']:.0%}",
        label=label_of,
    )
    with atomic_write(path) as temporary:
        temporary.write_text(html, encoding="utf-8")


class _Page:
    """What the template asks for."""

    def __init__(self, evaluation: Evaluation, images: Mapping[str, Path]) -> None:
        self._evaluation, self._images = evaluation, images
        self._num_images = evaluation.num_images
        self._systems = list(evaluation.systems)
        self._first = self._systems[0]
        keys = evaluation.systems[self._first]
        self.main_key = next((key for key in _MAIN_KEYS if key in keys), next(iter(keys)))
        self.main_label = label_of(self.main_key)

    def rows(self) -> list[Row]:
        """The table of scores."""
        keys = dict.fromkeys(key for own in self._evaluation.systems.values() for key in own)
        return [
            Row(label_of(key), _arrow(key), [self._cell(name, key) for name in self._systems])
            for key in keys
        ]

    def differences(self) -> list[tuple[str, list[tuple[str, str, str, str, str]]]]:
        """For each pair the metrics that differ beyond chance: label, change, interval, p, verdict."""
        result = []
        for pair, own in self._evaluation.differences.items():
            real = {key: d for key, d in own.items() if d["low"] > 0 or d["high"] < 0}
            rows = [
                (
                    label_of(key),
                    f"{d['difference']:+.4f}",
                    f"[{d['low']:+.4f}, {d['high']:+.4f}]",
                    f"{d['p_value']:.3f}",
                    verdict_of(key, d["low"], d["high"]).replace("even", ""),
                )
                for key, d in real.items()
            ]
            result.append((pair, rows))
        return result

    def charts(self) -> list[Chart]:
        """Distributions over the images."""
        columns = self._evaluation.per_image
        return [
            Chart(label_of(key), _spread([self._values(name, key) for name in self._systems]))
            for key in _CHART_KEYS
            if key in columns
        ]

    def best(self) -> list[Card]:
        """Images that the first system scores highest on."""
        order = np.argsort(-self._values(self._first, self.main_key), kind="stable")
        return [self._card(int(i)) for i in order[:_NUM_SHOWN]]

    def worst(self) -> list[Card]:
        """Images that the first system scores lowest on."""
        order = np.argsort(self._values(self._first, self.main_key), kind="stable")
        return [self._card(int(i)) for i in order[:_NUM_SHOWN]]

    def changed(self) -> list[tuple[str, list[Card]]]:
        """For each other system the images where the first is furthest above and below it."""
        result = []
        for other in self._systems[1:]:
            if other == HUMAN:
                continue
            gap = self._values(self._first, self.main_key) - self._values(other, self.main_key)
            order = np.argsort(gap, kind="stable")
            for title, chosen in (
                (f"{self._first} above {other}", [i for i in order[::-1] if gap[i] > 0]),
                (f"{self._first} below {other}", [i for i in order if gap[i] < 0]),
            ):
                result.append((title, [self._card(int(i), gap[i]) for i in chosen[:_NUM_SHOWN]]))
        return result

    def _cell(self, name: str, key: str) -> tuple[str, str]:
        value = self._evaluation.systems[name].get(key)
        if value is None:
            return "", ""
        bounds = self._evaluation.intervals.get(name, {}).get(key)
        shown = f"{bounds[0]:.3f} – {bounds[1]:.3f}" if bounds else ""
        return (f"{value:.4f}" if isinstance(value, float) else str(value)), shown

    def _values(self, name: str, key: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        start = self._systems.index(name) * self._num_images
        return np.array(self._evaluation.per_image[key][start : start + self._num_images], float)

    def _card(self, image: int, gap: float | None = None) -> Card:
        columns = self._evaluation.per_image
        image_id = str(columns["image_id"][image])
        rows = [(name, k * self._num_images + image) for k, name in enumerate(self._systems)]
        captions = [
            (name, columns["caption"][row], f"{columns[self.main_key][row]:.3f}")
            for name, row in rows
            if name != HUMAN
        ]
        score = columns[self.main_key][image]
        return Card(
            image_id,
            _thumbnail(self._images.get(image_id)),
            f"{score:.3f}" if gap is None else f"{gap:+.3f}",
            captions,
            columns["references"][image],
        )


def _arrow(key: str) -> str:
    return {True: "↑", False: "↓", None: ""}[metric_of(key).higher_is_better]


def _spread(values: Sequence[np.ndarray[Any, np.dtype[np.float64]]]) -> Markup:
    """Histograms as lines, one a system, on one scale."""
    low, high = min(v.min() for v in values), max(v.max() for v in values)
    edges = np.linspace(low, high if high > low else low + 1, _NUM_BINS + 1)
    shares = [np.histogram(v, edges)[0] / len(v) for v in values]
    top = max(share.max() for share in shares)
    step = _WIDTH / _NUM_BINS
    parts = []
    for number, share in enumerate(shares):
        heights = _BASE - share / top * (_BASE - 8)
        steps = [(k * step, h, (k + 1) * step) for k, h in enumerate(heights)]
        points = " ".join(f"{a:.1f},{h:.1f} {b:.1f},{h:.1f}" for a, h, b in steps)
        parts.append(Markup('<polyline class="s{}" points="{}"/>').format(number, points))
    return Markup(
        '<svg viewBox="0 0 {} {}" role="img"><line x1="0" x2="{}" y1="{}" y2="{}"/>{}'
        '<text x="0" y="{}">{:.3g}</text><text x="{}" y="{}" text-anchor="end">{:.3g}</text></svg>'
    ).format(
        _WIDTH, _HEIGHT, _WIDTH, _BASE, _BASE, Markup("").join(parts),
        _HEIGHT - 2, round(float(edges[0]), 3), _WIDTH, _HEIGHT - 2, float(edges[-1]),
    )  # fmt: skip


def _thumbnail(path: Path | None) -> str:
    if path is None:
        return ""
    from dico.images.load import load_image

    return thumbnail(load_image(str(path)), _THUMBNAIL_PX)
