"""A tuning of a tiny model that the tests of this folder read; nothing alters it."""

import pytest
from helpers import make_config

from mien.tuning.space import read_space
from mien.tuning.tune import tune
from mien.tuning.tune_settings import Budget

SPACE = """
"train.loss.error" = ["absolute", "squared"]

[train.learning_rate.rest]
low = 1e-3
high = 1e-1
log = true
also = ["train.learning_rate.audio"]

["model.fusion_size"]
low = 4
high = 8
step = 2
"""


@pytest.fixture(scope="session")
def budget():
    return Budget(trials=8, seeds=(1, 2))


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """Settings of a tiny model whose trainings take a moment, and what is tried of it."""
    train = {"accumulate": 1, "batch_size": 10, "epochs": 1, "threads": 1}
    features = {"audio": "none", "video": "none"}
    config = make_config(labels={"generator": "copy"}, train=train, features=features)
    path = tmp_path_factory.mktemp("spaces") / "space.toml"
    path.write_text(SPACE, encoding="utf-8")
    return config, read_space(path, config)


@pytest.fixture(scope="session")
def tuned(tiny_store, model, budget, tmp_path_factory):
    """The report of a tuning that was not interrupted; do not alter."""
    out = tmp_path_factory.mktemp("tunings") / "tuned"
    return tune({"tiny": model}, tiny_store.path, out, budget=budget)


@pytest.fixture
def unpictured(monkeypatch):
    """Leave the figures of the page out, which take seconds to draw."""
    monkeypatch.setattr("mien.tuning.outcome.tuning_page.draw_tuned", lambda _: [])
