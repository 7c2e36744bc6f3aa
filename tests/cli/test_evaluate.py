"""``dico evaluate`` from files to a page, with an evaluator that is small but real."""

import json
import shutil
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dico.cli import main
from dico.evaluation.evaluate import read_per_image
from dico.metrics.meteor import meteor_missing

WORDS = ["red dog", "blue bus", "small cat", "old man", "green boat", "tall horse"]
IDS = [f"{k:012d}" for k in range(1, 13)]
REFERENCES = {
    i: [f"a {w} number {i} on the beach", f"the {w} runs", f"there is a {w}"]
    for i, w in zip(IDS, cycle(WORDS), strict=False)
}
GOOD = {i: texts[2] for i, texts in REFERENCES.items()}
STUCK = dict.fromkeys(IDS, "a dog with a")
SYNONYMS = "person, man\ndog, puppy\nbus\ncat\nboat\nhorse\n"
FLAT = [
    *(f"bleu_{n}" for n in range(1, 5)),
    *("rouge_l", "cider", "cider_d", "clip_score", "ref_clip_score", "pac_score", "ref_pac_score"),
    *("recall_at_1", "recall_at_5", "recall_at_10", "mrr", "rep_1", "rep_2", "rep_2_share"),
    *("distinct_1", "vocabulary_size", "bad_endings", "num_words", "novelty", "chair_s", "chair_i"),
    *("chair_recall", "self_bleu", "div_1", "div_2"),
]


@pytest.fixture
def evaluator(tmp_path):
    """An evaluator's folder, small and random."""
    from tests.serving.tiny import make_version

    return str(make_version(tmp_path / "version") / "evaluator")


@pytest.fixture
def folder(tmp_path):
    """Files of two systems, references, images and whatever else can be given."""
    (tmp_path / "images").mkdir()
    for number, image_id in enumerate(IDS):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"COCO_val2014_{image_id}.jpg")
    (tmp_path / "dico.json").write_text(
        json.dumps([{"image_id": i, "caption": c} for i, c in GOOD.items()])
    )
    (tmp_path / "xe.json").write_text(json.dumps(STUCK))
    (tmp_path / "references.json").write_text(json.dumps(REFERENCES))
    (tmp_path / "training.json").write_text(json.dumps({"x": ["There is a red dog."]}))
    (tmp_path / "objects.json").write_text(json.dumps({i: ["dog"] for i in IDS}))
    (tmp_path / "synonyms.txt").write_text(SYNONYMS)
    (tmp_path / "candidates.json").write_text(json.dumps(REFERENCES))
    return tmp_path


def run(folder, *arguments):
    """The exit code of ``dico evaluate`` in ``folder``."""
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", *(str(folder / a) if "." in a else a for a in arguments)])
    return ended.value.code


