"""Two processes that train one model together learn what one process learns from the same batches.

They exchange tensors on this machine, by gloo. Sums are taken in another order, so numbers differ
by rounding; without dropout by nothing else.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import make_config
from sharing import make_once
from trainings import follow, make_trainer

from mien.config import dump_toml
from mien.errors import ConfigError
from mien.studies.study import run_study
from mien.training.experiment import train

#: With 14 clips the last batch of ``uneven`` has one, so that a process has none of it.
OPTIONS = {"even": {}, "uneven": {"batch_size": 13, "accumulate": 1, "missing": True}}
CASES = [("ulag", "even"), ("latent", "even"), ("human", "uneven")]
#: What make test leaves out.
MORE_CASES = [
    ("copy", "even"), ("distance", "even"), ("ulag_released", "even"), ("ulag", "uneven"),
    ("mug", "uneven"),
]  # fmt: skip
CONFIG = make_config(
    train={"epochs": 2, "threads": 1},
    labels={"generator": "latent", "folds": 2, "evidence_epochs": 1},
)
TOLERANCE = 2e-5

SCRIPT = """
import json
import sys
from pathlib import Path

import numpy as np
from test_data_parallel import OPTIONS
from trainings import Stop, follow, make_trainer

import mien.evaluation.bootstrap
import mien.reports.figures.run
from mien.cli import main
from mien.errors import MienError
from mien.training.optimizer import find_ranks
from mien.training.settings import TrainConfig

place, store, cases = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
ranks = find_ranks(TrainConfig(device="cpu", threads=1))
own = place / str(ranks.number)
own.mkdir()
for generator, kind in cases:
    name = f"{generator}-{kind}"
    trainer = make_trainer(own / name, generator=generator, ranks=ranks, **OPTIONS[kind])
    np.savez(place / f"{name}-{ranks.number}.npz", **follow(trainer))
try:
    make_trainer(own / name, generator=generator, ranks=ranks, **OPTIONS[kind]).resume()
except MienError as error:
    (place / f"error-{ranks.number}").write_text(str(error))
try:
    make_trainer(place / "parts", ranks=ranks).run(Stop(1))
except KeyboardInterrupt:
    ranks.wait()
trainer = make_trainer(place / "parts", ranks=ranks)
trainer.resume()
trainer.run()
mien.evaluation.bootstrap.RESAMPLES = 40
mien.reports.figures.run.draw_figures = lambda *_, **__: []
for number, words in enumerate((["--jobs", "2"], [])):
    run = ["train", str(place / "config.toml"), "--store", store, "--out", str(place / "run")]
    (place / f"code-{number}-{ranks.number}").write_text(str(main([*run, *words])))
