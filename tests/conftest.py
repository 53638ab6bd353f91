import gc
import os

import shape_checks  # before anything of mien

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test reaches a model hub

import cases
import helpers
import pytest
import torch
from clusters import cluster, stop_clusters  # noqa: F401  # a fixture
from hypothesis import settings

from mien.evaluation import bootstrap
from mien.reports.figures import style

RENDER, RESAMPLES = style.render_figure, bootstrap.RESAMPLES
torch.set_num_threads(1)
os.fsync = lambda _: None  # files survive the end of a process without it, not that of the machine
settings.register_profile("mien", deadline=None, max_examples=cases.ALL)
settings.register_profile("quick", deadline=None, max_examples=40)  # of make test
settings.load_profile("mien")


@pytest.hookimpl(wrapper=True)
def pytest_collect_file():
    """Look for doctests in the package only: tests have none."""
    return [node for node in (yield) if type(node) is pytest.Module]


def pytest_collection_modifyitems(items):
    """Begin with the tests on a cluster, so that one process runs them, and starts it once."""
    items.sort(key=lambda item: not _needs_cluster(item))


def pytest_itemcollected(item):
    """Refuse cases in a set: its order differs between processes, and all must collect alike."""
    for mark in item.iter_markers("parametrize"):
        cases = mark.args[1] if len(mark.args) > 1 else mark.kwargs.get("argvalues")
        if isinstance(cases, set | frozenset):
            raise pytest.UsageError(f"{item.nodeid}: give the cases as a list, not as a set")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Leave out what takes long and matters to few tests: they are marked.

    Figures are drawn to the last line in tests marked ``drawn``, and intervals are of as many
    resamples as users get in those marked ``resampled``; in the others a figure is a title, and
    intervals are of 40 resamples.
    """
    shape_checks.begin_test()
    is_drawn, is_resampled = map(item.get_closest_marker, ("drawn", "resampled"))
    style.render_figure = RENDER if is_drawn else helpers.outline
    bootstrap.RESAMPLES = RESAMPLES if is_resampled else 40


def pytest_runtest_teardown(nextitem):
    if not _needs_cluster(nextitem):
        stop_clusters()


def _needs_cluster(item):
    return "cluster" in getattr(item, "fixturenames", ())


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Keep the collector of cycles off what stays until the end: modules and tests."""
    gc.disable()
    result = yield
    gc.freeze()
    gc.enable()
    return result


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """Keep states that are computed once out of the user's own cache folder."""
    patch = pytest.MonkeyPatch()
    patch.setenv("MIEN_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


@pytest.fixture(scope="session")
def tiny_store(tmp_path_factory):
    """A store of 36 made clips with text states, audio, video and unimodal labels; do not alter."""
    return helpers.write_tiny_store(tmp_path_factory.mktemp("stores") / "tiny")


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory):
    """A folder with a random BERT of two layers and a WordPiece vocabulary of 60; do not alter."""
    return helpers.write_tiny_bert(tmp_path_factory.mktemp("encoders") / "tiny-bert")


@pytest.fixture(scope="session")
def shipped():
    """The model that ships with the package; do not alter."""
    import mien

    return mien.load("small")


@pytest.fixture(
    params=[
        "titles",
        pytest.param("whole", marks=[pytest.mark.drawn, pytest.mark.extended]),
    ]
)
def drawing(request):
    """How much is drawn of figures that others test: in make test their titles alone."""
    return request.param


@pytest.fixture
def undrawn(monkeypatch):
    """Leave the figures of a report out, which take seconds to draw and are tested elsewhere."""
    monkeypatch.setattr("mien.reports.figures.run.draw_figures", lambda *_, **__: [])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Write what is no Unicode as escapes: a process of tests ends where it cannot send a report.

    Paths that are no text are in what some tests print, more of it on a slow machine.
    """
    report = yield
    report.sections = [(title, as_text(content)) for title, content in report.sections]
    if report.longrepr is not None and as_text(str(report.longrepr)) != str(report.longrepr):
        report.longrepr = as_text(str(report.longrepr))
    return report


def as_text(content):
    return content.encode("utf-8", "backslashreplace").decode("utf-8")
