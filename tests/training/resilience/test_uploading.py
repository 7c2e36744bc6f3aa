"""Copies of checkpoints in a store: in order, in the background, and enough to go on elsewhere."""

import logging
import shutil
import threading

import pytest
import torch

from dico.errors import AccessError, TryAgainError
from dico.storage.local import LocalStore
from dico.training.resilience.checkpoint import Checkpoints
from tests.training.resilience.test_checkpoint import advance, flip_bit, small_state, weights


class Remote:
    """A remote store whose network is a folder; ``fault`` is raised by each publication."""

    def __init__(self, folder):
        self.inner, self.uri = LocalStore(folder), f"far://{folder}"
        self.fault, self.open = None, threading.Event()
        self.open.set()
        self.published = []

    def publish(self, folder, key):
        assert self.open.wait(10)
        if self.fault:
            raise self.fault
        self.published.append(key.rpartition("/")[2])
        return self.inner.publish(folder, key)

    def list(self, prefix=""):
        return self.inner.list(prefix)

    def fetch(self, key, local, digest=""):
        return self.inner.fetch(key, local, digest)

    def delete(self, key):
        self.inner.delete(key)


@pytest.fixture
def remote(tmp_path, monkeypatch):
    monkeypatch.setenv("DICO_CHECKPOINTS", str(tmp_path / "disk"))
    return Remote(tmp_path / "far")


def trained(checkpoints, *steps):
    state = small_state()
    while state.step < max(steps):
        advance(state)
        if state.step in steps:
            checkpoints.save(state)
    return state


def names(folder):
    return sorted(path.name for path in folder.glob("**/step-*"))


def test_a_fresh_machine_goes_on_from_the_copy(remote, tmp_path):
    checkpoints = Checkpoints(remote, "run")
    state = trained(checkpoints, 1, 2, 3)
    assert checkpoints.flush(10)
    assert names(tmp_path / "far")[-1] == "step-00000003"
    shutil.rmtree(tmp_path / "disk")
    resumed = small_state()
    assert Checkpoints(remote, "run").resume(resumed)
    assert resumed.step == 3
    assert torch.equal(weights(resumed), weights(state))


def test_a_finished_run_leaves_its_copy_alone(remote, tmp_path):
    checkpoints = Checkpoints(remote, "run")
    trained(checkpoints, 1)
    checkpoints.finish(10)
    assert names(tmp_path / "disk") == []
    assert names(tmp_path / "far") == ["step-00000001"]
    remote.fault = TryAgainError("the network is down")
    trained(checkpoints, 1, 2)
    checkpoints.finish(10)
    assert names(tmp_path / "disk")[-1] == "step-00000002"


def test_copies_are_made_in_order_and_skip_what_was_overtaken(remote, tmp_path):
    checkpoints = Checkpoints(remote, "run")
    remote.open.clear()
    trained(checkpoints, 1, 2, 3, 4)
    assert not checkpoints.flush(0.05)
    remote.open.set()
    assert checkpoints.flush(10)
    assert remote.published == ["step-00000001", "step-00000004"]
    assert names(tmp_path / "disk")[-1] == "step-00000004"


def test_training_does_not_wait_and_what_is_copied_is_not_removed(remote, tmp_path):
    checkpoints = Checkpoints(remote, "run", num_kept=1)
    remote.open.clear()
    trained(checkpoints, 1, 2, 3)
    assert "step-00000003" in names(tmp_path / "disk")
    remote.open.set()
    assert checkpoints.flush(10)
    assert names(tmp_path / "far") == ["step-00000003"]


def test_a_transient_fault_is_made_good_by_the_next_copy(remote, caplog):
    checkpoints = Checkpoints(remote, "run")
    remote.fault = TryAgainError("the network is down")
    with caplog.at_level(logging.WARNING):
        state = trained(checkpoints, 1)
        assert not checkpoints.flush(10)
    assert "not copied" in caplog.text
    remote.fault = None
    advance(state)
    checkpoints.save(state)
    assert checkpoints.flush(10)
    assert remote.published == ["step-00000002"]


def test_a_missing_right_ends_the_run(remote):
    checkpoints = Checkpoints(remote, "run")
    remote.fault = AccessError("far: access denied")
    state = trained(checkpoints, 1)
    with pytest.raises(AccessError, match="access denied"):
        checkpoints.flush(10)
    advance(state)
    with pytest.raises(AccessError, match="access denied"):
        checkpoints.save(state)


def test_the_newest_whole_one_counts_wherever_it_is(remote, tmp_path):
    checkpoints = Checkpoints(remote, "run")
    trained(checkpoints, 1, 2)
    checkpoints.flush(10)
    (damaged,) = (tmp_path / "disk").glob("**/step-00000002")
    flip_bit(damaged / "tensors.safetensors")
    resumed = small_state()
    assert Checkpoints(remote, "run").resume(resumed)
    assert resumed.step == 2
    shutil.rmtree(tmp_path / "far")
    flip_bit(damaged / "tensors.safetensors")
    assert Checkpoints(remote, "run").resume(resumed)
    assert resumed.step == 1


def test_on_a_file_system_nothing_is_copied(tmp_path):
    checkpoints = Checkpoints(LocalStore(tmp_path), "run")
    trained(checkpoints, 1)
    assert checkpoints.uploader is None
    assert checkpoints.flush(0)
    assert names(tmp_path) == ["step-00000001"]
