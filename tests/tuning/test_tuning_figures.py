"""The figures of a tuning: every trial is in them, and colours mean what is said."""

import dataclasses

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from mien.tuning.outcome.trial_records import TrialRecord
from mien.tuning.outcome.tuning_figures import draw_tuned
from mien.tuning.trial_training import Goal

pytestmark = pytest.mark.drawn


def lightness(line):
    return float(np.dot(to_rgb(line.get_color()), (0.299, 0.587, 0.114)))


def draw(tuned, values, *, is_maximised=False):
    """Return the figures, by title, of trials of which the last was given up."""
    settings = tuned.records[1].settings
    records = tuple(
        TrialRecord(
            number=number,
            state="pruned" if number == len(values) - 1 else "finished",
            value=value,
            settings=settings if number else {},
        )
        for number, value in enumerate(values)
    )
    goal = Goal(metric="corr" if is_maximised else "mae", is_maximised=is_maximised)
    own = dataclasses.replace(tuned, records=records, goal=goal)
    return {each.title: each for each in draw_tuned(own)}


@pytest.mark.parametrize("is_maximised", [False, True])
def test_better_trials_have_darker_lines(tuned, is_maximised):
    """Lines of worse trials were the dark ones, and the caption says that dark is better."""
    (own,) = tuned.models
    values = [0.9, 0.1, 0.2, 0.3, 0.4, 0.5]
    drawn = draw(own, values, is_maximised=is_maximised)["Parallel coordinates"]
    assert "Dark lines are better" in drawn.caption
    thin = [line for line in drawn.figure.axes[0].lines if line.get_linewidth() == 1.1]
    shades = [lightness(line) for line in thin]  # by number: trials 2, 3, 4, or 1, 2, 3
    assert shades == sorted(shades, reverse=is_maximised)
    assert len(set(shades)) > 1


@pytest.mark.parametrize("title", ["History", "Setting by setting"])
def test_a_trial_far_from_the_others_is_marked_at_the_edge(tuned, title):
    """Trials that were given up lay outside of the figure, and nothing told of them."""
    (own,) = tuned.models
    drawn = draw(own, [0.5, 0.4, 0.45, 7.0])[title]
    axes = drawn.figure.axes[0]
    marks = [line for line in axes.lines if line.get_marker() == "^"]
    assert len(marks) == 1
    assert axes.get_ylim()[1] < 1
    assert 0.5 < marks[0].get_ydata()[0] < axes.get_ylim()[1]
    assert "beyond" in drawn.caption
    assert "of its first trainings" in drawn.caption  # each trial has two