"""


def start(number, place, script, words):
    with (place / f"printed-{number}").open("w") as printed:
        return subprocess.Popen(
            [sys.executable, str(script), *words],
            stdout=printed,
            stderr=subprocess.STDOUT,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(
                    [str(Path(__file__).parents[2] / "src"), *map(str, Path(__file__).parents[:2])]
                ),
                "RANK": str(number),
                "LOCAL_RANK": str(number),
                "WORLD_SIZE": "2",
                "MASTER_ADDR": "127.0.0.1",
                "OMP_NUM_THREADS": "1",
            },
        )


@pytest.fixture(scope="module")
def together(tiny_store, tmp_path_factory):
    """What two processes leave: see the script."""
    return make_once(
        tmp_path_factory, "together", lambda place: run_together(place, tiny_store, CASES)
    )


@pytest.fixture(scope="module")
def more_together(tiny_store, tmp_path_factory):
    """The same of more cases."""
    return make_once(
        tmp_path_factory, "more-together", lambda place: run_together(place, tiny_store, MORE_CASES)
    )


def run_together(place, store, cases):
    (place / "config.toml").write_text(dump_toml(CONFIG), encoding="utf-8")
    script = place / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    with socket.socket() as port, pytest.MonkeyPatch.context() as patch:
        port.bind(("127.0.0.1", 0))
        patch.setenv("MASTER_PORT", str(port.getsockname()[1]))
        port.close()
        words = [str(place), str(store.path), json.dumps(cases)]
        processes = [start(number, place, script, words) for number in range(2)]
    codes = [process.wait(300) for process in processes]
    assert codes == [0, 0], "\n".join((place / f"printed-{n}").read_text() for n in range(2))


def assert_same_as_alone(together, folder, generator, kind):
    name = f"{generator}-{kind}"
    alone = follow(make_trainer(folder / name, generator=generator, **OPTIONS[kind]))
    first, second = (np.load(together / f"{name}-{number}.npz") for number in range(2))
    assert set(alone) == set(first.files)
    assert len(alone["losses"]) == (15 if kind == "even" else 6)
    for key, value in alone.items():
        np.testing.assert_allclose(first[key], value, rtol=TOLERANCE, atol=TOLERANCE, err_msg=key)
        np.testing.assert_array_equal(first[key], second[key], err_msg=key)


@pytest.mark.slow
@pytest.mark.parametrize(("generator", "kind"), CASES)
def test_two_processes_learn_what_one_learns(together, tmp_path, generator, kind):
    assert_same_as_alone(together, tmp_path, generator, kind)


@pytest.mark.slow
@pytest.mark.extended
@pytest.mark.parametrize(("generator", "kind"), MORE_CASES)
def test_two_processes_learn_what_one_learns_of_other_labels(
    more_together, tmp_path, generator, kind
):
    assert_same_as_alone(more_together, tmp_path, generator, kind)


@pytest.mark.slow
def test_only_the_first_of_two_processes_writes_and_prints(together):
    for generator, kind in CASES:
        name = f"{generator}-{kind}"
        assert (together / "0" / name / "last.safetensors").is_file()
        assert list((together / "1" / name).iterdir()) == []
    assert not (together / "error-0").exists()
    assert "not seen by all processes" in (together / "error-1").read_text()
    assert (together / "printed-1").read_text() == ""
    assert (together / "printed-0").read_text().count("report: ") == 1


@pytest.mark.slow
def test_a_training_of_two_processes_goes_on_as_if_it_had_not_been_stopped(together):
    one, two = together / "0" / "ulag-even", together / "parts"
    for name in ("best.safetensors", "labels/epoch-003.npy"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    assert len((two / "epochs.jsonl").read_text().splitlines()) == 3


@pytest.mark.slow
def test_a_run_of_two_processes_has_the_numbers_of_one(together, tiny_store, tmp_path):
    assert [(together / f"code-1-{number}").read_text() for number in range(2)] == ["0", "0"]
    run = train(CONFIG, tiny_store, tmp_path / "run")
    metrics = json.loads((together / "run" / "seed-1" / "metrics.json").read_text())
    for split, tasks in run.seed(1).metrics()["splits"].items():
        for task, values in tasks.items():
            got = metrics["splits"][split][task]
            assert got == pytest.approx(values, rel=1e-4, abs=1e-5, nan_ok=True)
    environment = json.loads((together / "run" / "environment.json").read_text())
    assert environment.pop("processes") == 2
    assert environment == run.environment()
    alone = {p.relative_to(run.path) for p in run.path.rglob("*") if p.is_file()}
    assert alone <= {p.relative_to(together / "run") for p in (together / "run").rglob("*")}


@pytest.mark.slow
def test_seeds_are_not_trained_side_by_side_by_processes_that_train_together(together):
    assert [(together / f"code-0-{number}").read_text() for number in range(2)] == ["2", "2"]
    printed = (together / "printed-0").read_text()
    assert "2 processes train every seed together" in printed
    assert "leave --jobs and --backend out" in printed


def test_a_study_is_started_once(monkeypatch, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="start it once, with --jobs, and not by torchrun"):
        run_study("labels", tmp_path / "page")
    assert list(tmp_path.iterdir()) == []
