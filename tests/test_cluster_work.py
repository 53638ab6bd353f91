"""A piece of work of a cluster is done in a process that ends with who waits for it."""

import os
import pickle
import threading
import time

import pytest

from mien.processes.cluster_work import run_in_process


def answer(work, item, presence):
    return pickle.loads(run_in_process(pickle.dumps((work, item)), str(presence)))


@pytest.fixture
def presence(tmp_path):
    (tmp_path / "presence").touch()
    return tmp_path / "presence"


def test_what_work_returns_raises_or_prints_is_kept_apart(presence):
    assert answer(abs, -3, presence) == (True, 3)
    is_done, error = answer(int, "three", presence)
    assert not is_done
    assert isinstance(error, ValueError)
    assert answer(print, "disturbs nobody", presence) == (True, None)


def test_a_process_that_is_killed_is_a_sentence(presence):
    is_done, error = answer(os._exit, 9, presence)
    assert not is_done
    assert "was killed, perhaps because memory ran out; go on with fewer --jobs" in str(error)


def test_work_ends_when_nobody_waits_for_it(presence):
    timer = threading.Timer(0.5, presence.unlink)
    timer.start()
    is_done, _ = answer(time.sleep, 600, presence)
    timer.join()
    assert not is_done  # it did not sleep to its end


def test_a_machine_that_does_not_see_the_folder_says_so(tmp_path):
    is_done, error = answer(abs, -3, tmp_path / "elsewhere" / "presence")
    assert not is_done
    assert "elsewhere: a machine of the cluster does not see this folder" in str(error)
