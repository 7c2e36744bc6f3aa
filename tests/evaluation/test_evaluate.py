import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dico.data.formats import Columns
from dico.errors import DataError, DicoError, UsageError
from dico.evaluation.config import EvaluationConfig
from dico.evaluation.evaluate import Evaluation, evaluate
from dico.evaluation.files import read_captions, read_references, read_truth
from dico.evaluation.images import find_images
from dico.images.load import read_image
from dico.metrics import bleu, cider
from dico.metrics.catalogue import label_of
from dico.report.evaluation_page import write_page

SUBJECTS = ["a dog", "two cats", "the red bus", "a man in a hat", "some birds", "an old boat"]
ENDS = ["runs on the beach", "near a tall tree", "in the rain", "under a bridge", "at night"]
PHOTO = b"\xff\xd8 an image"
QUICK = EvaluationConfig(meteor=False, num_resamples=300)


def make_images(num_images):
    pairs = [(SUBJECTS[k % 6], ENDS[(k * 7) % 5], str(k)) for k in range(num_images)]
    return {k: [f"{s} number {k} {e} .", f"{s} {e}", f"there is {s} {e}"] for s, e, k in pairs}


REFERENCES = make_images(30)
GOOD = {k: texts[1] for k, texts in REFERENCES.items()}
BAD = dict.fromkeys(REFERENCES, "a dog near a")


class Embedder:
    """Puts texts on axes by their first words; a stand-in that any embedder can take the place of."""

    def embed_texts(self, captions):
        rows = np.zeros((len(captions), 7))
        for row, caption in zip(rows, captions, strict=True):
            text = caption.removeprefix("A photo depicts ").removeprefix("there is ")
            row[next((k for k, s in enumerate(SUBJECTS) if text.startswith(s)), 6)] = 1
        return rows


def test_scores_are_those_of_the_metrics():
    evaluation = evaluate({"good": GOOD, "bad": BAD}, REFERENCES, config=QUICK)
    scores = evaluation.systems["bad"]
    assert scores["bleu_4"] == bleu(BAD, REFERENCES).total[3]
    assert scores["cider"] == scores["cider_d"] == cider(BAD, REFERENCES).total
    assert scores["bad_endings"] == 1.0
    assert scores["num_words"] == 4
    assert evaluation.systems["good"]["bleu_4"] == pytest.approx(1)
    assert evaluation.num_images == 30


def test_intervals_hold_the_score_and_differences_are_paired():
    evaluation = evaluate({"good": GOOD, "bad": BAD}, REFERENCES, config=QUICK)
    for name, own in evaluation.intervals.items():
        for key, (low, high) in own.items():
            assert low - 1e-9 <= evaluation.systems[name][key] <= high + 1e-9, (name, key)
    difference = evaluation.differences["good - bad"]["cider"]
    assert difference["difference"] == pytest.approx(
        evaluation.systems["good"]["cider"] - evaluation.systems["bad"]["cider"]
    )
    assert 0 < difference["low"] < difference["high"]
    assert difference["p_value"] < 0.05


def test_a_system_against_itself_differs_in_nothing():
    evaluation = evaluate({"one": GOOD, "two": dict(GOOD)}, REFERENCES, config=QUICK)
    for own in evaluation.differences["one - two"].values():
        assert (own["difference"], own["low"], own["high"], own["p_value"]) == (0, 0, 0, 1)


def test_collapse_is_called_out_first():
    evaluation = evaluate({"bad": BAD}, REFERENCES, config=QUICK)
    assert '100% of the images get one caption, "a dog near a"' in evaluation.warnings[0]
    assert "end on a determiner" in evaluation.warnings[1]
    assert evaluation.table().startswith("warning: bad: 100%")
    repeated = {k: f"{texts[1]} a a a a a a a a a" for k, texts in REFERENCES.items()}
    warnings = evaluate({"x": repeated}, REFERENCES, config=QUICK).warnings
    assert any("repeat half of their words" in warning for warning in warnings)
    assert evaluate({"good": GOOD}, REFERENCES, config=QUICK).warnings == []


def test_people_are_scored_on_their_other_captions():
    evaluation = evaluate({"good": GOOD}, REFERENCES, config=QUICK)
    first = {k: texts[0] for k, texts in REFERENCES.items()}
    others = {k: texts[1:] for k, texts in REFERENCES.items()}
    assert evaluation.systems["human"]["cider"] == cider(first, others).total


