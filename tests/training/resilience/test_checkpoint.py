"""Checkpoints: what is kept, what is refused, and exact resume after an interruption."""

import json
import logging
import random
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from dico.errors import DataError
from dico.storage import write_digests
from dico.training.resilience.state import TrainingState
from tests.training import tiny

FOLDER = "checkpoints/run"


def small_state(step=0, width=3):
    torch.manual_seed(0)
    model = torch.nn.Linear(2, width)
    state = TrainingState(model, torch.optim.Adam(model.parameters()))
    state.step = step
    return state


def advance(state):
    """One optimiser step on a fixed batch."""
    state.optimizer.zero_grad()
    state.model(torch.tensor([[1.0, float(state.step)]])).square().sum().backward()
    state.optimizer.step()
    state.step += 1
    state.history.log(state.step, loss=1.0 / state.step)


def weights(state):
    return torch.nn.utils.parameters_to_vector(state.model.parameters()).detach().clone()


def names(folder):
    return sorted(path.name for path in (folder / FOLDER).iterdir())


def save_steps(folder, *steps, num_kept=2):
    checkpoints, state = tiny.checkpoints(folder, num_kept), small_state()
    while state.step < max(steps):
        advance(state)
        if state.step in steps:
            checkpoints.save(state)
    return checkpoints, state


def flip_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def test_everything_comes_back(tmp_path):
    checkpoints, state = tiny.checkpoints(tmp_path), small_state()
    for _ in range(4):
        advance(state)
    state.keep_if_best(0.1 + 0.2)
    best = weights(state)
    advance(state)
    state.keep_if_best(0.25)
    checkpoints.save(state)
    resumed = small_state()
    assert checkpoints.resume(resumed)
    assert torch.equal(weights(resumed), weights(state))
    assert (resumed.step, resumed.best_step, resumed.best_score) == (5, 4, 0.1 + 0.2)
    assert resumed.history.rows == state.history.rows
    advance(resumed)
    advance(state)
    assert torch.equal(weights(resumed), weights(state))
    resumed.restore_best()
    assert torch.equal(weights(resumed), best)


def test_nothing_kept_yet_comes_back_as_nothing(tmp_path):
    checkpoints, _ = save_steps(tmp_path, 1)
    resumed = small_state()
    checkpoints.resume(resumed)
    assert resumed.best_weights == {}
    assert resumed.best_score == float("-inf")


def test_without_checkpoints_nothing_is_resumed(tmp_path):
    state = small_state()
    before = weights(state)
    assert not tiny.checkpoints(tmp_path).resume(state)
    assert torch.equal(weights(state), before)
    assert state.step == 0


def test_the_newest_are_kept(tmp_path):
    checkpoints, _ = save_steps(tmp_path, 2, 4, 9, 10, 11)
    assert names(tmp_path) == ["step-00000010", "step-00000011"]
    resumed = small_state()
    checkpoints.resume(resumed)
    assert resumed.step == 11


def test_a_whole_folder_and_its_digests_are_published(tmp_path):
    save_steps(tmp_path, 1)
    folder = tmp_path / FOLDER / "step-00000001"
    assert sorted(p.name for p in folder.iterdir()) == [
        "digests.json", "state.json", "tensors.safetensors",
    ]  # fmt: skip
    assert json.loads((folder / "state.json").read_text())["format"] == 2


@pytest.mark.parametrize("file", ["tensors.safetensors", "state.json", "digests.json"])
def test_one_flipped_bit_passes_over_to_the_previous(tmp_path, file, caplog):
    checkpoints, _ = save_steps(tmp_path, 2, 4)
    flip_bit(tmp_path / FOLDER / "step-00000004" / file)
    resumed = small_state()
    with caplog.at_level(logging.WARNING):
        assert checkpoints.resume(resumed)
    assert resumed.step == 2
    assert "passed over" in caplog.text
    assert "step-00000004" in caplog.text


@pytest.mark.parametrize("file", ["tensors.safetensors", "state.json", "digests.json"])
def test_a_missing_file_passes_over_to_the_previous(tmp_path, file):
    checkpoints, _ = save_steps(tmp_path, 2, 4)
    (tmp_path / FOLDER / "step-00000004" / file).unlink()
    resumed = small_state()
    assert checkpoints.resume(resumed)
    assert resumed.step == 2


