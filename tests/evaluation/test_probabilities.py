"""Temperatures, reliability and sets of classes, by hand and on simulated clips."""

import math

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import sklearn.calibration

from mien.errors import MetricError
from mien.evaluation.conformal import half_width
from mien.evaluation.probabilities.margins import (
    class_sets,
    conformal_quantile,
    measure_margins,
)
from mien.evaluation.probabilities.reliability import (
    class_reliability,
    label_reliability,
    reliability,
)
from mien.evaluation.probabilities.target_calibration import (
    TargetCalibration,
    ValueCalibration,
    calibrate_values,
    set_coverage,
)
from mien.evaluation.probabilities.temperature import (
    TEMPERATURES,
    fit_temperature,
    scale_probabilities,
)
from mien.evaluation.target_metrics import evaluate_target
from mien.types import Modality, Scale, Target, TargetKind

CLASSES = ("angry", "happy", "sad", "calm")
EMOTION = Target(name="emotion", kind=TargetKind.CLASS, classes=CLASSES)
LABELS = Target(name="emotions", kind=TargetKind.LABELS, classes=CLASSES)
VALENCE = Target(name="valence", kind=TargetKind.SCORE, scale=Scale(-1, 1))


def draw_clips(generator, num, *, priors=(0.4, 0.3, 0.2, 0.1), shift=0.0, sharpness=1.0):
    """Clips of four classes, and the probabilities of a model that sees them with noise.

    At sharpness 1, and without a shift, the probabilities are the true ones.
    """
    classes = generator.choice(4, size=num, p=priors)
    seen = 2 * np.eye(4)[classes] + generator.normal(size=(num, 4)) + shift
    logits = 2 * seen + np.log(priors)
    return scipy.special.softmax(sharpness * logits, axis=1), np.eye(4)[classes]


def draw_labels(generator, num, sharpness=1.0):
    there = (generator.random((num, 4)) < [0.5, 0.3, 0.2, 0.1]).astype(np.float64)
    logits = 4 * there - 2 + generator.normal(size=(num, 4)) * 1.5
    return scipy.special.expit(sharpness * logits), there


# Temperature


def softened(truths):
    return 0.8 * truths + 0.2 / truths.shape[1]


@pytest.mark.parametrize("soften", [lambda truths: truths, softened])
def test_the_temperature_is_the_one_with_the_least_log_loss(soften):
    values, truths = draw_clips(np.random.default_rng(1), 300, sharpness=3)
    truths = soften(truths)
    fit = fit_temperature(values, truths)
    logits = np.log(values)

    def loss(log_temperature):
        logs = scipy.special.log_softmax(logits / math.exp(log_temperature), axis=1)
        return -(truths * logs).sum(axis=1).mean()

    best = scipy.optimize.minimize_scalar(loss, bounds=(-3, 3), method="bounded").x
    assert fit.temperature == pytest.approx(math.exp(best), rel=1e-4)
    before = evaluate_target(EMOTION, values, truths)["log_loss"]
    assert fit.log_loss == pytest.approx(before, rel=1e-12)
    assert fit.log_loss_scaled == pytest.approx(loss(math.log(fit.temperature)))
    assert fit.log_loss_scaled < fit.log_loss - 0.1
    scaled = scale_probabilities(values, fit.temperature)
    assert (scaled.argmax(axis=1) == values.argmax(axis=1)).all()
    assert evaluate_target(EMOTION, scaled, truths)["log_loss"] == pytest.approx(
        fit.log_loss_scaled
    )


def test_the_temperature_of_labels():
    values, truths = draw_labels(np.random.default_rng(2), 300, sharpness=5)
    fit = fit_temperature(values, truths, "labels")
    assert fit.temperature > 2
    scaled = scale_probabilities(values, fit.temperature, "labels")
    losses = [evaluate_target(LABELS, v, truths)["log_loss"] for v in (values, scaled)]
    assert losses == pytest.approx([fit.log_loss, fit.log_loss_scaled])
    around = [scale_probabilities(values, fit.temperature * f, "labels") for f in (0.9, 1.1)]
    assert min(evaluate_target(LABELS, v, truths)["log_loss"] for v in around) > losses[1]


