"""Line charts as inline SVG: nothing to load, readable in light and dark, and as text."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup, escape

WIDTH, HEIGHT = 340, 190
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 12, 26
MAX_POINTS = 400


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a chart."""

    label: str
    """What the line is."""

    points: Sequence[tuple[float, float]]
    """Step and value."""

    style: str = "train"
    """Class of the line: train, validation, or another that the page knows."""


@dataclass(frozen=True, slots=True)
class Chart:
    """One small chart."""

    title: str
    """What is shown."""

    explanation: str
    """How to read it, in one sentence."""

    series: Sequence[Series] = field(default_factory=list)
    """Its lines."""

    def last(self) -> str:
        """The last value of the first line, as text."""
        points = _finite(self.series[0].points) if self.series else []
        return _number(points[-1][1]) if points else "–"

    def svg(self) -> Markup:
        """The chart as an SVG element."""
        drawn = [(line, _finite(line.points)) for line in self.series]
        drawn = [(line, points) for line, points in drawn if points]
        if not drawn:
            return Markup('<p class="empty">not recorded</p>')
        xs = [x for _, points in drawn for x, _ in points]
        ys = [y for _, points in drawn for _, y in points]
        scale = _Scale(min(xs), max(xs), *_range(ys))
        parts = [_grid(scale), _step_labels(scale)]
        parts += [_line(line, points, scale) for line, points in drawn]
        first, last = drawn[0][1][0], drawn[0][1][-1]
        said = f"{self.title}: from {_number(first[1])} to {_number(last[1])}"
        return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
            WIDTH, HEIGHT, said, Markup("").join(parts)
        )


@dataclass(frozen=True, slots=True)
class _Scale:
    x_low: float
    x_high: float
    y_low: float
    y_high: float

    def x(self, value: float) -> float:
        span = (self.x_high - self.x_low) or 1
        return LEFT + (value - self.x_low) / span * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        span = (self.y_high - self.y_low) or 1
        return HEIGHT - BOTTOM - (value - self.y_low) / span * (HEIGHT - TOP - BOTTOM)


def smooth(points: Sequence[tuple[float, float]], window: int) -> list[tuple[float, float]]:
    """Each value as the mean of up to ``window`` values around it."""
    half = window // 2
    values = [y for _, y in points]
    smoothed = []
    for i, (x, _) in enumerate(points):
        around = values[max(0, i - half) : i + half + 1]
        smoothed.append((x, sum(around) / len(around)))
    return smoothed


def ticks(low: float, high: float, num: int = 4) -> list[float]:
    """About ``num`` round numbers from ``low`` to ``high``."""
    if high <= low:
        return [low]
    rough = (high - low) / num
    power = 10 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _grid(scale: _Scale) -> Markup:
    parts = []
    for value in ticks(scale.y_low, scale.y_high):
        y = f"{scale.y(value):.1f}"
        parts.append(
            Markup('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
                LEFT, WIDTH - RIGHT, y, y
            )
        )
        parts.append(
            Markup('<text class="tick" x="{}" y="{}" dy="3.5" text-anchor="end">{}</text>').format(
                LEFT - 7, y, _number(value)
            )
        )
    return Markup("").join(parts)


def _step_labels(scale: _Scale) -> Markup:
    label = Markup('<text class="tick" x="{:.1f}" y="{}" text-anchor="{}">{}</text>')
    low, high = scale.x_low, scale.x_high
    ends = [(low, "start", f"step {_number(low)}")]
    if high > low:
        ends.append((high, "end", _number(high)))
    return Markup("").join(
        label.format(scale.x(x), HEIGHT - 7, anchor, text) for x, anchor, text in ends
    )


def _line(line: Series, points: list[tuple[float, float]], scale: _Scale) -> Markup:
    noisy = line.style != "validation" and len(points) > 40
    parts = [_path(points, f"{line.style} raw", scale)] if noisy else []
    shown = smooth(points, max(3, len(points) // 25)) if noisy else points
    parts.append(_path(shown, line.style, scale))
    x, y = shown[-1]
    marks = shown if line.style == "validation" and len(shown) <= 40 else [(x, y)]
    for x, y in marks:
        parts.append(
            Markup(
                '<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="2.6">'
                "<title>{} at step {}: {}</title></circle>"
            ).format(line.style, scale.x(x), scale.y(y), line.label, _number(x), _number(y))
        )
    return Markup("").join(parts)


def _path(points: Sequence[tuple[float, float]], style: str, scale: _Scale) -> Markup:
    stride = max(1, len(points) // MAX_POINTS)
    kept = [*points[::stride], points[-1]]
    steps = " ".join(f"{scale.x(x):.1f},{scale.y(y):.1f}" for x, y in kept)
    return Markup('<polyline class="{}" points="{}"/>').format(style, escape(steps))


def _finite(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]


def _range(values: Sequence[float]) -> tuple[float, float]:
    """Least and greatest value with some air; zero is kept where values nearly touch it."""
    low, high = min(values), max(values)
    air = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    padded = low - air
    return (0.0 if low >= 0 > padded or 0 <= low < 0.25 * (high - low) else padded), high + air


def _number(value: float) -> str:
    if value == int(value) and abs(value) < 1e6:
        return f"{int(value):,}"
    return f"{value:.3g}"
