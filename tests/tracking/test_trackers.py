"""What trackers wrote, read back by their own clients; each value once, whatever was resumed."""

import json
import struct
from pathlib import Path

import pytest

from dico.audit.tracking import audit_scores
from dico.errors import UsageError
from dico.tracking import Callback, Stage, listening, rows_made
from dico.tracking.trackers import check_trackers

VERDICT = "bag, of words: weak; "
LOSSES = {1: 1.0, 2: 1 / 2, 3: 1 / 3, 4: 1 / 4, 5: 1 / 5}


def test_tensorboard(train, tell, found, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(f"tensorboard:{tmp_path}/board", "pretrain_captioner", 0, 3)
    train(f"tensorboard:{tmp_path}/board", "pretrain_captioner", 2, 5)
    events = EventAccumulator(
        str(tmp_path / "board/harbour-1/pretrain_captioner"), size_guidance={"scalars": 0}
    )
    events.Reload()
    losses = [(event.step, event.value) for event in events.Scalars("loss")]
    assert losses == [(step, pytest.approx(loss)) for step, loss in LOSSES.items()]
    assert [event.step for event in events.Scalars("validation/cider")] == [2, 4]
    assert "gradient_norm" not in events.Tags()["scalars"]
    (settings,) = events.Tensors("settings/text_summary")
    assert b"| guards.max_rewinds | 2 |" in settings.tensor_proto.string_val[0]
    captions = events.Tensors("captions/1/text_summary")
    assert [event.step for event in captions] == [2, 4]
    assert b"**blue 4**" in captions[1].tensor_proto.string_val[0]
    assert events.Images("images/0")[0].width == 40
    tell(f"tensorboard:{tmp_path}/board")
    events = EventAccumulator(str(tmp_path / "board/harbour-1/audit_evaluator"))
    events.Reload()
    scalars = {tag: events.Scalars(tag)[0].value for tag in events.Tags()["scalars"]}
    assert scalars == pytest.approx(dict(audit_scores(found)))
    (verdict,) = events.Tensors("events/text_summary")
    assert verdict.tensor_proto.string_val[0].decode().startswith(VERDICT)
    (shown,) = events.Tensors("captions/0/text_summary")
    worst = found.examples[0]
    assert worst["edited"] in shown.tensor_proto.string_val[0].decode()
    assert f"- {worst['caption']}" in shown.tensor_proto.string_val[0].decode()
    assert events.Images("images/0")[0].width == 40


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # its own, of its database
def test_mlflow(train, tell, found, tmp_path, monkeypatch):
    from mlflow import MlflowClient

    monkeypatch.chdir(tmp_path)  # where a local server keeps its artifacts
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    train(f"mlflow:{uri}", "pretrain_captioner", 0, 3)
    train(f"mlflow:{uri}", "pretrain_captioner", 2, 5)
    train(f"mlflow:{uri}", "finetune_captioner", 0, 2)
    tell(f"mlflow:{uri}")
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("dico")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    stages = {"pretrain_captioner", "finetune_captioner", "audit_evaluator"}
    assert set(runs) == {"harbour-1", *stages}
    stage = runs["pretrain_captioner"]
    for name in stages:
        assert runs[name].data.tags["mlflow.parentRunId"] == runs["harbour-1"].info.run_id
    history = client.get_metric_history(stage.info.run_id, "loss")
    assert {metric.step: metric.value for metric in history} == pytest.approx(LOSSES)
    assert len(history) == 5
    assert stage.data.params["guards.max_rewinds"] == "2"
    assert stage.data.tags["dico.event.3"] == "step 3: went back"
    assert stage.info.status == "FINISHED"
    files = {file.path for file in client.list_artifacts(stage.info.run_id, "captions")}
    assert files == {"captions/step-0000002.txt", "captions/step-0000004.txt"}
    images = {file.path for file in client.list_artifacts(stage.info.run_id, "images")}
    assert images == {"images/0.png", "images/1.png"}
    audited = runs["audit_evaluator"]
    assert audited.data.metrics == pytest.approx(dict(audit_scores(found)))
    assert audited.data.tags["dico.event.0"].startswith(VERDICT)
    names = {file.path for file in client.list_artifacts(audited.info.run_id, "images")}
    assert len(names) == 8
    text = client.download_artifacts(audited.info.run_id, "captions/step-0000000.txt")
    assert found.examples[0]["edited"] in Path(text).read_text()


def test_wandb_offline(train, tell, found, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_API_KEY", "0123456789" * 4)
    train("wandb:captions", "pretrain_captioner", 0, 4)
    (path,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    assert b"0123456789" * 4 not in path.read_bytes()
    group, rows, _ = read_offline(path)
    losses = {int(row["_step"]): row["loss"] for row in rows if "loss" in row}
    assert losses == pytest.approx({step: LOSSES[step] for step in range(1, 5)})
    assert group == "harbour-1"
    assert list(path.parent.glob("files/media/images/captions_*.png"))
    tell("wandb:captions")
    (other,) = set(tmp_path.glob("wandb/offline-run-*/run-*.wandb")) - {path}
    group, rows, summary = read_offline(other)
    assert group == "harbour-1"
    told = {name: value for row in rows for name, value in row.items()}
    scores = dict(audit_scores(found))
    assert {name: told[name] for name in scores} == pytest.approx(scores)
    assert summary["event.0"].startswith(VERDICT)
    assert summary["captions.count"] == 8
    assert len(list(other.parent.glob("files/media/images/captions_*.png"))) == 2  # by content


def read_offline(path):
    """Group, rows of history and summary of a run that wandb kept on disk."""
    from wandb.proto import wandb_internal_pb2

    group, rows, summary = "", [], {}
    for data in log_records(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        if record.HasField("run"):
            group = record.run.run_group or group
        for kind in ("history", "summary"):
            if record.HasField(kind):
                part = getattr(record, kind)
                kept = part.item if kind == "history" else part.update
                items = {".".join(i.nested_key) or i.key: json.loads(i.value_json) for i in kept}
                rows.append(items) if kind == "history" else summary.update(items)
    return group, rows, summary


def log_records(data):
    """Records of LevelDB's log format, in which wandb keeps a run, behind a head of 7 bytes."""
    place, parts = 7, b""
    while place < len(data):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        parts += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield parts
            parts = b""


def test_a_tracker_that_fails_stops_no_training(capsys):
    class Broken(Callback):
        def values(self, step, values):
            raise ConnectionError("token=abc refused")

    class Sound(Callback):
        def __init__(self):
            self.seen = []

        def values(self, step, values):
            self.seen.append(step)

    sound = Sound()
    with listening(Stage("xe"), [Broken(), sound]):
        rows_made([{"step": 1, "loss": 1.0}])
        rows_made([{"step": 1, "loss": 1.0}, {"step": 2, "loss": 0.5}])
    rows_made([{"step": 3, "loss": 0.1}])
    assert sound.seen == [1, 2]
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("Broken failed and is told nothing more: ConnectionError")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "tensorbord",
            r"unknown tracker 'tensorbord' \(did you mean tensorboard\?\); known are tensorboard,",
        ),
        ("mlflow:sqlite:///x.db comet", "unknown tracker 'comet'"),
    ],
)
def test_a_misspelt_tracker_is_refused(text, message):
    with pytest.raises(UsageError, match=message):
        check_trackers(text)
    check_trackers("")
    check_trackers("tensorboard:runs/tb mlflow wandb:project")
