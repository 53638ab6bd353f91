"""The notes below figures of studies: how intervals are drawn, and what was resampled."""

import pytest

from mien.evaluation.significance import MetricResults, SourceResults
from mien.reports.figures.style import make_figure
from mien.studies import figures
from mien.studies.results.values import CorpusResults, ScoreResults


def make_corpus(**counts):
    source = SourceResults(mean=0.5, deviation=None, values=(0.5,), low=0.4, high=0.6, less={})
    metrics = {"mae": {"a": source}, "corr": {"a": source}}
    fusion = MetricResults(metrics=metrics, **counts)
    return CorpusResults(
        corpus="mine",
        is_synthetic=False,
        planted=None,
        fingerprint="",
        num_clips={"test": counts["num_clips"]},
        num_videos={},
        seeds=(1,),
        sweep=None,
        at=None,
        variants={},
        scores=ScoreResults(family="mosi", splits={"test": {"fusion": fusion}}, best_on_valid=None),
    )


@pytest.fixture
def notes(monkeypatch):
    """What stands below the figures that are drawn, which are not written."""
    noted = []

    def draw(_panels, _names, title, note):
        noted.append(note)
        return make_figure(title, 1.0, 1.0)

    monkeypatch.setattr(figures, "draw_intervals", draw)
    monkeypatch.setattr(figures, "draw_lines", draw)
    monkeypatch.setattr(figures, "save_figure", lambda *_: None)
    return noted


def test_a_figure_of_scores_names_what_its_intervals_rest_on(notes, tmp_path):
    """Whole videos stood below intervals by speakers, and below those by clips."""
    for num_clusters, unit in ((5, "speaker"), (5, "video"), (40, "video")):
        corpus = make_corpus(num_clips=40, num_clusters=num_clusters, unit=unit)
        figures.draw_corpus("mine", corpus, tmp_path)
    assert ["by whole speakers" in notes[0], "by whole videos" in notes[1]] == [True, True]
    assert "by clips" in notes[2]
    assert all(note.startswith("bars: 95 % intervals") for note in notes)


def test_the_intervals_of_a_sweep_are_bands(notes, tmp_path):
    """They were called bars."""
    points = [(at, make_corpus(num_clips=40, num_clusters=5)) for at in (0.1, 0.2)]
    figures.draw_sweep("noise", "noise", points, ["a"], tmp_path)
    assert notes
    assert all(note.startswith("bands: 95 % intervals") for note in notes)