def test_embedding_metrics():
    images = {k: np.eye(7)[int(k) % 6] * 0.6 + np.eye(7)[6] * 0.8 for k in REFERENCES}
    evaluation = evaluate(
        {"good": GOOD, "bad": BAD},
        REFERENCES,
        {"clip": images, "pac": images},
        {"clip": Embedder(), "pac": Embedder()},
        QUICK,
    )
    good, bad = evaluation.systems["good"], evaluation.systems["bad"]
    assert good["clip_score"] == pytest.approx(2.5 * 0.6)
    assert good["pac_score"] == pytest.approx(2.0 * 0.6)
    assert good["ref_pac_score"] == pytest.approx(2 * 1.2 * 1 / (1.2 + 1))
    assert bad["clip_score"] == pytest.approx(2.5 * 0.6 / 6)
    # five images share each subject: all tie with the right one, which counts as last of them
    assert (good["recall_at_1"], good["recall_at_5"], good["mrr"]) == (0, 1, pytest.approx(1 / 5))
    assert evaluation.settings["w"] == {"clip": 2.5, "pac": 2.0}


def test_saved_and_loaded(tmp_path):
    evaluation = evaluate(
        {"good": GOOD, "bad": BAD}, REFERENCES, config=QUICK, training_captions=["A dog, near a"]
    )
    evaluation.save(tmp_path)
    assert Evaluation.load(tmp_path) == evaluation
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert written["cider"] == written["systems"]["good"]["cider"]
    assert written["systems"]["bad"]["novelty"] == 0
    assert "spice" not in written
    rows = evaluation.per_image
    assert rows["system"] == ["good"] * 30 + ["bad"] * 30 + ["human"] * 30
    assert rows["references"][30] == REFERENCES["0"]
    (tmp_path / "metrics.json").write_text("[]")
    with pytest.raises(DataError, match="not a saved evaluation"):
        Evaluation.load(tmp_path)


def test_one_image_and_empty_captions():
    evaluation = evaluate({"x": {"q": ""}}, {"q": ["a dog"]}, config=QUICK)
    assert evaluation.systems["x"]["cider"] == 0
    assert list(evaluation.systems) == ["x"]
    assert evaluation.warnings == ["x: 1 of 1 captions are empty."]


def test_missing_and_extra_captions_are_named():
    with pytest.raises(DataError, match=r"x: no caption for 3, 4 \(2 of 30 images\)"):
        evaluate({"x": {k: v for k, v in GOOD.items() if k not in "34"}}, REFERENCES, config=QUICK)
    with pytest.raises(DataError, match="x: captions without references zebra"):
        evaluate({"x": GOOD | {"zebra": "a"}}, REFERENCES, config=QUICK)
    partial = EvaluationConfig(meteor=False, partial=True, num_resamples=0)
    evaluation = evaluate({"x": {"0": "a dog", "zebra": "a"}}, REFERENCES, config=partial)
    assert evaluation.num_images == 1
    assert evaluation.notes[-1] == "scored 1 of 30 images"
    with pytest.raises(DataError, match="no image id in common"):
        evaluate({"x": {"zebra": "a"}}, REFERENCES, config=partial)


@pytest.mark.parametrize(
    "text",
    [
        '[{"image_id": 7, "caption": "a"}, {"image_id": 8, "caption": "b"}]',
        '{"7": "a", "8": "b"}',
        '{"7": ["a"], "8": [{"caption": "b"}]}',
        '{"image_id": 7, "caption": "a"}\n\n{"image_id": "8", "caption": "b", "logp": -1.5}\n',
        '\ufeff{"7": "a", "8": "b"}',
    ],
)
def test_captions_in_every_form(tmp_path, text):
    path = tmp_path / "captions"
    path.write_text(text)
    assert read_captions(path) == {"7": "a", "8": "b"}


COCO = {
    "images": [{"id": 7, "file_name": "x.jpg"}, {"id": 8, "file_name": "y.jpg"}],
    "annotations": [
        {"image_id": 7, "caption": "a"},
        {"image_id": 8, "caption": "b"},
        {"image_id": 7, "caption": "c"},
    ],
}
KARPATHY = {
    "images": [
        {"imgid": 1, "cocoid": 7, "filename": "x", "split": "test", "sentences": [{"raw": "a"}]},
        {"imgid": 2, "cocoid": 8, "filename": "y", "split": "train", "sentences": [{"raw": "b"}]},
    ]
}