def test_everything_at_once(folder, evaluator, capsys):
    code = run(
        folder,
        *("dico.json", "--references", "references.json", "--compare", "xe.json"),
        *("--images", f"{folder}/images", "--evaluator", evaluator),
        *("--training", "training.json", "--objects", "objects.json", "--synonyms", "synonyms.txt"),
        *("--candidates", "candidates.json", "--num-resamples", "50", "--output", f"{folder}/out"),
    )
    assert code == 0
    written = json.loads((folder / "out/metrics.json").read_text())
    flat = [*FLAT, *([] if meteor_missing() else ["meteor"])]
    assert [key for key in flat if not isinstance(written.get(key), float | int)] == []
    assert "spice" not in written
    assert written["chair_i"] == pytest.approx(0)  # what people name is there
    assert written["systems"]["xe"]["chair_recall"] == pytest.approx(12 / 22)
    assert written["novelty"] == pytest.approx(10 / 12)
    assert written["settings"]["w"] == {"clip": 2.5, "pac": 2.0}
    low, high = written["intervals"]["xe"]["chair_recall"]
    assert low < 12 / 22 < high
    rows = read_per_image(folder / "out")
    assert [row["image_id"] for row in rows] == IDS * 3
    assert [row["self_bleu"] for row in rows[12:]] == [None] * 24
    html = (folder / "out/index.html").read_text()
    assert html.count("data:image/") >= 12
    printed = capsys.readouterr().out
    assert printed.startswith('warning: xe: 100% of the images get one caption, "a dog with a"')
    assert "self_bleu" in printed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop(IDS[2]), f"dico: no caption for {IDS[2]} (1 of 12 images); --partial"),
        (lambda d: d.update(zebra="a"), "dico: captions without references zebra"),
        (lambda d: d.update({IDS[1]: 5}), f"captions that are not text: {IDS[1]}"),
        (lambda d: d.update({IDS[1]: None}), f"captions that are not text: {IDS[1]}"),
        (lambda d: d.update({IDS[1]: ["a", "b"]}), f"several captions for {IDS[1]}"),
        (lambda d: d.update({IDS[1]: "\ud800"}), f"captions that are not text: {IDS[1]}"),
        (lambda d: d.clear(), "holds no caption"),
    ],
)
def test_bad_captions_end_in_one_line(folder, capsys, change, message):
    changed = dict(GOOD)
    change(changed)
    (folder / "dico.json").write_text(json.dumps(changed))
    assert run(folder, "dico.json", "--references", "references.json", "--no-meteor") == 65
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("image", b"\x89PNG\r\n\x1a\n\x00\xff"),
        ("archive", b"PK\x03\x04\x14\x00"),
        ("page", b"<!doctype html><p>404"),
        ("cut off", b'[{"image_id": 1, "caption": "a"}, {"ima'),
        ("depth bomb", b"[" * 100_000),
        ("number", b"9" * 5000),
        ("NaN", b"NaN"),
        ("lists", b"[[1, 2], [3, 4]]"),
        ("null", b"null"),
        ("surrogate id", b'{"\\ud800": 5}'),
        ("twice", b'{"1": "a", "1": "b"}'),
        ("twice in lines", b'{"image_id": 1, "caption": "a"}\n{"image_id": 1, "caption": "b"}'),
    ],
)
@pytest.mark.parametrize("where", ["captions", "references"])
def test_files_that_are_not_what_they_say(folder, capsys, where, name, content):
    if (where, name) == ("references", "twice in lines"):
        return  # two captions of one image, as references are
    (folder / "bad.json").write_bytes(content)
    pair = ("bad.json", "references.json") if where == "captions" else ("dico.json", "bad.json")
    assert run(folder, pair[0], "--references", pair[1], "--no-meteor") == 65
    error = capsys.readouterr().err
    assert len(error.strip().splitlines()) == 1, error
    assert "bad.json" in error


def test_missing_things_are_named(folder, capsys):
    references = {i: texts for i, texts in REFERENCES.items() if i != IDS[4]} | {IDS[5]: []}
    (folder / "fewer.json").write_text(json.dumps(references))
    assert run(folder, "dico.json", "--references", "fewer.json", "--no-meteor") == 65
    assert f"captions without references {IDS[4]}, {IDS[5]}" in capsys.readouterr().err
    (folder / "images" / f"COCO_val2014_{IDS[7]}.jpg").unlink()
    arguments = ("dico.json", "--references", "references.json", "--images", f"{folder}/images")
    assert run(folder, *arguments) == 65
    assert f"no image for {IDS[7]}" in capsys.readouterr().err
    arguments = ("dico.json", "--references", "references.json", "--objects", "objects.json")
    assert run(folder, *arguments) == 2
    assert "--synonyms" in capsys.readouterr().err
    assert run(folder, "dico.json", "--references", "gone.json") == 65
    assert "gone.json: no such file" in capsys.readouterr().err


