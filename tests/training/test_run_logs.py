"""Logs for other programs have what the run folder has, once, whenever a run was stopped."""

import csv
import json
import os
import shutil
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import pytest
from helpers import make_config
from trainings import RATES, Stop, make_trainer

from mien.errors import ConfigError, TrainingError
from mien.training.experiment import train
from mien.training.listening import EpochRecord, join_listeners
from mien.training.run_folder import RunFolder
from mien.training.run_logs import open_log
from mien.training.run_logs.epoch_table import epoch_values, write_epoch_table
from mien.training.run_logs.mlflow_log import MlflowLog
from mien.training.run_logs.run_log import RunLog, final_values, flat_settings, take_times


def record(epoch, **others):
    return EpochRecord(
        **{"epoch": epoch, "losses": {"fusion": 0.5}, "valid": {"mae": 0.25}, "clipped": 0.0,
           "is_best": True, "seconds": 2.0, "learning_rates": {"rest": 0.001}, **others}
    )  # fmt: skip


def test_epochs_are_a_table_too(finished, tmp_path):
    with (finished / "seed-1" / "epochs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    epochs = RunFolder(finished).seed(1).epochs()
    assert len(rows) == len(epochs) == 2
    for row, epoch in zip(rows, epochs, strict=True):
        assert row["epoch"] == str(epoch["epoch"])
        assert row["is_best"] == str(int(epoch["is_best"]))
        assert float(row["loss/fusion"]) == epoch["losses"]["fusion"]
        assert float(row["valid/corr"]) == epoch["valid"]["corr"]
        assert float(row["learning_rate/rest"]) == epoch["learning_rates"]["rest"]
        assert float(row["seconds"]) == epoch["seconds"]
    old = record(2, valid={"mae": float("nan"), "corr": 1.0}, learning_rates={})
    write_epoch_table(tmp_path / "epochs.csv", [record(1), old])
    assert (tmp_path / "epochs.csv").read_text() == (
        "epoch,is_best,loss/fusion,valid/mae,learning_rate/rest,clipped,seconds,valid/corr\n"
        "1,1,0.5,0.25,0.001,0.0,2.0,\n"
        "2,1,0.5,nan,,0.0,2.0,1.0\n"
    )


def test_rates_that_change_are_those_of_the_last_step(tmp_path):
    trainer = make_trainer(tmp_path / "seed-1", schedule="linear", warmup=0.0)
    trainer.run()
    # 14 clips, 3 to a batch and 2 batches to a step: 3 steps an epoch, 9 in all
    assert {"audio", "video", "rest"} <= set(trainer.history[0].learning_rates)
    for epoch in trainer.history:
        rate = RATES["rest"] * (1 - 3 * epoch.epoch / 10)
        assert epoch.learning_rates == pytest.approx(dict.fromkeys(epoch.learning_rates, rate))


class Remembered(RunLog):
    """Remembers what a log is given, by seed."""

    def __init__(self):
        super().__init__()
        self.epochs, self.times, self.ends, self.opened = {}, {}, {}, []

    def open_run(self, folder, plan):
        self.opened.append((folder, plan.folder))

    def open_seed(self, plan, seed):
        assert plan.folder == seed.path.parent
        epochs = self.epochs.setdefault(seed.seed, [])
        times = self.times.setdefault(seed.seed, [])

        def add(records, at):
            epochs.extend(each.epoch for each in records)
            times.extend(at)

        def end(results, failure):
            self.ends[seed.seed] = results and results.best_epoch, failure

        return SimpleNamespace(add=add, end=end)


def test_final_values_are_those_of_the_best_epoch(finished):
    results = RunFolder(finished).seed(1).results()
    values = final_values(results)
    metrics = json.loads((finished / "seed-1" / "metrics.json").read_text())["splits"]
    assert values["final/test/fusion/mae"] == metrics["test"]["fusion"]["mae"]
    assert values["final/valid/audio/mae"] == metrics["valid"]["audio"]["mae"]
    assert all(name.startswith("final/") for name in values)


def test_settings_are_named_as_on_the_command_line():
    settings = flat_settings(make_config(train={"seeds": [3, 4], "epochs": 5}))
    assert settings["train.epochs"] == 5
    assert settings["train.seeds"] == "[3, 4]"
    assert settings["labels.generator"] == make_config().labels.generator
    assert all(isinstance(value, str | int | float) for value in settings.values())


def test_an_unknown_log_and_one_that_is_not_installed_are_refused(monkeypatch):
    with pytest.raises(ConfigError, match=r"--log 'tensorbord': did you mean 'tensorboard'\?"):
        open_log("tensorbord")
    monkeypatch.setattr("mien.errors.find_spec", lambda _: None)
    for name, package in (("tensorboard", "tensorboard"), ("mlflow", "mlflow")):
        with pytest.raises(ConfigError, match=rf"{package}' is not installed.*\[{name}\]"):
            open_log(name)


def copy_run(finished, tmp_path):
    """A run that has ended, with its settings, and a listener of it has nothing but logs to do."""
    return shutil.copytree(finished, tmp_path / "run")


def test_tensorboard_shows_every_number_once(finished, tiny_store, tmp_path):
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out = copy_run(finished, tmp_path)
    for _ in range(2):
        with open_log("tensorboard") as log:
            train(make_config(), tiny_store, out, resume=True, listener=log)
    folder = out / "tensorboard" / "seed-1"
    assert len(list(folder.iterdir())) == 1
    events = EventAccumulator(str(folder))
    events.Reload()
    epochs = RunFolder(out).seed(1).epochs()
    for name, read in {
        "loss/audio": lambda epoch: epoch["losses"]["audio"],
        "valid/mae": lambda epoch: epoch["valid"]["mae"],
        "learning_rate/rest": lambda epoch: epoch["learning_rates"]["rest"],
        "seconds": lambda epoch: epoch["seconds"],
    }.items():
        points = events.Scalars(name)
        assert [point.step for point in points] == [1, 2]
        assert [p.value for p in points] == pytest.approx([read(e) for e in epochs], rel=1e-6)
    results = RunFolder(out).seed(1).results()
    (final,) = events.Scalars("final/test/fusion/mae")
    assert final.step == results.best_epoch
    assert final.value == pytest.approx(results.splits["test"]["fusion"]["mae"], rel=1e-6)
    started = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert b"train.learning_rate.rest" in started


class Server:
    """Remembers what it is sent, as MLflow's tracking server does.

    Args:
        failing: Names of what it cannot do.
    """

    def __init__(self, failing=()):
        self.runs, self.failing, self.requests, self.uris = {}, set(failing), [], []

    def __call__(self, tracking_uri):
        self.uris.append(tracking_uri)
        return self

    def __getattribute__(self, name):
        if name in ("runs", "failing", "requests", "uris") or name.startswith("__"):
            return super().__getattribute__(name)
        self.requests.append(name)
        if name in self.failing:
            raise ServerError("the server is away. It may come back\nat some time")
        return super().__getattribute__(name)

    def get_experiment_by_name(self, name):
        assert name == "mien"

    def create_experiment(self, name, artifact_location=None):
        assert (name, artifact_location is None) == ("mien", self.uris[-1] == "http://here")
        return "7"

    def create_run(self, experiment, run_name, tags):
        run = f"run-{len(self.runs)}"
        self.runs[run] = SimpleNamespace(
            name=run_name, tags=dict(tags), params={}, points=[], status="RUNNING", run_id=run
        )
        assert experiment == "7"
        return SimpleNamespace(info=self.runs[run])

    def get_run(self, run):
        if run not in self.runs:
            raise ServerError("no such run", "RESOURCE_DOES_NOT_EXIST")
        names = {metric.key: metric.value for metric in self.runs[run].points}
        return SimpleNamespace(data=SimpleNamespace(metrics=names))

    def update_run(self, run, status):
        self.runs[run].status = status

    def log_batch(self, run, metrics=(), params=()):
        assert len(params) <= 100
        self.runs[run].points += metrics
        self.runs[run].params |= {param.key: param.value for param in params}

    def get_metric_history(self, run, name):
        return [metric for metric in self.runs[run].points if metric.key == name]

    def set_tag(self, run, name, text):
        self.runs[run].tags[name] = text

    def set_terminated(self, run, status):
        self.runs[run].status = status

    def steps(self, run, name):
        return [metric.step for metric in self.runs[run].points if metric.key == name]


class ServerError(Exception):
    def __init__(self, message, error_code="INTERNAL_ERROR"):
        super().__init__(message)
        self.error_code = error_code


@pytest.fixture
def server(monkeypatch):
    """A server in the place of MLflow, at an address that the user named."""
    server = Server()
    modules = {name: ModuleType(name) for name in ("mlflow", "mlflow.entities")}
    mlflow, entities = modules.values()
    mlflow.__spec__ = ModuleSpec("mlflow", None)
    mlflow.MlflowClient = server
    mlflow.is_tracking_uri_set = lambda: True
    mlflow.get_tracking_uri = lambda: "http://here"
    mlflow.exceptions = modules["mlflow.exceptions"] = ModuleType("mlflow.exceptions")
    mlflow.exceptions.MlflowException = ServerError
    entities.Param = lambda key, value: SimpleNamespace(key=key, value=value)
    entities.Metric = lambda key, value, timestamp, step: SimpleNamespace(
        key=key, value=value, timestamp=timestamp, step=step
    )
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr("mien.training.run_logs.mlflow_log.require", lambda *_, **__: None)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "")
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY")
    monkeypatch.setenv("MLFLOW_LOGGING_LEVEL", "ERROR")
    return server


