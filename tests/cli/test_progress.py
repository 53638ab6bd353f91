"""The live line: a bar on a terminal, lines elsewhere; begun anew for every stage."""

import logging
import re
import sys
import time

import pytest

from mien.cli.progress import ExtractionProgress, LiveLine, PredictionProgress, StudyProgress
from mien.extraction.processes.supervisor import ClipOutcome


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)


@pytest.fixture
def impatient(monkeypatch):
    """What is being done is said at once where there is no terminal."""
    monkeypatch.setattr("mien.cli.progress.live_line.QUIET_SECONDS", 0.01)


def lines_until(capsys, pattern):
    """Return what was printed on stderr up to something that another thread prints."""
    text, end = "", time.monotonic() + 60
    while not re.search(pattern, text):
        assert time.monotonic() < end, text
        text += capsys.readouterr().err
    return text


def test_away_from_a_terminal_there_is_no_bar_and_moving_it_is_no_error(capsys):
    with LiveLine() as line:
        line.show("working", total=3)
        line.move(completed=1, beside="soon")
        assert not line.is_shown
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("impatient")
def test_away_from_a_terminal_a_line_says_now_and_then_what_is_being_done(capsys):
    with LiveLine(" clips") as line:
        line.show("working", total=3000)
        line.move(completed=1200, beside="soon")
        lines_until(capsys, r"working, 1,200 of 3,000 clips, 0:0\d so far, soon\n")
        line.show("loading", total=None)
        lines_until(capsys, r"\nloading, 0:0\d so far\n")
    capsys.readouterr()
    time.sleep(0.05)
    assert capsys.readouterr().err == ""


def test_a_name_is_shown_as_it_is_but_steers_no_terminal(capsys):
    with LiveLine() as line:
        line.print("[red]a[/red] :smile: \x1b[2Jb")
        line.wait("reading [b]")
    assert capsys.readouterr().err == "[red]a[/red] :smile: \\x1b[2Jb\nreading [b]\n"


@pytest.mark.usefixtures("terminal")
def test_on_a_terminal_the_bar_counts_and_says_what_stands_beside_it():
    with LiveLine(" clips") as line:
        line.show("working", total=3)
        assert line.is_shown
        line.move(completed=2, beside="0:05 left [b]")
        shown = line.console
        with shown.capture() as captured:
            shown.print(line.bar.get_renderable())
    assert "working" in captured.get()
    assert "2/3 clips" in captured.get()
    assert "0:05 left [b]" in captured.get()


@pytest.mark.usefixtures("terminal")
def test_what_has_no_end_that_is_known_is_not_counted():
    with LiveLine(" clips") as line:
        line.wait("loading the data")
        with line.console.capture() as captured:
            line.console.print(line.bar.get_renderable())
    assert "loading the data" in captured.get()
    assert "clips" not in captured.get()
    assert "/" not in captured.get()


@pytest.mark.usefixtures("terminal")
def test_a_stage_begins_the_bar_anew():
    with LiveLine() as line:
        line.show("first", total=3)
        line.move(completed=3, beside="done")
        line.show("second", total=5)
        (task,) = line.bar.tasks
        assert (task.description, task.completed, task.total) == ("second", 0, 5)
        assert task.fields["beside"] == ""


@pytest.mark.usefixtures("terminal")
def test_the_log_goes_above_the_bar_and_back_to_where_it_went(monkeypatch):
    handler = logging.StreamHandler(sys.__stderr__)
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes this stderr for a terminal, too
    with LiveLine() as line:
        line.show("working", total=3)
        assert handler.stream is sys.stderr
        assert handler.stream is not sys.__stderr__
    assert handler.stream is sys.__stderr__


@pytest.mark.usefixtures("impatient")
def test_a_study_shows_what_it_trains_of_how_many(capsys):
    with StudyProgress() as progress:
        progress.on_stage("study: runs", 3)
        progress.on_start("mosi, base, seed 1")
        progress.on_start("mosi, other, seed 1")
        text = lines_until(capsys, r"study: runs, 0 of 3, .*now: mosi, base, seed 1; mosi, other")
        assert text.startswith("study: runs: 3\n")
        progress.on_done("mosi, base, seed 1: finished")
        progress.on_start("mosi, base, seed 2")
        text = lines_until(capsys, r"1 of 3, .*now: mosi, other, seed 1; mosi, base, seed 2\n")
        assert re.search(r"^1/3  mosi, base, seed 1: finished  about 0:0\d left$", text, re.M)


def make_outcome(state="done"):
    return ClipOutcome(state=state, seconds=2.0)


@pytest.mark.usefixtures("impatient")
def test_an_extraction_says_how_many_clips_are_done(capsys):
    with ExtractionProgress() as progress:
        progress.on_begin(1003, 1000)
        progress.on_clip(make_outcome())
        text = lines_until(capsys, r"extracting, 1,001 of 1,003 clips, .* about 0:0\d left\n")
        assert text.startswith("extracting 1,003 clips, 1,000 of them are done already\n")
        progress.on_clip(make_outcome())
        progress.on_clip(make_outcome("failed"))
        text = lines_until(capsys, r"writing the store, ")
        assert re.search(r"^1,003 of 1,003 clips in 0:0\d, .* real time, 1 skipped$", text, re.M)


@pytest.mark.usefixtures("impatient")
def test_a_prediction_says_how_far_it_is(capsys):
    with PredictionProgress("clip.mp4") as progress:
        progress.on_audio(3.0)
        lines_until(capsys, r"listening to clip\.mp4, 0:0\d so far, 0:03 heard\n")
        progress.on_cut(4, 20.0)
        progress.on_answer(1, 5.0)
        lines_until(capsys, r"predicting clip\.mp4, 1 of 4 utterances, .*0:05 of 0:20, about")