def test_partial_says_how_much(folder, capsys):
    some = {i: GOOD[i] for i in IDS[:5]} | {"zebra": "a zebra"}
    (folder / "dico.json").write_text(json.dumps(some))
    (folder / "images" / f"COCO_val2014_{IDS[7]}.jpg").unlink()
    arguments = ("dico.json", "--references", "references.json", "--partial", "--no-meteor")
    assert run(folder, *arguments, "--images", f"{folder}/images") == 0
    printed = capsys.readouterr().out
    assert "scored 5 of 12 images" in printed
    assert "left out: captions without references zebra" in printed


def test_each_evaluator_sees_the_pixels_of_its_own(folder, evaluator):
    from dico.images.load import load_image
    from dico.models.evaluator import Evaluator
    from dico.storage import write_digests

    path = Path(evaluator) / "config.json"
    shutil.copyfile(path.with_name("clip.safetensors"), path.with_name("pac.safetensors"))
    pixels = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.3, 0.5]}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pac_pixels": pixels}))
    write_digests(evaluator)
    arguments = ("dico.json", "--references", "references.json", "--no-meteor")
    arguments += ("--images", f"{folder}/images", "--evaluator", evaluator)
    assert run(folder, *arguments, "--output", f"{folder}/out") == 0
    rows = read_per_image(folder / "out")
    found = [row for row in rows if row["system"] == "dico"]
    assert len(found) == len(IDS)
    for kind, weight in (("clip", 2.5), ("pac", 2.0)):
        judge = Evaluator.load(evaluator, kind)
        for row in found:
            name = folder / "images" / f"COCO_val2014_{row['image_id']}.jpg"
            image = judge.embed_images(judge.preprocess(load_image(str(name)))[None])
            cosine = (
                image @ judge.embed_texts([GOOD[row["image_id"]]], "A photo depicts ").T
            ).item()
            assert row[f"{kind}_score"] == pytest.approx(weight * max(cosine, 0), abs=1e-5)
    assert sum(row["pac_score"] > 0 for row in found) > 6


def test_an_image_is_the_one_that_its_folder_says(folder, evaluator):
    """Images of one name in two folders: Karpathy's filepath chooses, wherever --images points."""
    images = []
    for split in ("train", "test"):
        (folder / "own" / split).mkdir(parents=True)
        for number in range(3):
            shade = 80 * number + 40 * (split == "train")
            Image.new("RGB", (40, 40), (shade, 90, 255 - shade)).save(
                folder / f"own/{split}/{number}.png"
            )
            sentences = [{"raw": text} for text in REFERENCES[IDS[number]]]
            images.append({"filepath": split, "filename": f"{number}.png", "imgid": len(images),
                           "split": split, "sentences": sentences})  # fmt: skip
    (folder / "own/set.json").write_text(json.dumps({"images": images}))
    captions = {str(i["imgid"]): "a red dog" for i in images if i["split"] == "test"}
    (folder / "own/dico.json").write_text(json.dumps(captions))
    scores = []
    for place in ("own", "own/test"):
        arguments = ("own/dico.json", "--references", "own/set.json", "--no-meteor", "--evaluator")
        arguments += (evaluator, "--images", f"{folder}/{place}", "--output", f"{folder}/out")
        assert run(folder, *arguments) == 0
        rows = read_per_image(folder / "out")
        scores.append([row["clip_score"] for row in rows])
    assert scores[0] == scores[1]
    assert len(set(scores[0])) > 1


def test_one_bad_image_does_not_end_a_partial_scoring(folder, evaluator, capsys):
    bad = folder / "images" / f"COCO_val2014_{IDS[3]}.jpg"
    bad.write_bytes(bad.read_bytes()[:200])
    arguments = ("dico.json", "--references", "references.json", "--no-meteor")
    arguments += ("--images", f"{folder}/images", "--evaluator", evaluator)
    assert run(folder, *arguments) == 65
    assert IDS[3] in capsys.readouterr().err
    assert run(folder, *arguments, "--partial") == 0
    printed = capsys.readouterr().out
    assert f"left out: no usable image for {IDS[3]}" in printed
    assert "11 images" in printed


