"""What is computed once and kept."""

import threading

import pytest

from mien.files.cache import locked, versions_of
from mien.files.source_code import code_fingerprint


def test_versions_are_those_that_are_installed():
    import torch

    assert versions_of("torch", "filelock").keys() == {"torch", "filelock"}
    assert torch.__version__.startswith(versions_of("torch")["torch"])


def test_of_two_that_compute_the_same_one_waits(tmp_path, caplog):
    caplog.set_level("INFO", logger="mien")
    path, done = tmp_path / "new" / "entry", []

    def compute():
        with locked(path):
            done.append("second")

    with locked(path):
        other = threading.Thread(target=compute)
        other.start()
        while other.is_alive() and "waiting for another process" not in caplog.text:
            other.join(timeout=0.01)
        done.append("first")
    other.join()
    assert done == ["first", "second"]
    assert f"waiting for another process that computes the same: {path}" in caplog.text


def test_a_lock_ends_with_an_error(tmp_path):
    with pytest.raises(KeyboardInterrupt), locked(tmp_path / "entry"):
        raise KeyboardInterrupt
    with locked(tmp_path / "entry"):
        pass


def test_the_code_of_states_is_little_so_that_they_are_seldom_computed_anew():
    from mien.files.source_code import modules_of

    assert {"mien.data.text_states", "mien.pretrained.text_encoder", "mien.tensors"} <= set(
        modules_of("mien.data.text_states")
    )
    assert len(modules_of("mien.data.text_states")) <= 22
    assert {"mien.labels.latent", "mien.training.loop", "mien.models.late_fusion"} <= set(
        modules_of("mien.training.out_of_fold")
    )
    assert code_fingerprint("mien.data.text_states") != code_fingerprint(
        "mien.training.out_of_fold"
    )
