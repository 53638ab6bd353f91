"""Widths of intervals and how often they hold, on scores that fit on paper."""

import numpy as np
import pytest
from helpers import AUDIO, TEXT, make_annotation, make_model, make_split

from mien.evaluation.conformal import Calibration, calibrate, coverage
from mien.evaluation.metrics_file.seed_metrics import TaskCoverage
from mien.evaluation.predictions import Predictions
from mien.evaluation.scoring import predict
from mien.types import Modality, Scale, Task

SCALE = Scale(-3.0, 3.0)


def make_predictions(scores, targets, **present):
    return Predictions(
        ids=tuple(map(str, range(len(scores)))),
        scores={Task.FUSION: np.array(scores)},
        targets={Task.FUSION: np.array(targets)},
        present={Modality(m): np.array(has) for m, has in present.items()},
    )


def test_clips_without_a_width_are_not_counted_as_covered():
    """Their interval was the whole scale, which holds every annotation."""
    calibration = Calibration(level=0.9, fusion={"text+audio": 1.0}, unimodal={}, num_clips={})
    found = make_predictions(
        [0.0, 0.0, 0.0, 0.0],
        [0.5, 2.0, 2.0, np.nan],
        text=[True, True, True, True],
        audio=[True, True, False, False],
        video=[False, False, True, True],
    )
    assert coverage(calibration, found, SCALE) == {
        Task.FUSION: TaskCoverage(share=0.5, num_clips=2, num_without_width=1)
    }
    nothing = Calibration(level=0.9, fusion={}, unimodal={}, num_clips={})
    assert coverage(nothing, found, SCALE) == {}


def test_scores_beyond_the_scale_are_cut_before_they_are_compared():
    calibration = Calibration(level=0.9, fusion={"text+audio": 0.5}, unimodal={}, num_clips={})
    found = make_predictions([9.0, 9.0], [2.6, 2.4], text=[True, True], audio=[True, True])
    assert coverage(calibration, found, SCALE)[Task.FUSION].share == 0.5


def test_widths_are_those_of_cut_scores():
    """Predictions are cut to the scale; errors of scores that were not made them too wide."""
    annotated = make_annotation(1, 30)
    random = np.random.default_rng(1)
    sizes = {TEXT: 6, AUDIO: 4}
    arrays = {
        m: [random.normal(size=(2, n)).astype(np.float32) for _ in annotated]
        for m, n in sizes.items()
    }
    model, dataset = make_model(sizes=sizes), make_split(annotated.tolist(), arrays, "valid")
    for head in model.heads.values():
        head.leave.bias.data.fill_(7.0)
    raw, cut = (calibrate(model, dataset, scale=scale, level=0.5) for scale in (None, SCALE))
    scores = predict(model, dataset).scores[Task.FUSION]
    assert scores.min() > 3
    errors = np.sort(np.abs(3.0 - annotated.numpy()))
    for name in ("text", "audio", "text+audio"):
        assert cut.fusion[name] == pytest.approx(errors[15])  # the ceil(31 / 2)-th smallest
        assert raw.fusion[name] > cut.fusion[name] + 2
    assert cut.num_clips == raw.num_clips
