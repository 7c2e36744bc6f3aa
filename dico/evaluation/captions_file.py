"""Captions on disk: one JSON line per image, written before anything is scored."""

import json
from collections.abc import Iterable
from itertools import repeat
from pathlib import Path

from dico.policy.captioning import Caption
from dico.storage import atomic_write


def write_captions(
    path: str,
    image_ids: Iterable[str],
    captions: Iterable[Caption],
    pretrained: Iterable[Caption] | None = None,
) -> None:
    """Writes lines of ``{"image_id", "caption", "logp"}``.

    With ``pretrained``, the captions of the published model that training started from, each line
    also has ``"pretrained"``.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        before = repeat(None) if pretrained is None else pretrained
        for image_id, caption, start in zip(image_ids, captions, before, strict=False):
            row = {"image_id": image_id, "caption": caption.text, "logp": round(caption.logp, 6)}
            row |= {"pretrained": start.text} if start is not None else {}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_captions(path: str, key: str = "caption") -> dict[str, str]:
    """Captions by image id, or those under ``key``; empty where no line has it."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return {row["image_id"]: row[key] for row in rows if key in row}
