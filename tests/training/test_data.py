"""What training reads, and the record that it writes."""

import dataclasses
import json

import numpy as np
import pytest

from dico.errors import DataError
from dico.training.data import CaptioningData
from dico.training.resilience.history import History
from tests.training import tiny


def test_rows_follow_the_indices(world):
    data, records, store = tiny.data(world), tiny.records(world, "train"), tiny.features(world)
    assert len(data) == 24
    keys = [records[5].sha256, records[0].sha256]
    assert data.keys([5, 0]) == keys
    assert np.array_equal(data.tokens([5, 0]).numpy(), store.read(keys, "tokens"))
    for weights in ("clip", "pac"):
        stored = store.read(keys, f"{weights}_embedding")
        assert np.array_equal(data.embeddings([5, 0], weights).numpy(), stored)
    assert data.references([5, 0]) == [records[5].captions, records[0].captions]


def test_missing_features_name_an_image(world):
    records = tiny.records(world, "train")
    stranger = dataclasses.replace(records[3], image_id="stranger", sha256="ab" * 32)
    with pytest.raises(DataError, match="no features of 2 images, such as stranger; extract"):
        CaptioningData([*records, stranger, stranger], tiny.features(world), tiny.CPU)


def test_a_split_without_images_is_refused(world):
    with pytest.raises(DataError, match="no images in this split"):
        CaptioningData([], tiny.features(world), tiny.CPU)


def with_captions(world, *captions):
    record = dataclasses.replace(tiny.records(world, "train")[0], captions=captions)
    return CaptioningData([record], tiny.features(world), tiny.CPU)


def test_drawn_captions_are_distinct_where_there_are_enough(world):
    data = with_captions(world, "a", "b", "c", "d")
    rng = np.random.default_rng(0)
    draws = [data.draw_captions([0], 3, rng) for _ in range(50)]
    assert all(len(set(drawn)) == 3 for drawn in draws)
    assert {text for drawn in draws for text in drawn} == {"a", "b", "c", "d"}


def test_too_few_captions_are_repeated(world):
    drawn = with_captions(world, "a", "b").draw_captions([0, 0], 5, np.random.default_rng(0))
    assert len(drawn) == 10
    assert set(drawn) == {"a", "b"}


def test_captions_of_an_image_stay_side_by_side(world):
    data = tiny.data(world)
    drawn = data.draw_captions([4, 9], 3, np.random.default_rng(1))
    assert sorted(drawn[:3]) == sorted(data.records[4].captions)
    assert sorted(drawn[3:]) == sorted(data.records[9].captions)


def test_history_gives_a_step_one_row(tmp_path):
    history = History()
    history.log(1, loss=2.5)
    history.log(2, loss=2.0)
    history.log(2, validation_cider=0.75)
    history.write(tmp_path)
    lines = (tmp_path / "history.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["step"] for row in rows] == [1, 2]
    assert [row["loss"] for row in rows] == [2.5, 2.0]
    assert rows[1]["validation_cider"] == 0.75


def test_history_goes_on_counting_seconds():
    history = History([{"step": 7, "seconds": 1000.0}])
    history.log(8, loss=1.0)
    assert history.rows[0]["step"] == 7
    assert 1000.0 <= history.rows[1]["seconds"] < 1010.0
