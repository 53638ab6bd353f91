"""What figures of classes show: names, numbers of cells, points of curves."""

import numpy as np
import pytest

from mien.evaluation.probabilities.reliability import reliability
from mien.reports.figures.class_figures import draw_confusion, draw_reliability
from mien.reports.figures.style import render_png


def names_of(ticks):
    return [label.get_text() for label in ticks]


def test_a_confusion_has_shares_and_counts_in_its_cells():
    counts = np.array([[3, 1, 0], [0, 0, 0], [0, 2, 2]])
    figure = draw_confusion(counts, ["calm", "sad", "a $name$ that is too long"], "Emotions")
    (axes,) = figure.axes
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert cells[0, 0] == "75 %"
    assert cells[0, 0.06] == "3"
    assert cells[1, 2] == "50 %"
    assert len(cells) == 8
    assert names_of(axes.get_yticklabels()) == ["calm  (4)", "sad  (0)", "a $name$ that is …  (4)"]
    assert axes.images[0].get_array().mask.tolist() == [[False] * 3, [True] * 3, [False] * 3]
    assert render_png(figure).startswith(b"\x89PNG")


def test_a_confusion_of_many_classes_has_shades_alone():
    figure = draw_confusion(np.eye(90, dtype=np.int64), [f"c{k}" for k in range(90)], "Many")
    axes, bar = figure.axes
    assert not axes.texts
    assert names_of(axes.get_xticklabels())[:3] == ["c0", "c3", "c6"]
    assert bar.get_ylabel() == "share of the clips of a class"
    assert render_png(figure).startswith(b"\x89PNG")


def test_curves_have_a_point_for_every_bin_with_clips():
    predicted, observed = np.array([0.1, 0.3, 0.9, 0.9]), np.array([0.0, 1.0, 1.0, 0.0])
    curves = {name: reliability(predicted, observed, 5) for name in ("before", "after")}
    figure = draw_reliability(curves, "Emotion")
    above, below = figure.axes
    line = above.lines[1]
    assert line.get_xdata() == pytest.approx([0.1, 0.3, 0.9])
    assert line.get_ydata() == pytest.approx([0, 1, 0.5])
    assert names_of(above.get_legend().get_texts())[0] == "before (ECE 0.400)"
    heights = [bar.get_height() for bar in below.patches]
    assert heights == [1, 1, 0, 0, 2] * 2
    assert render_png(figure).startswith(b"\x89PNG")