def test_damaged_later_checkpoints_never_push_out_a_good_one(tmp_path):
    """All are damaged, so training begins anew: what it saves then is what counts."""
    checkpoints, _ = save_steps(tmp_path, 8, 10)
    for name in names(tmp_path):
        flip_bit(tmp_path / FOLDER / name / "tensors.safetensors")
    state = small_state()
    assert not checkpoints.resume(state)
    for _ in range(2):
        advance(state)
    checkpoints.save(state)
    assert names(tmp_path) == ["step-00000002"]
    resumed = small_state()
    assert checkpoints.resume(resumed)
    assert resumed.step == 2


def test_what_a_killed_writer_left_is_passed_over_and_removed(tmp_path):
    checkpoints, state = save_steps(tmp_path, 2, 4)
    left = tmp_path / FOLDER / ".step-00000006.0123456789ab.tmp"
    shutil.copytree(tmp_path / FOLDER / "step-00000004", left)
    (left / "tensors.safetensors").write_bytes(b"half")
    resumed = small_state()
    checkpoints.resume(resumed)
    assert resumed.step == 4
    advance(state)
    checkpoints.save(state)
    assert names(tmp_path) == ["step-00000004", "step-00000005"]


def edit(folder, **changes):
    path = folder / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    write_digests(folder)


def test_another_format_is_refused(tmp_path):
    checkpoints, _ = save_steps(tmp_path, 1)
    edit(tmp_path / FOLDER / "step-00000001", format=3)
    with pytest.raises(DataError, match="format 3, and this version reads 2"):
        checkpoints.resume(small_state())


def test_generators_go_on_where_they_were(tmp_path):
    checkpoints, _ = save_steps(tmp_path, 1)
    draws = [(random.random(), np.random.rand(), torch.rand(1).item())]
    checkpoints.resume(small_state())
    draws.append((random.random(), np.random.rand(), torch.rand(1).item()))
    assert draws[0] == draws[1]


@pytest.mark.parametrize("changes", [
    {"step": "4"}, {"step": -1}, {"history": {}}, {"history": [1]}, {"best_score": "high"},
    {"best_step": None}, {"num_rewinds": 0.5},
])  # fmt: skip
def test_a_state_without_its_values_is_refused(tmp_path, changes):
    checkpoints, _ = save_steps(tmp_path, 1)
    edit(tmp_path / FOLDER / "step-00000001", **changes)
    with pytest.raises(DataError, match="lacks values of a run"):
        checkpoints.resume(small_state())


def test_another_models_tensors_are_refused_by_name(tmp_path):
    checkpoints, _ = save_steps(tmp_path, 1)
    with pytest.raises(DataError, match=r"bias is \(3,\), and this model's is \(4,\)"):
        checkpoints.resume(small_state(width=4))
    folder = tmp_path / FOLDER / "step-00000001"
    tensors = load_file(folder / "tensors.safetensors")
    tensors["model/extra"] = tensors.pop("model/weight").clone()
    save_file(tensors, folder / "tensors.safetensors")
    write_digests(folder)
    state = small_state()
    before = weights(state)
    with pytest.raises(DataError, match=r"extra is .*, and this model's is missing"):
        checkpoints.resume(state)
    assert torch.equal(weights(state), before)
    assert state.step == 0


def test_the_optimizers_state_matters(tmp_path):
    """Negative control: without it the next steps differ."""
    checkpoints, state = save_steps(tmp_path, 3)
    folder = tmp_path / FOLDER / "step-00000003"
    tensors = load_file(folder / "tensors.safetensors")
    kept = {k: v for k, v in tensors.items() if not k.startswith("optimizer/")}
    assert len(kept) < len(tensors)
    save_file(kept, folder / "tensors.safetensors")
    write_digests(folder)
    resumed = small_state()
    checkpoints.resume(resumed)
    advance(resumed)
    advance(state)
    assert not torch.equal(weights(resumed), weights(state))


def test_an_equal_score_keeps_the_earlier_weights():
    state = small_state(step=1)
    state.keep_if_best(0.5)
    state.step = 2
    state.keep_if_best(0.5)
    assert state.best_step == 1
    state.keep_if_best(0.6)
    assert state.best_step == 2


def test_kept_weights_do_not_change_with_the_model():
    state = small_state()
    state.keep()
    before = weights(state)
    advance(state)
    assert not torch.equal(weights(state), before)
    state.restore_best()
    assert torch.equal(weights(state), before)


def test_generators_that_do_not_fit_are_refused(tmp_path):
    checkpoints, _ = save_steps(tmp_path, 1)
    edit(tmp_path / FOLDER / "step-00000001", rng={"python": [3, [1, 2], None]})
    with pytest.raises(DataError, match=r"parts do not fit together \(ValueError: state vector"):
        checkpoints.resume(small_state())