def test_temperatures_at_the_ends():
    """Without an error the best one would be 0, without skill infinite; there is one anyway."""
    values, truths = draw_clips(np.random.default_rng(3), 60)
    right = np.where(truths == 1, 0.7, 0.1)
    wrong = np.roll(right, 1, axis=1)
    assert fit_temperature(right, truths).temperature == pytest.approx(TEMPERATURES[0])
    assert fit_temperature(wrong, truths).temperature == pytest.approx(TEMPERATURES[1])
    assert fit_temperature(np.full((60, 4), 0.25), truths).temperature == 1
    assert fit_temperature(values[:19], truths[:19]).temperature == 1
    assert fit_temperature(np.ones((60, 1)), np.ones((60, 1))).temperature == 1
    nobody = fit_temperature(values, np.full_like(truths, np.nan))
    assert (nobody.temperature, nobody.num_clips) == (1, 0)
    hard = (values == values.max(axis=1, keepdims=True)).astype(np.float64)
    fit = fit_temperature(hard, truths)
    assert fit.log_loss > fit.log_loss_scaled > 0


# Reliability


def test_a_reliability_curve_by_hand():
    """A probability at the end of a bin belongs to the bin below."""
    curve = reliability(np.array([0.0, 0.5, 0.6, 1.0, 0.8]), np.array([0.0, 1.0, 1.0, 1.0, 0.0]), 2)
    low, high = curve.bins
    assert (low.num_clips, low.predicted, low.observed) == (2, 0.25, 0.5)
    assert (high.num_clips, high.predicted, high.observed) == (
        3,
        pytest.approx(0.8),
        pytest.approx(2 / 3),
    )
    assert curve.ece == pytest.approx((2 * 0.25 + 3 * (0.8 - 2 / 3)) / 5)
    assert curve.highest == 0.25
    assert curve.num_clips == 5


def test_the_curve_is_that_of_scikit_learn():
    values, truths = draw_labels(np.random.default_rng(4), 200)
    curve = label_reliability(values[:, :1], truths[:, :1], 10)
    observed, predicted = sklearn.calibration.calibration_curve(
        truths[:, 0], values[:, 0], n_bins=10
    )
    ours = [each for each in curve.bins if each.num_clips]
    assert [each.observed for each in ours] == pytest.approx(observed.tolist())
    assert [each.predicted for each in ours] == pytest.approx(predicted.tolist())


def test_scaling_makes_probabilities_reliable():
    generator = np.random.default_rng(5)
    values, truths = draw_clips(generator, 2000, sharpness=4)
    fit = fit_temperature(*draw_clips(generator, 500, sharpness=4))
    before = class_reliability(values, truths)
    after = class_reliability(scale_probabilities(values, fit.temperature), truths)
    assert before.ece > 0.08
    assert after.ece < 0.03
    votes = class_reliability(values, values)
    assert votes.ece == pytest.approx(0, abs=1e-12)


def test_nothing_to_compare_and_no_bin():
    nothing = class_reliability(np.ones((1, 2)) / 2, np.full((1, 2), np.nan))
    assert math.isnan(nothing.ece)
    with pytest.raises(MetricError, match="number of bins is 0, must be at least 1"):
        reliability(np.ones(1), np.ones(1), 0)


# Sets


def test_a_bound_over_clips_is_that_of_intervals():
    errors = np.random.default_rng(6).random(40)
    for level, rank in ((0.1, 5), (0.5, 21), (0.9, 37), (0.95, 39), (0.99, 41)):
        bound = sorted([*errors, math.inf])[rank - 1]  # ceil(41 level)
        assert conformal_quantile(errors, level) == bound
        assert conformal_quantile(errors, level, np.arange(40)) == bound
        assert half_width(-errors, level) == bound


def test_sets_do_not_depend_on_the_temperature():
    values, truths = draw_clips(np.random.default_rng(7), 200)
    for temperature in (0.5, 4.0):
        scaled = scale_probabilities(values, temperature)
        own, other = (
            class_sets(v, measure_margins(v, truths, 0.9).margins + 1e-9) for v in (values, scaled)
        )
        assert (own == other).all()


def test_sets_hold_every_class_as_often_as_promised():
    """On average over 40 drawings of 120 clips, rare classes and doubtful models included."""
    generator = np.random.default_rng(8)
    for shift in (0.0, np.array([0.0, 0.0, 2.0, -1.0])):
        covered, shares = [], []
        for _ in range(40):
            margins = measure_margins(*draw_clips(generator, 120, shift=shift), 0.9).margins
            values, truths = draw_clips(generator, 1000, shift=shift)
            inside = class_sets(values, margins)
            assert inside.any(axis=1).all()
            covered.append(np.nanmean(np.where(truths == 1, inside, np.nan), axis=0))
            shares.append((inside & (truths == 1)).sum() / 1000)
        assert np.mean(shares) == pytest.approx(0.91, abs=0.015)
        assert np.mean(covered, axis=0)[:3].min() > 0.89


