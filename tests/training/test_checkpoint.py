import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mien.errors import CheckpointError
from mien.files.atomic import write_text
from mien.training.checkpoints.checkpoint import (
    join_states,
    load_weights,
    read_header,
    read_tensors,
    split_states,
    write_tensors,
)

TENSORS = {
    "a/float": torch.tensor([[1.5, float("nan")], [float("inf"), -0.0]]),
    "a/half": torch.ones(2, dtype=torch.bfloat16),
    "b/double": torch.tensor(1 / 3, dtype=torch.float64),
    "b/whole": torch.tensor([1, 2**40]),
    "b/truth": torch.tensor([True, False]),
    "b/empty": torch.zeros(0, 3),
}
HEADER = {"epoch": 3, "valid": {"mae": 0.1234567890123456}, "name": "心情", "none": None}


def assert_equal(found, wanted):
    assert found.keys() == wanted.keys()
    for key, tensor in wanted.items():
        assert found[key].dtype == tensor.dtype
        assert torch.equal(found[key].nan_to_num(7), tensor.nan_to_num(7))


def test_tensors_and_header_come_back_as_they_were(tmp_path):
    write_tensors(tmp_path / "x.safetensors", TENSORS, HEADER)
    assert_equal(read_tensors(tmp_path / "x.safetensors"), TENSORS)
    assert read_header(tmp_path / "x.safetensors") == HEADER


def test_the_same_tensors_are_the_same_bytes(tmp_path):
    for name in ("x", "y"):
        write_tensors(tmp_path / name, TENSORS, HEADER)
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()


def test_views_and_tensors_that_need_a_gradient_are_written_as_their_values(tmp_path):
    whole = torch.arange(12.0).reshape(3, 4).requires_grad_()
    write_tensors(tmp_path / "x", {"view": whole.T, "row": whole[1]}, {})
    found = read_tensors(tmp_path / "x")
    assert torch.equal(found["view"], whole.detach().T)
    assert torch.equal(found["row"], whole.detach()[1])


def test_joined_states_are_told_apart_again():
    modules = {"model": nn.Linear(2, 1), "objective": nn.BatchNorm1d(2)}
    joined = join_states(modules)
    for name, module in modules.items():
        assert_equal(split_states(joined, name), dict(module.state_dict()))


@pytest.mark.parametrize("write", [
    lambda path: write_text(path, "new"),
    lambda path: write_tensors(path, TENSORS, {}),
], ids=["text", "tensors"])  # fmt: skip
def test_a_kill_while_writing_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, write):
    path = tmp_path / "file"
    path.write_text("old", encoding="utf-8")

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(path)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert path.read_text(encoding="utf-8") == "old"


def test_files_are_readable_by_others_as_the_user_would_expect(tmp_path):
    write_text(tmp_path / "a", "x")
    write_tensors(tmp_path / "b", TENSORS, {})
    assert {oct((tmp_path / n).stat().st_mode & 0o777) for n in "ab"} == {"0o644"}


# --- files that are not what they should be -------------------------------------------------------


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    for read in (read_header, read_tensors):
        with pytest.raises(CheckpointError, match=r"none\.safetensors: is not there"):
            read(tmp_path / "none.safetensors")


class Bomb:
    def __reduce__(self):
        return (open, ("/nowhere/mien-was-here", "w"))


BROKEN = {
    "empty": b"",
    "text": b"hello",
    "pickle": pickle.dumps({"w": Bomb()}),
    "a header that is too long": (1 << 60).to_bytes(8, "little") + b"{}",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_damaged_file_is_an_error_and_runs_no_code(tmp_path, kind):
    path = tmp_path / "x.safetensors"
    path.write_bytes(BROKEN[kind])
    for read in (read_header, read_tensors):
        with pytest.raises(CheckpointError, match=r"x\.safetensors: is (damaged or )?not safe"):
            read(path)


def test_a_file_cut_short_is_an_error(tmp_path):
    path = tmp_path / "x.safetensors"
    write_tensors(path, TENSORS, HEADER)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(CheckpointError, match=r"is damaged or not safetensors"):
        read_tensors(path)


def test_a_folder_is_no_checkpoint(tmp_path):
    for read in (read_header, read_tensors):
        with pytest.raises(CheckpointError, match=r": is a folder; expected a file"):
            read(tmp_path)


@pytest.mark.parametrize(
    "metadata", [None, {"format": "pt"}, {"mien": "not json"}, {"mien": json.dumps([1])}]
)
def test_tensors_that_another_program_wrote_are_no_checkpoint(tmp_path, metadata):
    save_file({"w": torch.ones(1)}, tmp_path / "x", metadata=metadata)
    with pytest.raises(CheckpointError, match=r"x: is not a checkpoint of mien"):
        read_header(tmp_path / "x")


def test_weights_must_fit_the_model_exactly():
    module = nn.Linear(2, 1)
    state = dict(module.state_dict())
    with pytest.raises(CheckpointError, match=r"f: lacks 'bias', so it does not fit the model"):
        load_weights(module, {"weight": state["weight"]}, "f")
    with pytest.raises(CheckpointError, match=r"f: has 'other', so it does not fit the model"):
        load_weights(module, {**state, "other": torch.ones(1)}, "f")
    with pytest.raises(
        CheckpointError, match=r"f: 'weight' is \(1, 3\), the model .* has \(1, 2\)"
    ):
        load_weights(module, {**state, "weight": torch.ones(1, 3)}, "f")


def test_nothing_is_loaded_from_weights_that_do_not_fit():
    module = nn.Linear(2, 1)
    before = {k: v.clone() for k, v in module.state_dict().items()}
    with pytest.raises(CheckpointError):
        load_weights(module, {"weight": torch.ones(1, 2), "bias": torch.ones(2)}, "f")
    assert_equal(dict(module.state_dict()), before)