def test_what_would_do_nothing_is_refused(folder, evaluator, capsys, monkeypatch):
    arguments = ("dico.json", "--references", "references.json", "--no-meteor")
    assert run(folder, *arguments, "--evaluator", evaluator) == 2
    assert "--images" in capsys.readouterr().err
    assert run(folder, *arguments, "--split", "val") == 2
    assert "has no splits" in capsys.readouterr().err
    assert run(folder, *arguments, "--bert-layer", "3") == 2
    monkeypatch.setenv("DICO_EVALUATOR", evaluator)
    assert run(folder, *arguments) == 0


def test_a_missing_caption_is_noticed_before_images_are_embedded(folder, capsys):
    (folder / "dico.json").write_text(json.dumps({IDS[0]: "a dog"}))
    arguments = ("dico.json", "--references", "references.json", "--images", f"{folder}/images")
    assert run(folder, *arguments, "--evaluator", f"{folder}/no-such-evaluator") == 65
    assert "no caption for" in capsys.readouterr().err


@pytest.mark.parametrize(
    "option",
    [("--caption-column", "typo"), ("--image-column", "typo"), ("--where", "typo=en")],
)
def test_a_column_that_no_file_has_is_refused(folder, capsys, option):
    files = [str(folder / "dico.json"), "--references", str(folder / "references.json")]
    with pytest.raises(SystemExit, match="2"):
        main(["evaluate", *files, *option])
    assert "has the column typo, but caption, image_id" in capsys.readouterr().err


def test_what_is_no_caption_is_said(folder, capsys):
    odd = {**GOOD, IDS[0]: "", IDS[1]: "a dog </s>", IDS[2]: "a cat<|endoftext|>", IDS[3]: "nan"}
    (folder / "odd.json").write_text(json.dumps(odd))
    (folder / "more.json").write_text(json.dumps({**REFERENCES, IDS[4]: ["", "a dog runs"]}))
    arguments = ["--references", folder / "more.json", "--no-meteor", "--no-human"]
    with pytest.raises(SystemExit):
        main(["evaluate", *map(str, (folder / "odd.json", *arguments))])
    printed = capsys.readouterr().out
    assert f"odd: 1 of 12 captions empty, scored as they are ({IDS[0]})" in printed
    tokens = f"odd: 2 of 12 captions with control tokens as text, scored as they are ({IDS[1]}"
    assert f"{tokens}, {IDS[2]})" in printed
    assert (
        f"odd: 1 of 12 captions placeholders or stock phrases, scored as they are ({IDS[3]})"
        in printed
    )
    assert f"references: 1 of 35 captions empty, scored as they are ({IDS[4]})" in printed
    with pytest.raises(SystemExit):
        main(["evaluate", *map(str, (folder / "dico.json", "--references", folder / "references.json",
                                     "--no-meteor", "--no-human"))])  # fmt: skip
    printed = capsys.readouterr().out
    assert "scored as they are" not in printed
    assert "dico: every caption is a reference of its image, word for word" in printed


def test_captions_of_another_split_than_the_references(folder, capsys):
    images = [
        {"filename": f"{i}.jpg", "cocoid": i, "split": "test" if i in IDS[:2] else "val",
         "sentences": [{"raw": text} for text in REFERENCES[i]]}
        for i in IDS
    ]  # fmt: skip
    (folder / "karpathy.json").write_text(json.dumps({"dataset": "x", "images": images}))
    (folder / "val.json").write_text(json.dumps({i: GOOD[i] for i in IDS[2:]}))
    arguments = ["evaluate", folder / "val.json", "--references", folder / "karpathy.json"]
    arguments = [*map(str, arguments), "--no-meteor", "--no-human"]
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 65
    assert "none of the 2 images of split test; --split names another" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--split", "val"])
    assert ended.value.code == 0
