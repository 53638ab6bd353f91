"""Widths of intervals and how often they hold, on scores that fit on paper."""

import numpy as np
import pytest
from helpers import (
    AUDIO,
    TEXT,
    TINY,
    VIDEO,
    make_annotation,
    make_model,
    make_split,
    open_up,
)

from mien.evaluation.conformal import Calibration, calibrate, coverage, subsets_of
from mien.evaluation.metrics_file.seed_metrics import TaskCoverage
from mien.evaluation.predictions import Predictions
from mien.evaluation.scoring import predict, predict_subsets
from mien.models.late_fusion import LateFusion
from mien.models.multitask import ModelInputs
from mien.models.self_mm import SelfMM, SelfMMConfig
from mien.models.tam_ulag import TamUlag, TamUlagConfig
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


def test_a_model_without_unimodal_tasks_has_widths_of_its_multimodal_score_alone():
    annotated = make_annotation(1, 30)
    random = np.random.default_rng(1)
    sizes = {TEXT: 6, AUDIO: 4}
    arrays = {
        m: [random.normal(size=(2, n)).astype(np.float32) for _ in annotated]
        for m, n in sizes.items()
    }
    model = make_model("ef_lstm", sizes=sizes)
    calibration = calibrate(model, make_split(annotated.tolist(), arrays, "valid"), level=0.5)
    assert set(calibration.fusion) == {"text", "audio", "text+audio"}
    assert calibration.unimodal == {}
    # clips with one modality had no interval, so that the whole scale was shown as one
    assert calibration.width(Task.FUSION, [TEXT]) == calibration.fusion["text"]
    assert calibration.settle() == calibration


class OwnForward(TamUlag):
    """A model as others have registered them, with a ``forward`` of its own."""

    def forward(self, batch):
        encoded = self.encode_clips(batch)
        return self.fuse(encoded)


@pytest.mark.parametrize("kind", [TamUlag, OwnForward, LateFusion, SelfMM])
def test_each_set_of_modalities_scores_as_clips_that_have_no_other(kind):
    random = np.random.default_rng(1)
    arrays = {
        m: [random.normal(size=(n % 4, size)).astype(np.float32) for n in range(k, 90 + k)]
        for k, (m, size) in enumerate({TEXT: 6, AUDIO: 4, VIDEO: 5}.items())
    }
    dataset = make_split(make_annotation(1, 90).tolist(), arrays, "valid")
    inputs = ModelInputs(sizes={TEXT: 6, AUDIO: 4, VIDEO: 5})
    model = open_up(kind(SelfMMConfig(**TINY) if kind is SelfMM else TamUlagConfig(**TINY), inputs))
    subsets = subsets_of(model.modalities)
    assert len(subsets) == 7
    num_encoded = []
    model.encoders[AUDIO].rnn.register_forward_hook(lambda *_: num_encoded.append(1))
    scored = predict_subsets(model, dataset, subsets)
    num_batches = 2  # of 64 clips at most
    assert len(num_encoded) == num_batches * (7 if kind is OwnForward else 1)
    for subset, found in scored.items():
        empty = {m: [a[:0] for a in one] for m, one in arrays.items() if m not in subset}
        alone = make_split(dataset.labels[Task.FUSION].tolist(), arrays | empty, "valid")
        expected = predict(model, alone)
        for task, values in expected.scores.items():
            np.testing.assert_allclose(found.scores[task], values, atol=1e-5)
        for modality, has in expected.present.items():
            assert (found.present[modality] == has).all()
        for modality, weights in expected.attention.items():
            for one, other in zip(found.attention[modality], weights, strict=True):
                np.testing.assert_allclose(one, other, atol=1e-6)