def test_references_in_every_form(tmp_path):
    path = tmp_path / "references"
    path.write_text(json.dumps(COCO))
    assert read_references(path) == {"7": ["a", "c"], "8": ["b"]}
    assert read_references(path, ["x.jpg"]) == {"x.jpg": ["a", "c"], "y.jpg": ["b"]}
    path.write_text(json.dumps(KARPATHY))
    assert read_references(path, ["7"]) == {"7": ["a"]}
    assert read_references(path, ["1"]) == {"1": ["a"]}
    assert read_references(path, ["y"], split="train") == {"y": ["b"]}
    path.write_text('{"7": ["a", {"caption": "c"}]}')
    assert read_references(path) == {"7": ["a", "c"]}
    path.write_text('{"image_id": 7, "captions": ["a"]}\n{"image_id": 8, "captions": ["b"]}')
    assert read_references(path) == {"7": ["a"], "8": ["b"]}


@pytest.mark.parametrize(
    "said",
    ["000000000007", "val2014/COCO_val2014_000000000007.jpg", "COCO_val2014_000000000007",
     "/data/val2014/COCO_val2014_000000000007.jpg", "C:\\val2014\\COCO_val2014_000000000007.jpg"],
)  # fmt: skip
@pytest.mark.parametrize("has_name", [True, False])
def test_captions_may_call_an_image_by_its_path_or_its_padded_number(tmp_path, said, has_name):
    name = {"file_name": "val2014/COCO_val2014_000000000007.jpg"} if has_name else {}
    images = [{"id": 7, **name}, {"id": 8, "file_name": "y.jpg"}]
    references = tmp_path / "references.json"
    references.write_text(json.dumps({**COCO, "images": images}))
    assert read_references(references, [said])[said] == ["a", "c"]


def test_a_name_in_another_folder_is_another_image(tmp_path):
    path = tmp_path / "references.json"
    path.write_text(json.dumps({"val/1.jpg": ["a"], "val/2.jpg": ["b"]}))
    assert read_references(path, ["train/1.jpg"]) == {"val/1.jpg": ["a"], "val/2.jpg": ["b"]}
    assert read_references(path, ["1.jpg"])["1.jpg"] == ["a"]


@pytest.mark.parametrize(
    ("people", "machine"),
    [("caption", "prediction"), ("reference", "prediction"), ("gts", "generated_caption"),
     ("references", "caption"), ("ground_truth", "pred")],
)  # fmt: skip
def test_a_table_of_predictions_beside_references_gives_each_its_own(tmp_path, people, machine):
    path = tmp_path / "both.jsonl"
    rows = [{"image_id": n, people: f"person {n}", machine: f"machine {n}"} for n in (7, 8)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read_captions(path) == {"7": "machine 7", "8": "machine 8"}
    assert read_references(path) == {"7": ["person 7"], "8": ["person 8"]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"7": "a", "7": "b"}', "more than once: 7"),
        (
            b'[{"image_id": 7, "caption": "a"}, {"image_id": 7, "caption": "b"}]',
            "more than once: 7",
        ),
        (b'{"7": 5, "8": "b"}', "captions that are not text: 7"),
        (b'[{"image_id": 7}]', 'no "caption" for 7'),
        (b'[{"caption": "a"}]', 'no "image_id" in'),
        (b"\x89PNG\r\n\x1a\n\x00", "neither a JSON object nor a list"),
        (b'{"image_id": 7, "caption": "a"}\n{"image', "captions.json:2: "),
        (b"", "empty"),
        (b"5", "neither a JSON object nor a list"),
        (json.dumps(COCO).encode(), "looks like references"),
        (b"[]", "holds no caption"),
    ],
)
def test_bad_caption_files(tmp_path, content, message):
    path = tmp_path / "captions.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_captions(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"7": 5}', "captions that are not text: 7"),
        ('{"7": ["a", 5]}', "captions that are not text: 7"),
        ('{"images": [{"x": 1}]}', "looks like karpathy or coco"),
        ('{"images": [{"id": 7}], "annotations": [{"caption": "a"}]}', "without image_id"),
    ],
)
def test_bad_reference_files(tmp_path, content, message):
    path = tmp_path / "references.json"
    path.write_text(content)
    with pytest.raises(DicoError, match=message):
        read_references(path)


