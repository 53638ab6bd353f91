"""Whoever listens to a run is notified in order, and a run that cannot start loads nothing."""

import pytest
from helpers import make_config
from trainings import Stop

from mien.data.store import Store
from mien.errors import (
    AssetError,
    CheckpointError,
    ConfigError,
    StoreError,
    TrainingError,
)
from mien.training.experiment import train
from mien.training.listening import EpochRecord, RunListener, join_listeners
from mien.training.settings import TrainConfig

TOKENS = {"input": "transcript", "name": "e5-small"}


class Events(RunListener):
    """Writes down what it is notified of."""

    def __init__(self):
        self.events = []

    def __getattribute__(self, name):
        if not name.startswith("on_"):
            return super().__getattribute__(name)
        return lambda *facts: self.events.append((name, *facts))

    def names(self):
        """Names of the events, those that follow each other at once only one time."""
        names = [name for name, *_ in self.events]
        return [name for before, name in zip([None, *names], names, strict=False) if name != before]


@pytest.fixture
def unloaded(monkeypatch):
    """Nothing of a store but its description and clips can be read, and no model be loaded."""

    def refuse(*_, **__):
        pytest.fail("something heavy was loaded before the run was refused")

    monkeypatch.setattr(Store, "series", refuse)
    monkeypatch.setattr("mien.data.text.TextReader", refuse)
    monkeypatch.setattr("mien.training.seeds.seed_training.build", refuse)


@pytest.mark.parametrize(
    ("settings", "error", "sentence"),
    [
        ({"corpus": "mosi"}, ConfigError, "the settings are for corpus 'mosi'"),
        ({"features": {"video": "openface"}}, StoreError, "has no series 'openface'"),
        ({"text_encoder": {"input": "tokens"}}, ConfigError, "has no published token ids"),
        ({"text_encoder": TOKENS}, AssetError, "'e5-small' is not here; get it with"),
        ({"text_encoder": {**TOKENS, "name": "./no"}}, AssetError, "there is no such folder"),
        ({"train": {"device": "mps"}}, TrainingError, "'mps', which is not here"),
        (
            {"train": {"leftover": "drop", "accumulate": 99}},
            ConfigError,
            r"train\.leftover is 'drop'",
        ),
    ],
)
@pytest.mark.usefixtures("unloaded")
def test_settings_that_do_not_fit_are_refused_before_anything_is_loaded(
    tiny_store, tmp_path, monkeypatch, settings, error, sentence
):
    monkeypatch.setenv("MIEN_DATA", str(tmp_path / "data"))
    events = Events()
    with pytest.raises(error, match=sentence):
        train(make_config(**settings), tiny_store, tmp_path / "r", listener=events)
    assert events.events == []
    assert not (tmp_path / "r").exists()


@pytest.mark.usefixtures("unloaded")
def test_a_folder_that_cannot_be_taken_is_refused_before_anything_is_loaded(
    finished, tiny_store, tmp_path
):
    file = tmp_path / "file"
    file.write_text("mine", encoding="utf-8")
    events = Events()
    for out, error, sentence in (
        (finished, TrainingError, "already holds a run; use --resume"),
        (tmp_path, TrainingError, "exists and is not a run folder"),
        (file, TrainingError, "is a file, not a folder"),
        (file / "run", TrainingError, r"run: cannot be written \(.*\); give another --out"),
    ):
        with pytest.raises(error, match=sentence):
            train(make_config(), tiny_store, out, listener=events)
    with pytest.raises(CheckpointError, match="differs from the settings given now"):
        train(make_config(train={"epochs": 3}), tiny_store, finished, resume=True, listener=events)
    assert events.events == []
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_listener_is_notified_of_everything_in_order(tiny_store, tmp_path):
    events = Events()
    config = make_config(train={"epochs": 1, "seeds": [1, 2]})
    out = tmp_path / "r"
    train(config, tiny_store, out, listener=events)
    seed = ["on_seed", "on_step", "on_epoch", "on_stage", "on_seed_end"]
    assert events.names() == ["on_begin", "on_stage", *seed, *seed, "on_stage", "on_end"]
    _, plan = events.events[0]
    assert (plan.folder, plan.store, plan.config) == (out, tiny_store.path, config)
    assert (plan.seeds, plan.ended, plan.device, plan.text_encoder) == ((1, 2), (), "cpu", None)
    assert plan.num_clips == dict(tiny_store.meta.num_clips)
    assert [event[1:] for event in events.events if event[0] == "on_seed"] == [(1, 1, 2), (2, 2, 2)]
    stages = [what for name, what, *_ in events.events if name == "on_stage"]
    assert stages == [
        "loading the data",
        "evaluating seed 1",
        "evaluating seed 2",
        "computing intervals over clips",
    ]


def test_a_run_that_goes_on_says_which_seeds_and_epochs_it_has(tiny_store, tmp_path):
    config, out, events = make_config(train={"seeds": [1, 2]}), tmp_path / "r", Events()
    train(make_config(train={"seeds": [1]}), tiny_store, out)
    with pytest.raises(KeyboardInterrupt):
        train(config, tiny_store, out, resume=True, listener=Stop(1))
    train(config, tiny_store, out, resume=True, listener=events)
    assert events.events[0][1].ended == (1,)
    assert ("on_seed", 2, 2, 2) in events.events
    (resumed,) = [event[1] for event in events.events if event[0] == "on_resume"]
    assert [record.epoch for record in resumed] == [1]


def test_of_a_listener_of_another_class_the_methods_that_it_has_are_called():
    class OnlyEpochs:
        records = ()
        on_seed = "no method"

        def on_epoch(self, record, config):
            self.records += ((record, config),)

    mine, config = OnlyEpochs(), TrainConfig()
    record = EpochRecord(epoch=1, losses={}, valid={}, clipped=0.0, is_best=True, seconds=1.0)
    for listener in (join_listeners(mine), join_listeners(None)):
        listener.on_stage("loading the data")
        listener.on_seed(1, 1, 1)
        listener.on_step(1, 2, 3)
        listener.on_epoch(record, config)
    assert mine.records == ((record, config),)
