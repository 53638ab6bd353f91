import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.reports.figures.label_histograms import bin_edges, draw_labels, pick_epochs
from mien.reports.finished_run import TrainLabels
from mien.types import Modality, Scale

MOSI, SIMS = Scale(-3.0, 3.0), Scale(-1.0, 1.0)


@given(num=st.integers(1, 200), best=st.integers(1, 200))
def test_picked_epochs_exist_and_hold_the_first_the_best_and_the_last(num, best):
    best = min(num, best)
    epochs = pick_epochs(num, best)
    assert {1, best, num} <= set(epochs) <= set(range(1, num + 1))
    assert len(epochs) <= 5
    assert epochs == sorted(set(epochs))


@pytest.mark.parametrize(
    ("labels", "scale"),
    [(np.arange(-15, 16) / 5, MOSI), (np.arange(-5, 6) / 5, SIMS), (np.arange(-9, 10) / 3, MOSI)],
)
def test_the_usual_labels_are_in_the_middle_of_bins(labels, scale):
    edges = bin_edges(labels, scale)
    middles = (edges[1:] + edges[:-1]) / 2
    assert np.allclose(np.abs(labels[:, None] - middles).min(axis=1), 0, atol=1e-9)


@pytest.mark.parametrize("labels", [np.zeros(4), np.random.default_rng(0).uniform(-1, 1, 500)])
def test_labels_without_a_grid_get_24_bins_over_the_whole_scale(labels):
    edges = bin_edges(labels, SIMS)
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


@pytest.mark.parametrize("has_warm_up", [True, False])
def test_labels_that_stay_are_drawn_once(has_warm_up):
    labels = make_labels({})
    trajectory = np.repeat(np.random.default_rng(0).uniform(-1, 1, (1, 2, 41)), 5, axis=0)
    if has_warm_up:
        trajectory[0] = labels.annotated
    figure = draw_labels(trajectory, labels, 3, SIMS, "t")
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["text", "video"]
    for axes, row in zip(figure.axes, trajectory[-1], strict=True):
        data = axes.patches[0].get_data()
        assert np.allclose(data.values, np.histogram(row, data.edges)[0] * 100 / 41)


def test_labels_of_a_best_epoch_before_they_stay_are_drawn_by_epoch():
    trajectory = np.repeat(np.random.default_rng(0).uniform(-1, 1, (1, 2, 41)), 5, axis=0)
    trajectory[0] = make_labels({}).annotated
    figure = draw_labels(trajectory, make_labels({}), 1, SIMS, "t")
    assert figure.axes[0].get_title(loc="left") == "epoch 1 (best)"
    assert len(figure.axes) > 2


def test_the_known_label_is_explained_only_where_there_is_one():
    trajectory = np.zeros((2, 2, 41))
    for truth, num in (({}, 2), ({Modality.TEXT: np.zeros(41)}, 3)):
        figure = draw_labels(trajectory, make_labels(truth), 1, SIMS, "t")
        assert len(figure.legends[0].get_texts()) == num
