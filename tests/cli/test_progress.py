"""The live line: on a terminal alone, begun anew for every stage, gone at the end."""

import sys

import pytest

from mien.cli.progress import LiveLine


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)


def test_away_from_a_terminal_there_is_no_bar_and_moving_it_is_no_error(capsys):
    with LiveLine("working") as line:
        line.show(total=3)
        line.move(completed=1, beside="soon")
        assert not line.is_shown
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("terminal")
def test_on_a_terminal_the_bar_counts_and_says_what_stands_beside_it():
    with LiveLine("working", " clips") as line:
        line.show(total=3)
        assert line.is_shown
        line.move(completed=2, beside="0:05 left")
        shown = line.console
        with shown.capture() as captured:
            shown.print(line.bar.get_renderable())
    assert "working" in captured.get()
    assert "2/3 clips" in captured.get()
    assert "0:05 left" in captured.get()


@pytest.mark.usefixtures("terminal")
def test_a_stage_begins_the_bar_anew():
    with LiveLine("{task.description}") as line:
        line.show("first", total=3)
        line.move(completed=3, beside="done")
        line.show("second", total=5)
        (task,) = line.bar.tasks
        assert (task.description, task.completed, task.total) == ("second", 0, 5)
        assert task.fields["beside"] == ""
