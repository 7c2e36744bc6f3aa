import gzip
import importlib
import signal

import pytest

from dico.errors import UsageError
from dico.metrics import meteor, spice, spice_missing
from dico.metrics.paraphrases import Needed, cut_down

module = importlib.import_module("dico.metrics.meteor")
CAPTIONS = ["a dog is running quickly", "two kittens sleep", "a bus", ""]
REFERENCES = [
    ["a hound runs fast", "the dog runs with speed"],
    ["cats are sleeping on a bed"],
    ["a bus", "a large red bus"],
    ["snow"],
]


def test_equal_to_what_java_prints(java_meteor):
    score = meteor(CAPTIONS, REFERENCES, "none")
    assert score.per_image[2] > 0.5
    assert score.per_image[3] == 0
    for caption, group, own in zip(CAPTIONS, REFERENCES, score.per_image, strict=True):
        module._known.clear()
        process = module._running
        statistics = process.ask([" ||| ".join(["SCORE", *group, caption])])
        # EVAL answers with the segment's and the corpus score: two lines for one
        first = process.ask([f"EVAL ||| {statistics[0]}"])[0]
        second = process._java.stdout.readline()
        assert float(first) == float(second) == pytest.approx(own, abs=1e-12)


def test_asked_once_for_each_pair(java_meteor):
    meteor(CAPTIONS, REFERENCES, "none")
    process, known = module._running, len(module._known)
    meteor(CAPTIONS[::-1], REFERENCES[::-1], "none")
    assert module._running is process
    assert len(module._known) == known


def test_bad_lines_shift_nothing(java_meteor):
    odd = ["a ||| dog\nruns", "\u2028", "é 日本 😀", "a dog"]
    scores = meteor(odd, [["a dog runs"], ["x ||| y"], ["é 日本 😀"], ["a dog"]], "none").per_image
    assert scores[0] == meteor(["a dog runs"], [["a dog runs"]], "none").total
    assert scores[1] == 0
    assert scores[3] == 1


def test_a_killed_program_is_replaced(java_meteor):
    expected = meteor(["a dog"], [["the dog"]], "none").total
    module._known.clear()
    module._running._java.send_signal(signal.SIGKILL)
    module._running._java.wait()
    assert meteor(["a dog"], [["the dog"]], "none").total == expected


def test_without_java(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match="METEOR: no java on the PATH"):
        meteor(["a"], [["a"]])
    with pytest.raises(UsageError, match="SPICE: no java on the PATH"):
        spice(["a"], [["a"]])


def test_spice_without_models_says_how_to_get_them(java_meteor):
    if not spice_missing():
        assert 0 <= spice(["a dog"], [["a dog runs"]]).total <= 1
    else:
        assert "get_stanford_models" in spice_missing()


ENTRIES = [
    (b".5", b"dog", b"hound"),
    (b".4", b"big dog", b"large hound"),
    (b".3", b"cat", b"dog"),
    (b".2", b"cat", b"kitten"),
    (b".1", b"it 's", b"it is"),
    (b".1", b"dog big", b"x"),
]


def test_table_keeps_what_can_count(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    table = tmp_path / "table.gz"
    table.write_bytes(gzip.compress(b"".join(b"\n".join(entry) + b"\n" for entry in ENTRIES)))
    small = cut_down(table, Needed.of(["The big dog."]))
    kept = gzip.decompress(small.read_bytes()).split(b"\n")
    # neither phrase of "cat, kitten" is in the reference; "dog big" is not in that order
    assert kept[1::3] == [b"dog", b"big dog", b"cat", b"it 's"]
    before = small.stat().st_mtime_ns
    assert cut_down(table, Needed.of(["big dog", "the big"])).stat().st_mtime_ns == before
