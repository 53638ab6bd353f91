import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.evaluation.predictions import Predictions
from mien.reports.figures.style import (
    COLOURS,
    AgreementCurves,
    _bin_edges,
    _pick_epochs,
    draw_agreement,
    draw_labels,
    draw_learning,
    draw_scores,
    make_figure,
    save_figure,
)
from mien.reports.finished_run import TrainLabels
from mien.types import Modality, Scale, Task

MOSI, SIMS = Scale(-3.0, 3.0), Scale(-1.0, 1.0)


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


def make_predictions(seed, targets):
    rng = np.random.default_rng(seed)
    num = len(targets[Task.FUSION])
    return Predictions(
        ids=tuple(map(str, range(num))),
        scores={task: rng.normal(size=num) for task in Task},
        targets=targets,
        present={m: np.arange(num) > 0 for m in Modality},
    )


def test_all_seeds_are_in_one_cloud_and_unannotated_tasks_have_none():
    labels = np.linspace(-3, 3, 50)
    known = labels.copy()
    known[:10] = np.nan
    targets = {Task.FUSION: labels, Task.AUDIO: known, Task.VIDEO: np.full(50, np.nan)}
    figure = draw_scores([make_predictions(1, targets), make_predictions(2, targets)], MOSI, "t")
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["fusion, 50 clips", "audio, 40 clips"]
    assert [len(axes.collections[0].get_offsets()) for axes in figure.axes] == [100, 80]


def test_a_clip_without_the_modality_is_not_in_its_cloud():
    labels = np.linspace(-3, 3, 50)
    figure = draw_scores([make_predictions(1, {Task.FUSION: labels, Task.TEXT: labels})], MOSI, "t")
    assert [len(axes.collections[0].get_offsets()) for axes in figure.axes] == [50, 49]


def test_the_mean_score_is_the_mean_of_the_clips_around_a_label():
    labels = np.repeat([-2.0, 0.1, 2.0], 10)
    predictions = make_predictions(1, {Task.FUSION: labels})
    axes = draw_scores([predictions], MOSI, "t").axes[0]
    rings = next(line for line in axes.lines if line.get_marker() == "o")
    expected = predictions.scores[Task.FUSION].reshape(3, 10).mean(axis=1)
    assert np.allclose(rings.get_xydata(), np.stack([[-2.0, 0.1, 2.0], expected], axis=1))


@given(num=st.integers(1, 200), best=st.integers(1, 200))
def test_picked_epochs_exist_and_hold_the_first_the_best_and_the_last(num, best):
    best = min(num, best)
    epochs = _pick_epochs(num, best)
    assert {1, best, num} <= set(epochs) <= set(range(1, num + 1))
    assert len(epochs) <= 5
    assert epochs == sorted(set(epochs))


@pytest.mark.parametrize(
    ("labels", "scale"),
    [(np.arange(-15, 16) / 5, MOSI), (np.arange(-5, 6) / 5, SIMS), (np.arange(-9, 10) / 3, MOSI)],
)
def test_the_usual_labels_are_in_the_middle_of_bins(labels, scale):
    edges = _bin_edges(labels, scale)
    middles = (edges[1:] + edges[:-1]) / 2
    assert np.allclose(np.abs(labels[:, None] - middles).min(axis=1), 0, atol=1e-9)


@pytest.mark.parametrize("labels", [np.zeros(4), np.random.default_rng(0).uniform(-1, 1, 500)])
def test_labels_without_a_grid_get_24_bins_over_the_whole_scale(labels):
    edges = _bin_edges(labels, SIMS)
    assert len(edges) == 26
    assert edges[0] < -1 < 1 < edges[-1]


def make_labels(truth):
    return TrainLabels(
        modalities=(Modality.TEXT, Modality.VIDEO), annotated=np.linspace(-1, 1, 41), truth=truth
    )


def test_each_panel_shares_out_all_clips_over_the_scale():
    trajectory = np.random.default_rng(0).uniform(-1, 1, (6, 2, 41))
    truth = {Modality.VIDEO: np.where(np.arange(41) < 5, np.nan, 0.3)}
    figure = draw_labels(trajectory, make_labels(truth), 3, SIMS, "t")
    rows = np.array(figure.axes).reshape(2, -1)
    assert [axes.get_title(loc="left") for axes in rows[0]][1:3] == ["epoch 2", "epoch 3 (best)"]
    for row, num in ((rows[0], 2), (rows[1], 3)):
        for axes in row:
            assert len(axes.patches) == num
            for patch in axes.patches:
                assert patch.get_data().values.sum() == pytest.approx(100)


def test_the_known_label_is_explained_only_where_there_is_one():
    trajectory = np.zeros((2, 2, 41))
    for truth, num in (({}, 2), ({Modality.TEXT: np.zeros(41)}, 3)):
        figure = draw_labels(trajectory, make_labels(truth), 1, SIMS, "t")
        assert len(figure.legends[0].get_texts()) == num


def test_generated_labels_are_drawn_beside_copies():
    curves = AgreementCurves(
        generated={1: ([0.5, 0.6], [-0.9, 0.1])},
        copies=(0.5, -0.95),
        best_epochs={1: 2},
        num_disagreeing=17,
    )
    top, bottom = draw_agreement({Modality.TEXT: curves}, "t").axes
    assert curves_of(top)[:2] == [[0.5, 0.5], [0.5, 0.6]]
    assert curves_of(bottom)[:2] == [[-0.95, -0.95], [-0.9, 0.1]]
    assert "17 clips that disagree" in bottom.get_title(loc="left")


def test_undefined_agreement_leaves_a_gap(tmp_path):
    nan = float("nan")
    curves = AgreementCurves(
        generated={1: ([0.5], [nan])}, copies=(0.5, nan), best_epochs={1: 1}, num_disagreeing=0
    )
    save_figure(draw_agreement({Modality.TEXT: curves}, "t"), tmp_path / "gap.png")
    assert (tmp_path / "gap.png").is_file()


def test_a_long_title_is_broken_and_dollars_are_no_formula(tmp_path):
    figure = make_figure("a $_$ b " * 12, 4.0, 3.0)
    save_figure(figure, tmp_path / "long.png")
    title = figure.texts[0]
    assert title.get_text().count("\n") >= 2
    assert title.get_window_extent().x1 <= figure.bbox.x1


def test_the_same_figure_gives_the_same_bytes_and_leaves_nothing_beside(tmp_path):
    for name in ("a.png", "b.png", "a.png"):
        save_figure(draw_learning({1: make_history()}, "mae", "t"), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]


def test_a_figure_that_cannot_be_drawn_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    figure = make_figure("t", 2.0, 2.0)
    figure.text(0.5, 0.5, r"$\unknown$")
    with pytest.raises(ValueError, match="unknown"):
        save_figure(figure, path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
    assert path.read_bytes() == b"old"
