"""Seeds trained side by side are the same, byte for byte, as one after the other."""

import logging
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import make_config
from trainings import assert_same_run

from mien.errors import CheckpointError, ConfigError
from mien.training.experiment import train
from mien.training.listening import RunListener

SEEDS = (1, 2, 3)
CONFIG = make_config(
    train={"seeds": SEEDS, "epochs": 1, "threads": 1},
    labels={"generator": "latent", "folds": 2, "evidence_epochs": 1},
)


@pytest.fixture(scope="session")
def in_turn(tiny_store, tmp_path_factory):
    """A run whose seeds were trained one after the other; do not alter."""
    out = tmp_path_factory.mktemp("runs") / "in-turn"
    train(CONFIG, tiny_store, out)
    return out


class Notes(RunListener):
    """Writes down what a run with several jobs reports."""

    def __init__(self):
        self.begun, self.epochs, self.ended, self.jobs = [], [], [], None

    def on_begin(self, plan):
        self.jobs = plan.jobs

    def on_seed(self, seed, number, total):
        self.begun.append((seed, number, total))

    def on_seed_epoch(self, seed, record, config):
        assert seed in [begun for begun, *_ in self.begun]
        self.epochs.append((seed, record.epoch, config.epochs))

    def on_seed_end(self, seed, number, total):
        self.ended.append((seed, number, total))


def assert_same(first, second):
    assert_same_run(first, second, SEEDS)
    for name in ("config.toml", "environment.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    assert {p.name for p in first.iterdir()} == {p.name for p in second.iterdir()}


@pytest.mark.slow
def test_ctrl_c_ends_the_processes(tiny_store, tmp_path):
    class Interrupt(RunListener):
        children = ()

        def on_seed_epoch(self, *_):
            self.children = multiprocessing.active_children()
            raise KeyboardInterrupt

    interrupt, out = Interrupt(), tmp_path / "run"
    copies = make_config(train={"seeds": SEEDS, "epochs": 1}, labels={"generator": "copy"})
    with pytest.raises(KeyboardInterrupt):
        train(copies, tiny_store, out, jobs=2, listener=interrupt)
    assert len(interrupt.children) == 2
    assert multiprocessing.active_children() == []


SCRIPT = """
import multiprocessing, sys, time
from pathlib import Path
from mien.training.experiment import train
from mien.training.listening import RunListener

class Stay(RunListener):
    def on_seed_epoch(self, seed, record, config):
        pids = [child.pid for child in multiprocessing.active_children()]
        print(*pids, flush=True)
        time.sleep(600)

if __name__ == "__main__":
    train(sys.argv[1], sys.argv[2], sys.argv[3], jobs=2, listener=Stay())
"""


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.extended
@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
def test_a_run_goes_on_after_it_was_killed_and_after_a_seed_failed(
    in_turn, tiny_store, tmp_path, monkeypatch, caplog
):
    """Processes end with a run that is killed; a seed that fails is named, and the rest is kept."""
    caplog.set_level(logging.INFO, "mien")
    script, out = tmp_path / "script.py", tmp_path / "run"
    script.write_text(SCRIPT, encoding="utf-8")
    words = [sys.executable, str(script), str(in_turn / "config.toml"), str(tiny_store.path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    with subprocess.Popen([*words, str(out)], stdout=subprocess.PIPE, env=environment) as run:
        pids = [int(pid) for pid in run.stdout.readline().split()]
        run.send_signal(signal.SIGKILL)
    assert len(pids) == 2
    end = time.monotonic() + 30
    while any(map(is_running, pids)):
        assert time.monotonic() < end
        time.sleep(0.05)
    shutil.rmtree(out / "seed-2", ignore_errors=True)
    damaged = out / "seed-2" / "last.safetensors"
    damaged.parent.mkdir()
    damaged.write_bytes(b"no checkpoint")
    with pytest.raises(CheckpointError, match=r"^seed 2: .*last\.safetensors"):
        train(CONFIG, tiny_store, out, resume=True, jobs=2)
    assert multiprocessing.active_children() == []
    damaged.unlink()
    notes = Notes()
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))  # there is no evidence in it
    train(CONFIG, tiny_store, out, resume=True, jobs=2, listener=notes)
    assert_same(in_turn, out)
    assert notes.jobs == 2
    assert [seed for seed, *_ in notes.begun] == sorted(seed for seed, *_ in notes.ended)
    assert (2, 2, 3) in notes.begun
    assert (2, 1, 1) in notes.epochs
    assert any(text.startswith("seed 3: evidence: ") for text in caplog.messages)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning:ray")
def test_a_cluster_trains_the_same_seeds(in_turn, tiny_store, tmp_path, cluster):
    notes = Notes()
    train(CONFIG, tiny_store, tmp_path / "run", jobs=2, listener=notes, **cluster)
    assert_same(in_turn, tmp_path / "run")
    assert notes.begun == [(1, 1, 3), (2, 2, 3), (3, 3, 3)]
    assert sorted(notes.ended) == notes.begun


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"jobs": 0}, "jobs is 0, must be at least 1"),
        ({"address": "here:1"}, "--address: is for --backend dask or ray; leave it out"),
    ],
)
def test_jobs_that_cannot_be_are_refused(tiny_store, tmp_path, options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        train(CONFIG, tiny_store, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()
