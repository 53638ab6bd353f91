"""Metrics of targets against scikit-learn's, by hand, and on resampled clips."""

import math
import warnings

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics as theirs

from mien.errors import MetricError
from mien.evaluation.bootstrap import draw_units, resample
from mien.evaluation.significance import paired_difference
from mien.evaluation.target_metrics import (
    TARGET_METRICS,
    count_confusion,
    evaluate_classes,
    evaluate_target,
    metrics_of_class,
    share_rows,
)
from mien.types import Scale, Target, TargetKind

EXACT = {"abs": 1e-12, "rel": 1e-12, "nan_ok": True}
#: Seeds of random cases.
of_cases = pytest.mark.parametrize(
    "seeds", [range(8), pytest.param(range(8, 200), marks=pytest.mark.extended)], ids=len
)


def target(kind, size):
    names = tuple(f"class{number}" for number in range(size))
    scale = Scale(0, 3) if kind in (TargetKind.INTENSITIES, TargetKind.SCORE) else None
    is_score = kind is TargetKind.SCORE
    return Target(name="emotion", kind=kind, classes=() if is_score else names, scale=scale)


def draw_classes(seed):
    """Probabilities, some of them 0, and classes, some of which no clip has."""
    generator = np.random.default_rng(seed)
    size = int(generator.choice([1, 2, 3, 7, 200], p=[0.1, 0.2, 0.3, 0.3, 0.1]))
    values = generator.dirichlet(np.full(size, 0.4), size=int(generator.integers(1, 60)))
    values = np.where(generator.random(values.shape) < 0.2, 0.0, values)
    values[values.sum(axis=1) == 0, 0] = 1.0
    values /= values.sum(axis=1, keepdims=True)
    used = generator.permutation(size)[: generator.integers(1, size + 1)]
    return values, generator.choice(used, size=len(values))


def one_hot(classes, size):
    return np.eye(size)[classes]


@of_cases
def test_metrics_of_classes_are_those_of_scikit_learn(seeds):
    for seed in seeds:
        values, classes = draw_classes(seed)
        size = values.shape[1]
        labels, predicted, truths = range(size), values.argmax(axis=1), one_hot(classes, size)
        result = evaluate_target(target(TargetKind.CLASS, size), values, truths)
        with warnings.catch_warnings(action="ignore"):
            confusion = theirs.confusion_matrix(classes, predicted, labels=labels)
            expected = {
                "accuracy": theirs.accuracy_score(classes, predicted),
                "uar": theirs.balanced_accuracy_score(classes, predicted),
                "f1_weighted": theirs.f1_score(classes, predicted, average="weighted"),
                "f1_macro": theirs.f1_score(classes, predicted, average="macro"),
            }
            if size > 1:
                expected["log_loss"] = theirs.log_loss(classes, values, labels=labels)
                expected["brier"] = theirs.brier_score_loss(
                    classes, values, labels=labels, scale_by_half=False
                )
        assert {name: result[name] for name in expected} == pytest.approx(expected, **EXACT), seed
        assert count_confusion(values, truths).tolist() == confusion.tolist()


@of_cases
def test_metrics_of_one_class_are_those_of_scikit_learn(seeds):
    for seed in seeds:
        values, classes = draw_classes(seed)
        size = values.shape[1]
        results = evaluate_classes(target(TargetKind.CLASS, size), values, one_hot(classes, size))
        predicted = values.argmax(axis=1)
        expected = theirs.precision_recall_fscore_support(
            classes, predicted, labels=range(size), zero_division=np.nan
        )
        ours = [
            (*(r.metrics[k] for k in ("precision", "recall", "f1")), r.num_annotated)
            for r in results.values()
        ]
        np.testing.assert_allclose(np.transpose(ours), expected, rtol=1e-12, atol=1e-12)
        counts = np.bincount(predicted, minlength=size).tolist()
        assert [r.num_predicted for r in results.values()] == counts


def draw_labels(seed):
    """Probabilities of labels, ties among them, and labels, some of which no clip has."""
    generator = np.random.default_rng(seed)
    size, num = int(generator.choice([1, 2, 6, 40])), int(generator.integers(1, 60))
    values = np.round(generator.random((num, size)), 1 + seed % 3)
    truths = generator.random((num, size)) < generator.choice([0, 0.1, 0.5, 1], size=size)
    return values, truths.astype(np.float64)


def defined_mean(numbers):
    numbers = [number for number in numbers if not math.isnan(number)]
    return float(np.mean(numbers)) if numbers else math.nan


def is_mixed(labels):
    return 0 < labels.sum() < len(labels)


def of_presence(values, truths, predicted):
    """What scikit-learn gives for labels that are there or not, and for what ranks the clips."""
    columns = list(zip(values.T, truths.T > 0, predicted.T, strict=True))
    return {
        "weighted_accuracy": defined_mean(
            [theirs.balanced_accuracy_score(t, p) for _, t, p in columns if is_mixed(t)]
        ),
        "f1_presence": defined_mean(
            [theirs.f1_score(t, p, average="weighted") for _, t, p in columns]
        ),
        "auroc": defined_mean([theirs.roc_auc_score(t, v) for v, t, _ in columns if is_mixed(t)]),
    }