def test_what_an_earlier_start_did_is_logged_once(server, tiny_store, tmp_path):
    config, out = make_config(train={"seeds": [1, 2], "epochs": 3, "patience": 3}), tmp_path / "r"
    stopped, log = Remembered(), MlflowLog()
    listener = join_listeners(stopped, log, Stop(2, seed_number=2))
    with pytest.raises(KeyboardInterrupt), stopped, log:
        train(config, tiny_store, out, listener=listener)
    assert stopped.epochs == {1: [1, 2, 3], 2: [1, 2]}
    best = RunFolder(out).seed(1).results().best_epoch
    assert stopped.ends == {1: (best, None), 2: (None, None)}
    assert stopped.opened == [(out, out)]
    run, *seeds = server.runs.values()
    assert [run.name, *(seed.name for seed in seeds)] == ["r", "r/seed-1", "r/seed-2"]
    assert all(seed.tags["mlflow.parentRunId"] == run.run_id for seed in seeds)
    assert [run.status, *(seed.status for seed in seeds)] == ["KILLED", "FINISHED", "KILLED"]
    assert server.steps(seeds[1].run_id, "valid/mae") == [1, 2]
    with Remembered() as after, MlflowLog() as log:
        train(config, tiny_store, out, resume=True, listener=join_listeners(after, log))
    assert after.epochs == {1: [1, 2, 3], 2: [1, 2, 3]}  # a log that begins anew has all of them
    assert [logged.status for logged in server.runs.values()] == ["FINISHED"] * 3
    for seed, folder in zip(seeds, RunFolder(out).seeds, strict=True):
        assert_logged(seed, folder)
    means = {(point.key, point.step): point.value for point in run.points}
    mae = RunFolder(out).results().splits["test"]["fusion"]["mae"]
    assert means["final/test/fusion/mae", 2] == mae.mean
    assert means["final/test/fusion/mae/deviation", 2] == mae.deviation


