import numpy as np
import pytest

from mien.reports.figures.learning_curves import draw_learning
from mien.reports.figures.style import COLOURS, save_figure
from mien.types import Task


def make_history(num_epochs=3, best=2, clipped=0.1, tasks=("fusion", "text"), acc=("acc2",)):
    return [
        {
            "epoch": epoch,
            "losses": dict.fromkeys(tasks, 1.0 / epoch),
            "valid": {"mae": 0.5, "corr": 0.1 * epoch, **dict.fromkeys(acc, 0.8)},
            "clipped": clipped,
            "is_best": epoch in (1, best),
        }
        for epoch in range(1, num_epochs + 1)
    ]


def curves_of(axes):
    return [list(line.get_ydata()) for line in axes.lines if len(line.get_xdata()) > 1]


def visible(figure):
    return [axes for axes in figure.axes if axes.axison]


def test_every_seed_has_its_curve_and_a_dot_at_its_best_epoch():
    figure = draw_learning({1: make_history(3, 2), 2: make_history(4, 4)}, "mae", "t")
    axes = next(a for a in visible(figure) if "corr" in a.get_title(loc="left"))
    assert curves_of(axes) == [
        pytest.approx([0.1, 0.2, 0.3]),
        pytest.approx([0.1, 0.2, 0.3, 0.4]),
    ]
    dots = [line.get_xydata()[0] for line in axes.lines if len(line.get_xdata()) == 1]
    assert np.allclose(dots, [[2, 0.2], [4, 0.4]])


def test_the_monitor_is_named_and_both_readings_of_accuracy_are_drawn():
    history = make_history(acc=("acc2_has0", "acc2_non0"))
    figure = draw_learning({1: history}, "corr", "t")
    titles = [axes.get_title(loc="left") for axes in visible(figure)]
    assert "validation corr (picks the best epoch)" in titles
    assert "validation mae" in titles
    axes = visible(figure)[titles.index("validation acc2_has0 and acc2_non0")]
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["acc2_has0", "acc2_non0"]
    assert curves_of(axes) == [pytest.approx([80.0] * 3)] * 2


def test_losses_are_in_the_colours_of_their_tasks():
    tasks = ("fusion", "text", "audio", "video")
    figure = draw_learning({1: make_history(tasks=tasks)}, "mae", "t")
    unimodal = visible(figure)[1]
    assert {line.get_color() for line in unimodal.lines} == {
        COLOURS[Task(task)] for task in tasks[1:]
    }


@pytest.mark.parametrize(
    ("clipped", "tasks", "panels"),
    [(0.1, ("fusion", "text"), 6), (0.0, ("fusion", "text"), 5), (0.0, ("fusion",), 4)],
)
def test_panels_without_content_are_left_out(clipped, tasks, panels):
    figure = draw_learning({1: make_history(clipped=clipped, tasks=tasks)}, "mae", "t")
    assert len(visible(figure)) == panels


def test_a_history_of_one_epoch_and_undefined_metrics_can_be_drawn(tmp_path):
    history = make_history(1, 1)
    history[0]["valid"]["corr"] = float("nan")
    save_figure(draw_learning({1: history}, "mae", "t"), tmp_path / "one.png")
    assert (tmp_path / "one.png").stat().st_size > 1000
