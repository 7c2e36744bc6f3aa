"""An audit as one HTML file: the verdict, what is told, what is paid for, and pairs with images."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from dico.audit.audit import Audit
from dico.audit.config import CHANCE
from dico.audit.measure import Rate
from dico.images.load import load_image
from dico.pages.rendering import render
from dico.pages.thumbnails import is_tiny, thumbnail
from dico.storage import atomic_write

_WIDTH, _HEIGHT = 220, 18
_IMAGE_PX = 288
_TITLES = {
    "false": "One thing made false",
    "harmless": "As true as before",
    "hack": "Hacks of a reward",
}


@dataclass(frozen=True, slots=True)
class Bar:
    """A rate between 0 and 1 with its interval, drawn."""

    name: str
    """What is measured."""

    rate: Rate
    """The number."""

    style: str
    """better, worse or even."""

    notes: tuple[str, ...] = ()
    """Further numbers."""

    def svg(self) -> Markup:
        """A dot on a line from 0 to 1, its interval, and a mark at chance."""
        low, value, high = (
            f"{_WIDTH * min(1, max(0, own)):.1f}"
            for own in (self.rate.low, self.rate.value, self.rate.high)
        )
        return Markup(
            '<svg class="rate {}" viewBox="0 0 {} {}" role="img" aria-label="{}">'
            '<line class="axis" x1="0" x2="{}" y1="9" y2="9"/>'
            '<line class="chance" x1="{}" x2="{}" y1="2" y2="16"/>'
            '<line class="span" x1="{}" x2="{}" y1="9" y2="9"/><circle cx="{}" cy="9" r="4"/></svg>'
        ).format(
            self.style, _WIDTH, _HEIGHT, str(self.rate), _WIDTH,
            _WIDTH * CHANCE, _WIDTH * CHANCE, low, high, value,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Example:
    """One pair with its image."""

    source: str
    """The image as a data URI, or nothing."""

    pixelated: bool
    """Whether it is so small that its pixels should stay sharp."""

    kind: str
    """Kind of edit."""

    captions: tuple[tuple[str, float], ...]
    """The human caption and the other one, with their scores."""

    style: str
    """better where the judge is right, else worse."""


def write_audit_page(audit: Audit, path: str | Path, images: Mapping[str, str]) -> None:
    """Writes the page.

    Args:
        audit: what to show.
        path: the HTML file.
        images: {image id: URI}; images without one are left out.
    """
    html = render(
        "dico.report",
        "audit.html",
        audit=audit,
        told=[_told(name, audit) for name in audit.kinds],
        paid=[Bar(name, rate, _paid(rate)) for name, rate in audit.hacks.items()],
        harmless=[Bar(name, rate, _even(rate)) for name, rate in audit.harmless.items()],
        agreement=[Bar(name, rate, "even") for name, rate in audit.agreement.items()],
        examples=_examples(audit, images),
        titles=_TITLES,
    )
    with atomic_write(path) as temporary:
        temporary.write_text(html, encoding="utf-8")


def _told(name: str, audit: Audit) -> Bar:
    kind = audit.kinds[name]
    notes = (f"with the image than without {kind.seen}", f"under other images {kind.blind}")
    return Bar(name, kind.accuracy, "better" if kind.told else "worse", notes)


def _paid(rate: Rate) -> str:
    return "worse" if rate.high < CHANCE else "better" if rate.low > CHANCE else "even"


def _even(rate: Rate) -> str:
    return "even" if rate.low <= CHANCE <= rate.high else "worse"


def _examples(audit: Audit, images: Mapping[str, str]) -> dict[str, list[Example]]:
    found: dict[str, list[Example]] = {}
    sources: dict[str, tuple[str, bool]] = {}
    for own in audit.examples:
        name = own["item"]
        if name not in sources:
            sources[name] = _shown(images[name]) if name in images else ("", False)
        scores = own["scores"]
        right = scores[0] > scores[1] or own["purpose"] == "harmless"
        captions = tuple(zip((own["caption"], own["edited"]), scores, strict=True))
        example = Example(*sources[name], own["kind"], captions, "better" if right else "worse")
        found.setdefault(own["purpose"], []).append(example)
    return found


def _shown(uri: str) -> tuple[str, bool]:
    image = load_image(uri)
    return thumbnail(image, _IMAGE_PX), is_tiny(image)
