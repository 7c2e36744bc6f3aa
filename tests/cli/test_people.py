"""``dico rate`` and ``dico agree`` from the command line: what they print, write and refuse."""

import json

import pytest

from dico.cli import main
from dico.people.judgements import Judgement

CAPTIONS = {"xe": "a dog", "dico": "a red dog runs"}


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code


@pytest.fixture
def judgements(tmp_path):
    choices = [
        ("ann", "a", "dico"),
        ("bob", "a", "dico"),
        ("ann", "b", "equal"),
        ("bob", "b", "xe"),
    ]
    path = tmp_path / "judgements.jsonl"
    path.write_text(
        "".join(
            Judgement(rater, image, CAPTIONS, tuple(CAPTIONS), choice).to_line()
            for rater, image, choice in choices
        )
    )
    return path


def test_own_judgements(judgements, tmp_path, capsys):
    references = tmp_path / "references.json"
    references.write_text(json.dumps({i: ["a red dog runs fast", "the dog"] for i in "ab"}))
    output = tmp_path / "agree.json"
    assert run("agree", judgements, "--references", references, "--output", output) == 0
    said = capsys.readouterr().out
    assert "xe against dico: 0.375 [" in said
    data = json.loads(output.read_text())
    (rate,) = data["win_rates"]
    assert rate["win_rate"] == 0.375
    assert (data["num_captions"], data["num_images"]) == (4, 2)
    assert data["alpha"] == pytest.approx(0.4)  # observed 2 / 4, expected 10 / 12
    assert {"bleu_1", "cider", "num_words"} <= data["metrics"].keys()
    assert -1 <= data["metrics"]["num_words"]["tau_b"] <= 1


def test_without_references_it_says_what_is_left_out(judgements, capsys):
    assert run("agree", judgements) == 0
    assert "left out: none for a, b; give" in capsys.readouterr().out


def written(path, *lines):
    """A file of judgements of rater, image and choice."""
    judged = [Judgement(who, i, CAPTIONS, tuple(CAPTIONS), choice) for who, i, choice in lines]
    path.write_text("".join(own.to_line() for own in judged))
    return path


@pytest.mark.parametrize(
    "lines",
    [
        [("ann", "a", "dico"), ("ann", "b", "xe")],
        [(who, i, "equal") for who in ("ann", "bob") for i in "ab"],
    ],
    ids=["one rater", "all the same"],
)
def test_an_alpha_that_is_undefined_is_said_to_be(tmp_path, capsys, lines):
    output = tmp_path / "agree.json"
    assert run("agree", written(tmp_path / "own.jsonl", *lines), "--output", output) == 0
    assert "alpha: undefined; two raters must judge the same images" in capsys.readouterr().out
    assert json.loads(output.read_text())["alpha"] is None


def test_a_tau_of_equal_ratings_is_explained(tmp_path, capsys):
    references = tmp_path / "references.json"
    references.write_text(json.dumps({i: ["a red dog runs fast", "the dog"] for i in "ab"}))
    own = written(tmp_path / "own.jsonl", ("ann", "a", "equal"), ("ann", "b", "equal"))
    assert run("agree", own, "--references", references) == 0
    assert "nan: the metric or the ratings are the same" in capsys.readouterr().out


def test_a_file_without_a_judgement_that_counts_is_named(tmp_path, capsys):
    assert run("agree", written(tmp_path / "own.jsonl")) == 65
    assert "own.jsonl: no judgement that counts" in capsys.readouterr().err
    (tmp_path / "tokens.txt").write_text("a.jpg#0\ta dog runs\n")
    (tmp_path / "expert.txt").write_text("a.jpg\ta.jpg#0\t1\t1\t2\n")
    arguments = (tmp_path / "expert.txt", "--captions", tmp_path / "tokens.txt")
    assert run("agree", *arguments) == 65
    assert "counts; 1 captions of the image itself left out" in capsys.readouterr().err


def test_published_files(tmp_path, capsys):
    (tmp_path / "Flickr8k.token.txt").write_text(
        "a.jpg#0\ta dog runs\na.jpg#1\ta dog\nb.jpg#0\ta man\nb.jpg#1\ta man sits\n"
    )
    expert = tmp_path / "ExpertAnnotations.txt"
    expert.write_text("a.jpg\tb.jpg#0\t1\t1\t2\nb.jpg\ta.jpg#0\t2\t1\t1\na.jpg\tb.jpg#1\t3\t2\t2\n")
    assert run("agree", expert, "--captions", tmp_path / "Flickr8k.token.txt") == 0
    said = capsys.readouterr().out
    assert "3 captions of 2 images" in said
    assert "Krippendorff's alpha" in said
    assert run("agree", expert) == 2
    assert "need --captions Flickr8k.token.txt" in capsys.readouterr().err
    pairs = tmp_path / "pairs.jsonl"
    line = {"image_id": "a", "winner": "a dog runs", "loser": "a cat", "references": ["a dog runs"]}
    pairs.write_text(json.dumps(line) + "\n")
    assert run("agree", pairs) == 0
    assert "rouge_l" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["rate", "a.json", "b.json"], 2, "--images or --manifest, one of them"),
        (["agree", "none.jsonl"], 65, "none.jsonl"),
        (["agree", "consensus.mat"], 2, "needs --pairs"),
    ],
)
def test_what_is_missing_is_said(arguments, code, message, capsys):
    assert run(*arguments) == code
    assert message in capsys.readouterr().err
