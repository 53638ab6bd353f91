import numpy as np

from mien.evaluation.predictions import Predictions
from mien.reports.figures.score_clouds import draw_scores, share_beyond
from mien.types import Modality, Scale, Task

MOSI = Scale(-3.0, 3.0)


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


def test_a_modality_that_no_clip_has_is_not_drawn():
    """The page of an evaluation without voice ended in an IndexError."""
    labels = np.linspace(-3, 3, 50)
    predictions = make_predictions(1, {Task.FUSION: labels, Task.AUDIO: labels, Task.TEXT: labels})
    predictions.present[Modality.AUDIO][:] = False
    figure = draw_scores([predictions], MOSI, "t")
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["fusion, 50 clips", "text, 49 clips"]


def test_the_mean_score_is_the_mean_of_the_clips_around_a_label():
    labels = np.repeat([-2.0, 0.1, 2.0], 10)
    predictions = make_predictions(1, {Task.FUSION: labels})
    axes = draw_scores([predictions], MOSI, "t").axes[0]
    rings = next(line for line in axes.lines if line.get_marker() == "o")
    expected = predictions.scores[Task.FUSION].reshape(3, 10).mean(axis=1)
    assert np.allclose(rings.get_xydata(), np.stack([[-2.0, 0.1, 2.0], expected], axis=1))


def test_the_ends_of_the_scale_are_marked_where_scores_lie_beyond_and_none_is_cut_off():
    labels = np.linspace(-3, 3, 50)
    predictions = make_predictions(1, {Task.FUSION: labels, Task.AUDIO: labels})
    figure = draw_scores([predictions], MOSI, "t")
    assert share_beyond([predictions], MOSI) == 0
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["score = label", "mean score"]
    predictions.scores[Task.FUSION][:5] = 3.9
    figure = draw_scores([predictions], MOSI, "t")
    assert share_beyond([predictions], MOSI) == 0.1
    assert figure.legends[0].get_texts()[-1].get_text() == "end of the scale"
    levels = {tuple(line.get_ydata()) for line in figure.axes[0].lines}
    assert {(-3.0, -3.0), (3.0, 3.0)} <= levels
    assert all(axes.get_ylim()[1] > 3.9 for axes in figure.axes)
