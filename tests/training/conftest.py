import pytest
from helpers import (
    make_config,
    write_tiny_store,
)

from mien.training.experiment import train


@pytest.fixture(scope="session")
def finished(tiny_store, tmp_path_factory):
    """A run with one seed that was not interrupted; do not alter."""
    out = tmp_path_factory.mktemp("runs") / "finished"
    train(make_config(), tiny_store, out)
    return out


@pytest.fixture(scope="session")
def elsewhere(tmp_path_factory):
    """A store of other videos than those of the tiny store."""
    return write_tiny_store(tmp_path_factory.mktemp("stores") / "w", seed=5, video_prefix="w")
