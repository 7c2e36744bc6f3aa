"""The page: self-contained, escaped, complete."""

import json
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from dico.data.manifest import Record, write_manifest
from dico.errors import DataError
from dico.evaluation.config import EvaluationConfig
from dico.evaluation.evaluate import evaluate
from dico.report import write_report
from dico.report.images import select_images

EVIL = '<script>alert("x")</script>'
NUM_IMAGES = 20


class Page(HTMLParser):
    """Collects tags, links and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for key, value in attributes if key in ("src", "href") and value]

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A made-up run: test image i is described better by dico the larger i is."""
    folder = tmp_path_factory.mktemp("run")
    records, references, xe, dico = [], {}, {}, {}
    for i in range(NUM_IMAGES):
        image_id = f"image{i:02d}"
        Image.new("RGB", (64, 48), (10 * i, 90, 120)).save(folder / f"{i}.png")
        captions = (f"a red circle number {i} {EVIL}", f"one red circle with number {i}")
        uri = str(folder / f"{i}.png")
        records.append(Record(image_id, uri, f"{i:064x}", 100, 64, 48, captions, "test"))
        references[image_id] = captions
        xe[image_id] = "a circle"
        dico[image_id] = f"a red circle number {i}"
    write_manifest(records, folder / "manifest.parquet")
    evaluation = evaluate(
        {"dico": dico, "xe": xe}, references, config=EvaluationConfig(meteor=False)
    )
    scores = [1 + i / 100 for i in range(NUM_IMAGES)] + [1.0] * NUM_IMAGES
    evaluation.per_image["pac_score"] = scores + [1.0] * (len(evaluation.per_image["caption"]) - 40)
    evaluation.save(folder / "evaluation")
    for stage, row in (("xe", {"loss": 2.0}), ("dico", {"loss": 0.7, "reward": 1.3})):
        (folder / stage).mkdir()
        rows = [{"step": step, "seconds": step, **row} for step in (1, 2, 3)]
        rows[1]["events"] = [f"step 3: {stage} loss nan; went back to step 2 {EVIL}"]
        lines = [json.dumps(row) for row in rows]
        (folder / stage / "history.jsonl").write_text("\n".join(lines))
        (folder / stage / "training.json").write_text('{"config": {"beta": 0.123}}')
    decision = {"promote": True, "reasons": ["no champion yet", EVIL]}
    (folder / "decision.json").write_text(json.dumps(decision))
    return folder


def write(run, output, audit=None):
    lineage = {"dataset": "/data/my_photos.jsonl", "fingerprint": "abc123", "seed": 7}
    write_report(
        output,
        run / "manifest.parquet",
        run / "no evaluator history",
        run / "xe",
        run / "dico",
        run / "evaluation",
        run / "decision.json",
        lineage,
        audit,
    )
    return output.read_text()


def test_page_needs_no_outside_host_and_no_script(run, tmp_path):
    text = write(run, tmp_path / "report.html")
    page = Page(text)
    assert "script" not in page.tags
    assert all(link.startswith(("#", "data:image/")) for link in page.links)
    assert not re.search(r"url\(|@import|https?://", text)


def test_captions_and_reasons_are_escaped(run, tmp_path):
    text = write(run, tmp_path / "report.html")
    assert EVIL not in text
    assert any(EVIL in words for words in Page(text).words)


def test_page_holds_what_a_reader_asks(run, tmp_path):
    text = " ".join(Page(write(run, tmp_path / "report.html")).words)
    for expected in (
        "Promoted to champion",
        "no champion yet",
        "abc123",
        "20 test",
        "CIDEr",
        "Reward",
        "a red circle number 19",
        '"beta": 0.123',
        "my_photos",
        "step 3: dico loss nan; went back to step 2",
    ):
        assert expected in text, expected


def test_extremes_are_those_that_gained_and_lost_most(run):
    selection = select_images(
        run / "evaluation", run / "manifest.parquet", "pac_score", num_sample=5, num_extremes=2
    )
    assert [p.image_id for p in selection.gained] == ["image19", "image18"]
    assert [p.image_id for p in selection.lost] == ["image00", "image01"]
    assert [p.image_id for p in selection.sample] == [f"image{i:02d}" for i in (0, 4, 8, 12, 16)]
    assert selection.gained[0].gain == pytest.approx(0.19)
    assert selection.gained[0].source.startswith("data:image/png;base64,")


def test_broken_decision_is_named(run, tmp_path):
    (run / "decision.json").rename(run / "kept.json")
    (run / "decision.json").write_text("{}")
    try:
        with pytest.raises(DataError, match=r"decision\.json: not a decision"):
            write(run, tmp_path / "report.html")
    finally:
        (run / "kept.json").rename(run / "decision.json")
    assert not (tmp_path / "report.html").exists()


def test_an_audit_is_told_with_what_was_overridden(run, tmp_path):
    rate = {"value": 0.9, "low": 0.8, "high": 1.0, "num": 9}
    kind = {"accuracy": rate, "seen": rate, "blind": rate}
    audit = {
        "format": 1,
        "verdict": {"word": "unfit", "reasons": [f"it sees nothing {EVIL}"]},
        "kinds": {"colour": {**kind, "told": True}, "shape": {**kind, "told": False}},
        "num_images": 9,
    }
    (tmp_path / "audit.json").write_text(json.dumps(audit))
    text = write(run, tmp_path / "report.html", tmp_path)
    words = "".join(Page(text).words)
    assert "The evaluator is unfit" in words
    assert "audit.allow_unfit" in words
    assert "Told are: colour." in words
    assert EVIL not in text
    assert "The evaluator is" not in write(run, tmp_path / "report.html")
    (tmp_path / "audit.json").write_text('{"format": 2}')
    with pytest.raises(DataError, match="not an audit"):
        write(run, tmp_path / "report.html", tmp_path)