def assert_logged(logged, folder):
    """A seed in MLflow has every number of its epochs, and of its evaluation, exactly once."""
    values = {(point.key, point.step): point.value for point in logged.points}
    assert len(values) == len(logged.points)
    results = folder.results()
    expected = {(n, results.best_epoch): v for n, v in final_values(results).items()}
    for line in folder.epochs():
        named = epoch_values(EpochRecord(**line))
        expected |= {(name, line["epoch"]): value for name, value in named.items()}
    assert values == expected
    assert logged.params["train.epochs"] == "3"


def test_epochs_before_the_last_end_as_long_before_as_later_ones_took(finished):
    seed = RunFolder(finished).seed(1)
    written = (seed.path / "epochs.jsonl").stat().st_mtime
    times = take_times(seed, [record(1, seconds=5.0), record(2, seconds=2.5), record(3)])
    assert times == pytest.approx([written - 4.5, written - 2.0, written])


def test_a_server_that_is_not_there_is_named_before_training(server, tiny_store, tmp_path):
    server.failing.add("get_experiment_by_name")
    sentence = (
        r"^mlflow: the tracking server cannot be used \(the server is away\. It may come back"
    )
    with pytest.raises(TrainingError, match=sentence), MlflowLog() as log:
        train(make_config(), tiny_store, tmp_path / "r", listener=log)
    assert not (tmp_path / "r").exists()


def test_a_server_that_fails_does_not_end_a_training(
    server, finished, tiny_store, tmp_path, caplog
):
    out = copy_run(finished, tmp_path)
    server.failing.add("log_batch")
    with MlflowLog() as log:
        train(make_config(), tiny_store, out, resume=True, listener=log)
    (warning,) = (each for each in caplog.records if each.message.startswith("mlflow: "))
    assert "the server is away" in warning.message
    assert "--resume --log mlflow logs what is missing" in warning.message
    assert server.requests.count("log_batch") == 1  # it is not asked again
    server.failing.clear()
    with MlflowLog() as log:
        train(make_config(), tiny_store, out, resume=True, listener=log)
    (seed,) = (run for run in server.runs.values() if run.name == "run/seed-1")
    assert server.steps(seed.run_id, "valid/mae") == [1, 2]


def test_without_an_address_nothing_leaves_the_run_folder(server, finished, tiny_store, tmp_path):
    sys.modules["mlflow"].is_tracking_uri_set = lambda: False
    out = copy_run(finished, tmp_path)
    with MlflowLog() as log:
        train(make_config(), tiny_store, out, resume=True, listener=log)
    assert set(server.uris) == {f"sqlite:///{out.resolve()}/mlflow/mlflow.db"}
    assert (out / "mlflow").is_dir()
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The ``noload`` loader")  # SQLAlchemy's, of what MLflow does
def test_the_real_mlflow_has_every_number_once(finished, tiny_store, tmp_path, monkeypatch):
    pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    import mlflow

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    out = copy_run(finished, tmp_path)
    for _ in range(2):
        with MlflowLog() as log:
            train(make_config(), tiny_store, out, resume=True, listener=log)
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{out}/mlflow/mlflow.db")
    experiment = client.get_experiment_by_name("mien").experiment_id
    runs = {run.info.run_name: run for run in client.search_runs([experiment])}
    assert sorted(runs) == ["run", "run/seed-1"]
    seed = runs["run/seed-1"]
    history = client.get_metric_history(seed.info.run_id, "valid/mae")
    assert [point.step for point in history] == [1, 2]
    assert [point.value for point in history] == [
        epoch["valid"]["mae"] for epoch in RunFolder(out).seed(1).epochs()
    ]
    assert seed.data.tags["mlflow.parentRunId"] == runs["run"].info.run_id
    assert seed.data.params["train.epochs"] == "2"
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