@of_cases
def test_metrics_of_labels_are_those_of_scikit_learn(seeds):
    for seed in seeds:
        values, truths = draw_labels(seed)
        size, predicted = values.shape[1], values >= 0.5
        result = evaluate_target(target(TargetKind.LABELS, size), values, truths)
        with warnings.catch_warnings(action="ignore"):
            expected = {
                "accuracy": 1 - theirs.hamming_loss(truths, predicted),
                "subset_accuracy": theirs.accuracy_score(truths, predicted),
                **of_presence(values, truths, predicted),
                "map": defined_mean(
                    [
                        theirs.average_precision_score(t, v)
                        for v, t in zip(values.T, truths.T, strict=True)
                        if t.any()
                    ]
                ),
                "log_loss": np.mean(
                    [
                        theirs.log_loss(t, v, labels=[0, 1])
                        for v, t in zip(values.T, truths.T, strict=True)
                    ]
                ),
            }
            if size > 1:
                for name in ("macro", "weighted", "micro"):
                    nowhere = math.nan if name != "macro" else 0.0
                    f1 = theirs.f1_score(truths, predicted, average=name)
                    is_defined = truths.any() if name == "weighted" else (truths + predicted).any()
                    expected[f"f1_{name}"] = f1 if is_defined else nowhere
        assert {name: result[name] for name in expected} == pytest.approx(expected, **EXACT), seed


@of_cases
def test_metrics_of_intensities_are_those_of_scikit_learn(seeds):
    for seed in seeds:
        values, truths = draw_labels(seed)
        values, truths = np.maximum(values - 0.4, 0), truths * np.round(1 + 2 * values) / 3
        size = values.shape[1]
        result = evaluate_target(target(TargetKind.INTENSITIES, size), values, truths)
        with warnings.catch_warnings(action="ignore"):
            expected = {
                "mae": theirs.mean_absolute_error(truths, values),
                "corr": defined_mean(
                    [
                        np.corrcoef(v, t)[0, 1]
                        for v, t in zip(values.T, truths.T, strict=True)
                        if np.ptp(v) and np.ptp(t)
                    ]
                ),
                **of_presence(values, truths, values > 0),
            }
        assert result == pytest.approx(expected, **EXACT), seed


@of_cases
def test_metrics_of_scores(seeds):
    for seed in seeds:
        generator = np.random.default_rng(seed)
        truths = generator.normal(100, 2, size=(int(generator.integers(2, 50)), 1))
        values = truths * generator.random() + generator.normal(size=truths.shape)
        result = evaluate_target(target(TargetKind.SCORE, 1), values, truths)
        (xx, xy), (_, yy) = np.cov(values[:, 0], truths[:, 0], ddof=0)
        expected = {
            "mae": theirs.mean_absolute_error(truths, values),
            "corr": scipy.stats.pearsonr(values[:, 0], truths[:, 0]).statistic,
            "spearman": scipy.stats.spearmanr(values[:, 0], truths[:, 0]).statistic,
            "ccc": 2 * xy / (xx + yy + (values.mean() - truths.mean()) ** 2),
        }
        assert result == pytest.approx(expected, abs=1e-10)


def draw_target(kind, seed, num=30, size=4):
    generator = np.random.default_rng(seed)
    values = generator.random((num, size))
    truths = (generator.random((num, size)) < 0.4).astype(np.float64)
    match kind:
        case TargetKind.CLASS:
            values /= values.sum(axis=1, keepdims=True)
            truths = generator.dirichlet(np.ones(size), size=num)
        case TargetKind.INTENSITIES:
            values, truths = 3 * values - 1, truths * generator.integers(0, 9, (num, size)) / 3
        case TargetKind.SCORE:
            values, truths = values[:, :1], values[:, :1] + generator.random((num, 1))
    return values, truths


def every_metric(kind, size=4):
    yield from TARGET_METRICS[kind].items()
    if kind is not TargetKind.SCORE:
        yield from metrics_of_class(target(kind, size), "class1").items()


@pytest.mark.parametrize("kind", TargetKind)
def test_every_metric_of_a_resample_is_that_of_the_resampled_clips(kind):
    values, truths = draw_target(kind, 3)
    draws = draw_units(len(values), seed=5, resamples=12)
    for name, metric in every_metric(kind):
        result = resample(np.stack([values, values[::-1]]), truths, metric, draws)
        for counts, replicate in zip(draws.counts[0], result.replicates, strict=True):
            rows = np.repeat(np.arange(len(values)), counts)
            both = [metric(v[rows], truths[rows]) for v in (values, values[::-1])]
            assert replicate == pytest.approx(np.mean(both), abs=1e-10, nan_ok=True), name
        without = np.arange(len(values)) != 7
        left_out = [metric(v[without], truths[without]) for v in (values, values[::-1])]
        assert result.left_out[7] == pytest.approx(np.mean(left_out), abs=1e-10), name