def test_unknown_split(tmp_path):
    path = tmp_path / "references.json"
    path.write_text(json.dumps(KARPATHY))
    with pytest.raises(DataError, match="no image of split 'val', only test, train"):
        read_references(path, split="val")


def test_a_split_of_a_file_without_splits_is_refused(tmp_path):
    path = tmp_path / "references.json"
    path.write_text('{"7": ["a dog"]}')
    with pytest.raises(UsageError, match="has no splits"):
        read_references(path, split="test")


def test_marked_references_are_left_out(tmp_path):
    marked = {"image_id": 8, "caption": "b", "is_rejected": True}
    path = tmp_path / "references.json"
    path.write_text(json.dumps(COCO | {"annotations": [*COCO["annotations"][::2], marked]}))
    truth = read_truth(path)
    assert (truth.captions, truth.excluded) == ({"7": ["a", "c"]}, ["8"])
    assert truth.left_out == {"caption_rejected": 1}


def test_labels_are_those_of_papers():
    keys = ["bleu_4", "rep_2_share", "recall_at_5", "ref_pac_score", "distinct_1", "bad_endings"]
    labels = ["BLEU-4", "Rep-2, share", "R@5", "RefPAC-S", "Distinct-1", "Bad endings"]
    assert [label_of(key) for key in keys] == labels


def test_page_escapes_what_captions_say(tmp_path):
    systems = {"<b>x": {"0": "<script>alert(1)</script>", "1": "a dog"}}
    evaluation = evaluate(systems, {k: REFERENCES[k] for k in "01"}, config=QUICK)
    write_page(evaluation, tmp_path / "index.html")
    html = (tmp_path / "index.html").read_text()
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert "http" not in html.replace("http-equiv", "")


def test_command(tmp_path, capsys):
    from dico.cli.evaluate import evaluate as command

    (tmp_path / "dico.json").write_text(json.dumps(GOOD))
    (tmp_path / "xe.jsonl").write_text(
        "\n".join(json.dumps({"image_id": k, "caption": c}) for k, c in BAD.items())
    )
    (tmp_path / "references.json").write_text(json.dumps(REFERENCES))
    command(
        captions=tmp_path / "dico.json",
        references=tmp_path / "references.json",
        compare=[tmp_path / "xe.jsonl"],
        output=tmp_path / "out",
        meteor=False,
        num_resamples=50,
    )
    written = json.loads((tmp_path / "out/metrics.json").read_text())
    assert written["bleu_4"] == written["systems"]["dico"]["bleu_4"]
    assert written["differences"]["dico - xe"]["cider"]["low"] > 0
    assert (tmp_path / "out/index.html").is_file()
    assert read_captions(tmp_path / "out/captions/xe.jsonl") == BAD
    assert "warning: xe: 100% of the images" in capsys.readouterr().out


def test_columns_that_the_user_names(tmp_path, capsys):
    from dico.cli.evaluate import evaluate as command

    (tmp_path / "dico.csv").write_text("img_no,said\n1,a dog runs\n2,a cat sleeps\n")
    rows = [
        {"img_no": n, "people": texts} for n, texts in ((1, ["a dog"] * 2), (2, ["a cat", "x y"]))
    ]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = {"meteor": False, "num_resamples": 0, "references": tmp_path / "r.jsonl"}
    with pytest.raises(DataError, match="--image-column"):
        command(captions=tmp_path / "dico.csv", **options)
    named = {"image_column": "img_no", "caption_column": "said,people"}
    command(captions=tmp_path / "dico.csv", **options, **named)
    said = capsys.readouterr().out
    assert "2 images" in said
    assert "1 of 2 images have the same reference twice" in said
    references = read_references(tmp_path / "r.jsonl", columns=Columns("img_no", ("people",)))
    assert references == {"1": ["a dog", "a dog"], "2": ["a cat", "x y"]}


def test_images_within_the_references_are_found(tmp_path):
    rows = [{"image": {"bytes": PHOTO, "path": "a.jpg"}, "image_id": 7, "caption": ["a dog"]}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "r.parquet")
    found = find_images(tmp_path, ["7"], tmp_path / "r.parquet")
    assert read_image(str(found["7"])) == PHOTO
