"""The same extraction on a Dask and on a Ray cluster of this machine, each of two workers."""

import fake_extractors
import pytest
from clusters import find_port
from extracting import bytes_of, run, write_folder

from mien.errors import ConfigError, ExtractionError


@pytest.fixture(autouse=True, scope="module")
def _fakes():
    remove = fake_extractors.register()
    yield
    remove()


NAMES = ("a", "nan", "b", "crash", "c", "once", "hang")
OPTIONS = {"max_skipped": 3, "time_limit": 10.0}  # one clip hangs; clusters are slow to start


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """What the same recordings give on this machine."""
    folder = tmp_path_factory.mktemp("here")
    source = write_folder(folder / "raw", *NAMES)
    run(source, folder / "store", **OPTIONS)
    return source, bytes_of(folder / "store")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning:ray")
def test_a_cluster_makes_the_same_store_and_survives_what_clips_do(here, cluster, tmp_path):
    source, expected = here
    (source / "once.mark").unlink()
    done = run(source, tmp_path / "store", jobs=2, **cluster, **OPTIONS)
    assert done.store is not None, done.skipped
    assert bytes_of(tmp_path / "store") == expected


@pytest.mark.parametrize(("backend", "package"), [("dask", "distributed"), ("ray", "ray")])
def test_a_cluster_needs_an_address(tmp_path, backend, package):
    pytest.importorskip(package)
    source = write_folder(tmp_path / "raw", "a")
    with pytest.raises(ConfigError, match=f"--address: the {backend} backend needs it, such as"):
        run(source, tmp_path / "store", backend=backend)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_where_no_dask_scheduler_is_that_is_said(tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("mien.processes.clusters.CONNECT_SECONDS", 2)
    source = write_folder(tmp_path / "raw", "a")
    address = f"tcp://127.0.0.1:{find_port()}"
    with pytest.raises(ExtractionError, match="no Dask scheduler answers"):
        run(source, tmp_path / "store", backend="dask", address=address)
