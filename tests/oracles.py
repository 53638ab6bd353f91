"""Slow, obvious second implementations, written from the formulas and sharing no code with mien."""

import math

import numpy as np


def mae(scores, targets):
    return math.fsum(abs(float(s) - float(t)) for s, t in _pairs(scores, targets)) / len(targets)


def pearson(xs, ys):
    xs, ys = [float(x) for x in xs], [float(y) for y in ys]
    if len(set(xs)) == 1 or len(set(ys)) == 1:
        return math.nan
    mean_x, mean_y = math.fsum(xs) / len(xs), math.fsum(ys) / len(ys)
    xy = math.fsum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    xx = math.fsum((x - mean_x) ** 2 for x in xs)
    yy = math.fsum((y - mean_y) ** 2 for y in ys)
    return xy / (math.sqrt(xx) * math.sqrt(yy))


def polarity_pairs(scores, targets, neutral):
    """The predicted and the annotated polarity, "+" or "-", of each clip that counts."""
    pairs = []
    for score, target in _pairs(scores, targets):
        if neutral == "excluded" and target == 0:
            continue
        if neutral == "positive":
            pairs.append(("-" if score < 0 else "+", "-" if target < 0 else "+"))
        else:
            pairs.append(("+" if score > 0 else "-", "+" if target > 0 else "-"))
    return pairs


def polarity_accuracy(scores, targets, neutral):
    return _share_equal(polarity_pairs(scores, targets, neutral))


def polarity_f1(scores, targets, neutral):
    pairs = polarity_pairs(scores, targets, neutral)
    if not pairs:
        return math.nan
    result = 0.0
    for name in "+-":
        support = sum(annotated == name for _, annotated in pairs)
        found = sum(predicted == name for predicted, _ in pairs)
        right = sum(predicted == annotated == name for predicted, annotated in pairs)
        precision = right / found if found else 0.0
        recall = right / support if support else 0.0
        if right:
            result += support / len(pairs) * 2 * precision * recall / (precision + recall)
    return result


def class_accuracy(scores, targets, bound):
    return _share_equal(
        (round(min(max(float(s), -bound), bound)), round(min(max(float(t), -bound), bound)))
        for s, t in _pairs(scores, targets)
    )


def interval_accuracy(scores, targets, cuts):
    return _share_equal((_place(s, cuts), _place(t, cuts)) for s, t in _pairs(scores, targets))


def _place(value, cuts):
    return sum(np.float32(value) > np.float32(cut) for cut in cuts)


def evaluate_all(scores, targets, family):
    if family == "sims":
        scores = [min(max(s, -1), 1) for s in scores]
        targets = [min(max(t, -1), 1) for t in targets]
        return {
            "mae": mae(scores, targets),
            "corr": pearson(scores, targets),
            "acc2": polarity_accuracy(scores, targets, "negative"),
            "acc3": interval_accuracy(scores, targets, [-0.1, 0.1]),
            "acc5": interval_accuracy(scores, targets, [-0.7, -0.1, 0.1, 0.7]),
            "f1": polarity_f1(scores, targets, "negative"),
        }
    values = {
        "mae": mae(scores, targets),
        "corr": pearson(scores, targets),
        "acc2_has0": polarity_accuracy(scores, targets, "positive"),
        "acc2_non0": polarity_accuracy(scores, targets, "excluded"),
        "f1_has0": polarity_f1(scores, targets, "positive"),
        "f1_non0": polarity_f1(scores, targets, "excluded"),
    }
    if family == "mosi":
        values["acc5"] = class_accuracy(scores, targets, 2)
        values["acc7"] = class_accuracy(scores, targets, 3)
    return values


def ranks(values):
    """One more than the number of smaller values, and half a rank for each other equal one."""
    return [
        1
        + sum(other < value for other in values)
        + (sum(other == value for other in values) - 1) / 2
        for value in values
    ]


def monotone(inputs, targets):
    """The isotonic regression by its closed form: the largest over all starts at or below an input
    of the smallest over all ends at or above it of the mean of the targets between."""
    levels = sorted(set(inputs))

    def mean(low, high):
        inside = [t for i, t in _pairs(inputs, targets) if low <= i <= high]
        return math.fsum(inside) / len(inside)

    return [
        max(min(mean(low, high) for high in levels if high >= i) for low in levels if low <= i)
        for i in inputs
    ]


def attention_share(weights, mask, span):
    """Share of each clip's absolute weights inside its moment, and what equal weights would get."""
    shares, uniform = [], []
    for row, real, (begin, end) in zip(weights, mask, span, strict=True):
        steps = [step for step in range(len(row)) if real[step]]
        inside = [step for step in steps if begin <= step < end]
        total = sum(abs(float(row[step])) for step in steps)
        shares.append(sum(abs(float(row[step])) for step in inside) / total if total else math.nan)
        uniform.append(len(inside) / len(steps) if steps else math.nan)
    return shares, uniform


def resampled(scores, targets, function, counts):
    """A function of the clips in which each occurs as often as the counts say."""
    drawn = [clip for clip, times in enumerate(counts) for _ in range(times)]
    return function([scores[clip] for clip in drawn], [targets[clip] for clip in drawn])


def holm(p_values):
    """The smallest level at which each comparison is still called by the step-down procedure."""
    order = sorted(range(len(p_values)), key=lambda position: p_values[position])
    corrected = [0.0] * len(p_values)
    for step, position in enumerate(order):
        corrected[position] = min(
            1.0,
            max(
                (len(p_values) - earlier) * p_values[order[earlier]] for earlier in range(step + 1)
            ),
        )
    return corrected


def _share_equal(pairs):
    pairs = list(pairs)
    return sum(a == b for a, b in pairs) / len(pairs) if pairs else math.nan


def _pairs(first, second):
    return list(zip(first, second, strict=True))
