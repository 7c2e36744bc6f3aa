"""Compares what was read with what is kept: rows, images and captions, each difference named.

Every row, image and caption of a dataset is either in the manifest or counted under the finding
that keeps it out. `Fidelity.check` holds this to the last one.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dico.errors import DataError
from dico.validation.findings import KINDS


@dataclass(slots=True)
class Count:
    """One kind of thing."""

    read: int = 0
    """As many as the dataset has."""
    kept: int = 0
    """As many as the manifest has."""
    left_out: Counter[str] = field(default_factory=Counter)
    """The others, by the code of the finding that keeps them out."""

    def add(self, number: int, code: str) -> None:
        """Counts ``number`` of them: kept where ``code`` is empty."""
        self.read += number
        if not number:
            return
        if code:
            self.left_out[code] += number
        else:
            self.kept += number


@dataclass(slots=True)
class Fidelity:
    """The counts of a dataset."""

    rows: Count = field(default_factory=Count)
    """Rows of its files; several may speak of one image."""
    images: Count = field(default_factory=Count)
    """Images, and rows too broken to name one."""
    captions: Count = field(default_factory=Count)
    """Captions."""
    unread: Counter[str] = field(default_factory=Counter)
    """What of the files is no image, caption, id or split: columns and members."""

    def add(self, row: Mapping[str, Any], code: str) -> None:
        """Counts one row of the scan; ``code`` is the finding that sets its image aside."""
        self.rows.add(row["num_rows"], code)
        self.images.add(1, code)
        for lost in row["lost"]:
            self.captions.add(1, lost)
        self.captions.add(len(row["captions"]), code)

    def check(self, num_captions: int) -> None:
        """Compares the captions that were counted with those that readers gave.

        Raises:
            DataError: they differ, so that some were lost on the way.
        """
        if self.captions.read != num_captions:
            raise DataError(
                f"{num_captions} captions were read, and {self.captions.read} are accounted for; "
                "please report this dataset"
            )

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        counts = {"rows": self.rows, "images": self.images, "captions": self.captions}
        return {
            name: {"read": one.read, "kept": one.kept, "left_out": dict(one.left_out.most_common())}
            for name, one in counts.items()
        } | {"unread": dict(self.unread.most_common())}


def lines(fidelity: Mapping[str, Any]) -> list[str]:
    """The counts of `Fidelity.to_dict` as lines of text."""
    found = []
    for name in ("rows", "images", "captions"):
        one = fidelity[name]
        text = f"{name:<12} {one['read']} read, {one['kept']} kept"
        reasons = [
            f"{count} {code} ({KINDS[code].title})" for code, count in one["left_out"].items()
        ]
        found.append(f"{text}; left out: {'; '.join(reasons)}" if reasons else text)
    if fidelity["unread"]:
        names = (f"{name} ({count})" for name, count in fidelity["unread"].items())
        found.append(f"not read     {', '.join(names)}")
    return found
