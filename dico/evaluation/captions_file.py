"""Captions on disk: one JSON line per picture, written before anything is scored."""

import json
from collections.abc import Iterable
from pathlib import Path

from dico.policy.captioning import Caption
from dico.storage import atomic_write


def write_captions(path: str, image_ids: Iterable[str], captions: Iterable[Caption]) -> None:
    """Writes lines of ``{"image_id", "caption", "logp"}``."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for image_id, caption in zip(image_ids, captions, strict=True):
            row = {"image_id": image_id, "caption": caption.text, "logp": round(caption.logp, 6)}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_captions(path: str) -> dict[str, str]:
    """Captions by image id; empty for an empty file."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return {row["image_id"]: row["caption"] for row in rows}