@pytest.mark.parametrize("num", [30, 0])
@pytest.mark.parametrize("kind", [kind for kind in TargetKind if kind is not TargetKind.SCORE])
def test_classes_evaluated_at_once_have_the_metrics_of_each(kind, num):
    values, truths = draw_target(kind, 6)
    values, truths, own = values[:num], truths[:num], target(kind, 4)
    for name, result in evaluate_classes(own, values, truths).items():
        metrics = metrics_of_class(own, name)
        assert list(result.metrics) == list(metrics)
        for key, metric in metrics.items():
            np.testing.assert_equal(result.metrics[key], metric(values, truths))
        assert math.isnan(result.metrics["f1"]) == (num == 0)


@pytest.mark.parametrize("kind", TargetKind)
def test_two_models_are_compared_on_the_metrics_of_a_target(kind):
    """Over clips and over speakers; a better model has the sign that the table promises."""
    values, truths = draw_target(kind, 4, num=60)
    better = 0.3 * values + 0.7 * truths
    for clusters in (None, np.arange(60) % 12):
        for name, metric in TARGET_METRICS[kind].items():
            result = paired_difference(better, values, truths, metric, clusters=clusters)
            assert (result.difference > 0) == metric.higher_is_better, name
            assert result.low <= result.difference <= result.high
            assert result.num_units == (60 if clusters is None else 12)


def test_clips_on_which_votes_tie_have_no_annotated_class():
    """Shares are compared up to rounding; only probabilities are compared on such a clip."""
    truths = np.array([[0.5, 0.5, 0.0], [0.1 + 0.2, 0.3, 0.4], [0.3, 0.1 + 0.2, 0.4]])
    truths[1:, [0, 2]] = truths[1:, [2, 0]]  # the second and third are clear
    values = np.array([[1.0, 0.0, 0.0], [0.6, 0.2, 0.2], [0.2, 0.6, 0.2]])
    result = evaluate_target(target(TargetKind.CLASS, 3), values, truths)
    assert result["accuracy"] == 0.5
    assert result["brier"] == pytest.approx(np.mean(((values - truths) ** 2).sum(axis=1)))
    assert count_confusion(values, truths).sum() == 2
    alone = evaluate_target(target(TargetKind.CLASS, 3), values[:1], truths[:1])
    assert math.isnan(alone["accuracy"])
    assert alone["brier"] == 0.5


def test_clips_that_are_not_annotated_are_left_out():
    values = np.array([[0.7, 0.3], [0.2, 0.8], [0.9, 0.1]])
    truths = np.array([[1.0, 0.0], [math.nan, math.nan], [0.0, 1.0]])
    kind = target(TargetKind.CLASS, 2)
    assert evaluate_target(kind, values, truths)["accuracy"] == 0.5
    assert share_rows(count_confusion(values, truths)).tolist() == [[1, 0], [1, 0]]
    nobody = evaluate_target(kind, values[1:2], truths[1:2])
    assert nobody.keys() == TARGET_METRICS[TargetKind.CLASS].keys()
    assert all(math.isnan(value) for value in nobody.values())
    assert evaluate_classes(kind, values[1:2], truths[1:2])["class0"].num_annotated == 0


def test_a_constant_score_has_no_agreement_to_speak_of():
    truths, same = np.array([[1.0], [2.0], [4.0]]), np.full((3, 1), 0.1)
    result = evaluate_target(target(TargetKind.SCORE, 1), same, truths)
    assert math.isnan(result["corr"])
    assert result["ccc"] == pytest.approx(0, abs=1e-12)
    assert math.isnan(evaluate_target(target(TargetKind.SCORE, 1), same, same)["ccc"])


@pytest.mark.parametrize(
    ("values", "truths", "sentence"),
    [
        ([[0.5, 0.5, 0.0]], [[1.0, 0.0, 0.0]], r"shape \(1, 3\).*must be \(clips, 2\)"),
        ([[math.nan, 0.5]], [[1.0, 0.0]], "values of 1 of 1 clips are not finite"),
        ([[1.5, -0.5]], [[1.0, 0.0]], "values go from -0.5 to 1.5, must lie from 0 to 1"),
        ([[0.5, 0.4]], [[1.0, 0.0]], r"values of 1 of 1 clips do not sum to 1 \(clip 0: 0.9\)"),
        ([[0.5, 0.5]], [[1.0, 1.0]], "truths of 1 of 1 clips do not sum to 1"),
    ],
)
def test_what_cannot_be_compared_is_refused(values, truths, sentence):
    with pytest.raises(MetricError, match=sentence):
        evaluate_target(target(TargetKind.CLASS, 2), np.array(values), np.array(truths))


def test_a_class_that_is_not_there_is_named():
    with pytest.raises(MetricError, match="emotion has no class 'calm', must be one of class0, c"):
        metrics_of_class(target(TargetKind.CLASS, 2), "calm")
    with pytest.raises(MetricError, match="it is a score"):
        metrics_of_class(target(TargetKind.SCORE, 1), "calm")