def draw_people(generator, num_people, num_clips):
    """Clips of people who differ: with some, the model is mostly wrong."""
    shifts = generator.normal(size=(num_people, 1, 4)) * 1.5
    parts = [draw_clips(generator, num_clips, priors=(0.25,) * 4, shift=s) for s in shifts]
    values, truths = (np.concatenate(part) for part in zip(*parts, strict=True))
    return values, truths, np.repeat(np.arange(num_people), num_clips)


def test_sets_hold_for_people_unseen_where_there_are_enough():
    generator = np.random.default_rng(9)
    shares = {"clips": [], "people": []}
    for _ in range(30):
        values, truths, speakers = draw_people(generator, 12, 25)
        unseen = draw_people(generator, 40, 25)
        for name, who in (("clips", None), ("people", speakers)):
            margins = measure_margins(values, truths, 0.9, who)
            assert margins.num_speakers == (None if who is None else 12)
            inside = class_sets(unseen[0], margins.margins) & (unseen[1] == 1)
            shares[name].append(inside.any(axis=1).mean())
    assert np.mean(shares["people"]) > 0.89
    assert np.mean(shares["clips"]) < np.mean(shares["people"])


def test_few_people_cannot_speak_for_others():
    values, truths, speakers = draw_people(np.random.default_rng(10), 8, 30)
    few, clips = (measure_margins(values, truths, 0.9, who) for who in (speakers, None))
    assert few.num_speakers is None
    assert (few.margins == clips.margins).all()


def test_classes_with_few_clips_share_a_margin():
    values, truths = draw_clips(np.random.default_rng(11), 400, priors=(0.55, 0.40, 0.03, 0.02))
    measured = measure_margins(values, truths, 0.9)
    assert measured.num_clips[2:].max() < 20 < measured.num_clips[:2].min()
    assert measured.margins[2] == measured.margins[3]
    assert len(set(measured.margins.tolist())) >= 2
    absent = np.where(np.arange(4) == 3, 0.0, truths)
    kept = absent.sum(axis=1) > 0
    assert math.isfinite(measure_margins(values[kept], absent[kept], 0.9).margins[3])


def test_with_too_few_clips_every_class_is_possible():
    values, truths = draw_clips(np.random.default_rng(12), 8)
    calibration = calibrate_values(EMOTION, values, truths)
    assert calibration == ValueCalibration(num_clips=8, unseen=calibration.unseen)
    assert calibration.sets(EMOTION, values).all()
    nobody = calibrate_values(EMOTION, values, np.full_like(truths, np.nan))
    assert nobody.num_clips == 0
    assert nobody.sets(EMOTION, values).all()


def test_what_clips_say_is_written_and_read():
    generator = np.random.default_rng(13)
    known = {
        "audio": calibrate_values(EMOTION, *draw_clips(generator, 100)),
        "text": calibrate_values(LABELS, *draw_labels(generator, 100)),
        "video": calibrate_values(VALENCE, generator.random((30, 1)), generator.random((30, 1))),
    }
    calibration = TargetCalibration(level=0.9, by_modalities=known)
    again = TargetCalibration.model_validate_json(calibration.model_dump_json())
    assert again == calibration
    assert again.of([Modality.AUDIO]) == known["audio"]
    assert again.of([Modality.AUDIO, Modality.TEXT]) == ValueCalibration(num_clips=0)
    assert known["video"].half_widths(VALENCE)[0] == pytest.approx(known["video"].widths["valence"])


def test_how_often_sets_hold_and_how_large_they_are():
    calibration = ValueCalibration(num_clips=50, margins=dict.fromkeys(CLASSES, math.log(2.001)))
    values = np.array([[0.6, 0.2, 0.1, 0.1], [0.4, 0.2, 0.3, 0.1], [0.1, 0.1, 0.1, 0.7]])
    truths = np.eye(4)[[0, 2, 0]]
    result = set_coverage(calibration, EMOTION, values, truths)
    assert (result.num_clips, result.share, result.size) == (3, 2 / 3, pytest.approx(5 / 3))
    assert (result.single, result.single_right) == (2 / 3, 0.5)
    assert result.by_class["angry"] == 0.5
    assert math.isnan(result.by_class["happy"])


def test_sets_of_labels_hold_as_often_as_promised():
    generator = np.random.default_rng(14)
    calibration = calibrate_values(LABELS, *draw_labels(generator, 1000))
    values, truths = draw_labels(generator, 1000)
    result = set_coverage(calibration, LABELS, values, truths)
    assert result.num_clips == 4000
    assert result.share == pytest.approx(0.9, abs=0.02)
    assert min(result.by_class.values()) > 0.86
    assert calibration.possible(LABELS, values).any(axis=-1).all()
    assert 0.4 < result.single < 1
