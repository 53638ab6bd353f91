import numpy as np
import pytest
from matplotlib.text import Text

from mien.reports.figures.learning_curves import draw_learning
from mien.reports.figures.style import save_figure


def make_history(num_epochs=3, best=2, clipped=(0.1, 0.2), tasks=("fusion", "text"), acc=("acc2",)):
    return [
        {
            "epoch": epoch,
            "losses": dict.fromkeys(tasks, 1.0 / epoch),
            "valid": {"mae": 0.5, "corr": 0.1 * epoch, **dict.fromkeys(acc, 0.8)},
            "clipped": clipped[epoch % len(clipped)],
            "is_best": epoch in (1, best),
        }
        for epoch in range(1, num_epochs + 1)
    ]


def curves_of(axes):
    return [list(line.get_ydata()) for line in axes.lines if len(line.get_xdata()) > 1]


def visible(figure):
    return [axes for axes in figure.axes if axes.axison]


def titles_of(figure):
    return [axes.get_title(loc="left") for axes in visible(figure)]


def is_title(artist, axes):
    is_text = isinstance(artist, Text) and artist.get_rotation() == 0  # labels of axes are turned
    return is_text and artist.get_text() == axes.get_title(loc="left")


def test_every_seed_has_its_curve_its_colour_and_a_mark_at_its_best_epoch():
    figure = draw_learning({1: make_history(3, 2), 2: make_history(4, 4)}, "mae", "t")
    axes = next(a for a in visible(figure) if "Corr" in a.get_title(loc="left"))
    assert curves_of(axes) == [
        pytest.approx([0.1, 0.2, 0.3]),
        pytest.approx([0.1, 0.2, 0.3, 0.4]),
    ]
    marks = [line for line in axes.lines if len(line.get_xdata()) == 1]
    assert np.allclose([line.get_xydata()[0] for line in marks], [[2, 0.2], [4, 0.4]])
    keys = figure.legends[0].legend_handles
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["seed 1", "seed 2"]
    for mark, key in zip(marks, keys, strict=True):
        assert (mark.get_color(), mark.get_marker()) == (key.get_color(), key.get_marker())
    assert len({key.get_color() for key in keys}) == len({key.get_marker() for key in keys}) == 2


def test_the_training_loss_of_the_multimodal_task_stands_beside_its_mae():
    figure = draw_learning({1: make_history()}, "mae", "t")
    axes = visible(figure)[0]
    assert axes.get_ylabel() == "MAE"
    assert curves_of(axes) == [[0.5] * 3, pytest.approx([1, 1 / 2, 1 / 3])]
    solid, dashed = (line for line in axes.lines if len(line.get_xdata()) > 1)
    assert (solid.get_linestyle(), dashed.get_linestyle()) == ("-", "--")
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ["validation", "training"]


def test_the_monitor_is_named_and_both_readings_of_accuracy_have_a_panel():
    history = make_history(acc=("acc2_has0", "acc2_non0"))
    figure = draw_learning({1: history}, "corr", "t")
    titles = titles_of(figure)
    assert titles[:2] == ["MAE", "validation Corr"]
    assert figure.legends[0].get_title().get_text().endswith("of a seed by validation Corr")
    assert titles[2:4] == ["validation Acc-2 (has0)", "validation Acc-2 (non0)"]
    for axes in visible(figure)[2:4]:
        assert curves_of(axes) == [pytest.approx([80.0] * 3)]
        assert axes.get_ylabel().startswith("Acc-2 (")


@pytest.mark.drawn
@pytest.mark.parametrize("tasks", [("fusion",), ("fusion", "text", "audio")])
@pytest.mark.parametrize(
    "names", [("relative_loss",), ("relative_loss", "mae", "corr", "acc2_non0")]
)
def test_no_title_runs_into_the_next_panel_or_is_cut_off(tasks, names):
    """The title of the relative loss ran into that of the MAE, and was cut off without one."""
    history = make_history(tasks=tasks)
    for epoch in history:
        epoch["valid"] = dict.fromkeys(names, 0.5)
    figure = draw_learning({1: history}, "relative_loss", "t")
    figure.canvas.draw()
    ends = [figure.legends[0].get_window_extent().x1]
    for axes in visible(figure):
        (title,) = axes.findobj(lambda each, axes=axes: is_title(each, axes))
        assert title.get_window_extent().x1 <= axes.bbox.x1 + 10  # dots
        ends.append(title.get_window_extent().x1)
    assert max(ends) <= figure.bbox.x1


def test_losses_of_the_unimodal_tasks_share_their_axis():
    tasks = ("fusion", "text", "audio", "video")
    history = make_history(tasks=tasks)
    history[0]["losses"]["video"] = 7.0
    figure = draw_learning({1: history}, "mae", "t")
    panels = [a for a in visible(figure) if a.get_title(loc="left").startswith("training loss")]
    assert [axes.get_title(loc="left") for axes in panels] == [
        f"training loss, {task}" for task in tasks[1:]
    ]
    low, high = panels[0].get_ylim()
    assert low == 0
    assert high > 7
    assert {axes.get_ylim() for axes in panels} == {(low, high)}


@pytest.mark.parametrize(
    ("clipped", "tasks", "panels"),
    [
        ((0.1, 0.2), ("fusion", "text"), 5),
        ((0.1,), ("fusion", "text"), 4),
        ((0.0,), ("fusion",), 3),
    ],
)
def test_panels_without_content_are_left_out(clipped, tasks, panels):
    figure = draw_learning({1: make_history(clipped=clipped, tasks=tasks)}, "mae", "t")
    assert len(visible(figure)) == panels


def test_labels_that_are_taken_once_after_a_warm_up_have_no_panel_of_cuts():
    history = make_history(4)
    for epoch, share in zip(history, (0.0, 0.3, 0.3, 0.3), strict=True):
        epoch["clipped"] = share
    assert not any("cut" in title for title in titles_of(draw_learning({1: history}, "mae", "t")))


@pytest.mark.drawn
def test_a_history_of_one_epoch_and_undefined_metrics_can_be_drawn(tmp_path):
    history = make_history(1, 1)
    history[0]["valid"]["corr"] = float("nan")
    save_figure(draw_learning({1: history}, "mae", "t"), tmp_path / "one.png")
    assert (tmp_path / "one.png").stat().st_size > 1000
