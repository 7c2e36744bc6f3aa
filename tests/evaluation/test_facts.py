"""Facts in an evaluation: rates with intervals, what is false in words, images without facts."""

import json

import pytest

from dico.cli import main
from dico.evaluation.config import EvaluationConfig
from dico.evaluation.evaluate import Evaluation, evaluate
from dico.facts import Scene, Thing, Vocabulary, write_facts
from dico.report.summary import tabulate

VOCABULARY = Vocabulary(
    {"dog": (), "cat": ()}, {"colour": {"red": (), "blue": ()}}, object_kind="animal"
)
SCENES = {
    str(k): Scene((Thing("dog", {"colour": ("red",)}),) if k % 2 else (Thing("cat"),))
    for k in range(8)
}
REFERENCES = {i: [f"a {s.things[0].name}", "an animal"] for i, s in SCENES.items()}
CAPTIONS = dict.fromkeys(SCENES, "a blue dog")
CONFIG = EvaluationConfig(meteor=False, num_resamples=50)


def test_rates_and_their_intervals(tmp_path):
    found = evaluate(
        {"dico": CAPTIONS}, REFERENCES, config=CONFIG, scenes=SCENES, vocabulary=VOCABULARY
    )
    own = found.systems["dico"]
    # blue is judged where a dog's colour is known: 4 of 4 wrong; dog is wrong of 4 of 8
    assert own["facts_precision"] == pytest.approx(4 / 12)
    assert own["facts_recall"] == pytest.approx(4 / (4 * 2 + 4))
    assert own["wholly_true"] == 0
    assert (own["wrong_animal"], own["wrong_colour"], own["wrong_count"]) == (0.5, 1, 0)
    assert found.systems["human"]["facts_precision"] == 1
    low, high = found.intervals["dico"]["wrong_animal"]
    assert low < 0.5 < high
    assert found.differences["dico - human"]["facts_precision"]["high"] < 0
    assert found.per_image["false_statements"][:2] == ["animal dog", "colour blue"]
    found.save(tmp_path)
    loaded = Evaluation.load(tmp_path)
    assert loaded.per_image["false_statements"] == found.per_image["false_statements"]
    labels = [row.metric.label for row in tabulate(loaded.to_dict()).rows]
    assert labels[:3] == ["Wholly true", "True statements", "Facts named"]
    assert "Wrong animal" in labels


def test_images_without_facts_do_not_count():
    some = {i: own for i, own in SCENES.items() if int(i) < 2}
    found = evaluate(
        {"dico": CAPTIONS}, REFERENCES, config=CONFIG, scenes=some, vocabulary=VOCABULARY
    )
    assert "facts: known of 2 of 8 images" in found.notes
    assert found.systems["dico"]["facts_precision"] == pytest.approx(1 / 3)
    assert found.systems["human"]["wholly_true"] == 1


def test_from_the_command_line(tmp_path, capsys):
    for name, content in (("captions", CAPTIONS), ("references", REFERENCES)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    write_facts(tmp_path / "facts.jsonl", VOCABULARY, SCENES.items())
    with pytest.raises(SystemExit) as ended:
        main(
            ["evaluate", str(tmp_path / "captions.json"), "--no-meteor", "--num-resamples", "20",
             "--references", str(tmp_path / "references.json"),
             "--facts", str(tmp_path / "facts.jsonl")]
        )  # fmt: skip
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("wrong_animal") and "0.5000" in line for line in lines)
