"""The quick part of B4 and E1; ``python -m tests.reliability --only B4,E1`` counts them in full."""

from tests.reliability import check_gate, check_registry
from tests.reliability.s3_server import s3_server


def test_races_and_reads_in_a_folder(tmp_path):
    rows = [
        check_registry._races(tmp_path / "two", tmp_path, 2, 3, "a folder"),
        check_registry._races(tmp_path / "eight", tmp_path, 8, 3, "a folder"),
        check_registry._reads(str(tmp_path / "reads"), tmp_path, 40, "a folder"),
        check_registry._control(tmp_path, 30),
    ]
    assert [row for row in rows if not row.good] == []


def test_races_on_s3_that_loses_answers(tmp_path):
    with s3_server() as endpoint:
        row = check_registry._lossy_races(endpoint, tmp_path, 3, 1)
    assert row.good, row


def test_the_gate_in_made_up_worlds():
    assert [row for row in check_gate.check(full=False) if not row.good] == []
