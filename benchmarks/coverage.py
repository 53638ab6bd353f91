"""Simulate how often intervals hold the truth, and how often equal methods seem to differ.

    python benchmarks/coverage.py [--draws 2000]

Three tables, of made errors whose truth is known:

1. A single model, errors of 20 clips for each video, a fifth of their variance between videos: the
   share of 95 % intervals of its mean absolute error that hold the truth; percentiles, and what
   mien gives.
2. Two models, one seed each, the same set-up: how often p < .05 though both are equally good.
3. Two equally good methods with several seeds, 682 clips of 31 videos, deviation over seeds as
   large as on CMU-MOSI: how often p < .05, without the seeds in the error and with them.
"""

import argparse
import math

import numpy as np

from mien.evaluation.bootstrap import draw_units, resample
from mien.evaluation.intervals import FEW_UNITS, t_p_value
from mien.evaluation.metrics import METRICS
from mien.evaluation.significance import paired_difference

MAE = METRICS["general"]["mae"]
SHARED = 0.2  # of the variance of an error, between videos


def errors(random: np.random.Generator, num_videos: int, num_clips: int, count: int) -> np.ndarray:
    """Return normal errors of variance 1, ``(count, clips)``, shared in part by a video's clips."""
    shape = (count, num_videos, num_clips)
    shared = random.normal(size=(count, num_videos, 1)) * math.sqrt(SHARED)
    own = random.normal(size=shape) * math.sqrt(1 - SHARED)
    return (shared + own).reshape(count, -1)


def hold_truth(num_videos: int, draws: int, num_clips: int = 20) -> tuple[float, float]:
    """Return how often percentiles, and mien's interval, hold the mean absolute error."""
    random = np.random.default_rng([1, num_videos])
    videos = np.repeat(np.arange(num_videos), num_clips)
    targets, truth = np.zeros(len(videos)), math.sqrt(2 / math.pi)
    held = np.zeros(2)
    for number, row in enumerate(errors(random, num_videos, num_clips, draws)):
        means = np.abs(row).reshape(num_videos, num_clips).mean(axis=1)
        drawn = np.random.default_rng(number).integers(num_videos, size=(500, num_videos))
        low, high = np.quantile(means[drawn].mean(axis=1), [0.025, 0.975])
        held[0] += low <= truth <= high
        if num_videos < FEW_UNITS:
            one = draw_units(len(videos), videos, seed=1)
            interval = resample(row, targets, MAE, one).interval()
            low, high = interval.low, interval.high
        held[1] += low <= truth <= high
    return tuple(held / draws)


def seem_to_differ(num_videos: int, draws: int, num_clips: int = 20) -> tuple[float, float]:
    """Return how often two equally good models differ: by a bootstrap, and by mien's p value."""
    random = np.random.default_rng([2, num_videos])
    videos = np.repeat(np.arange(num_videos), num_clips)
    targets, found = np.zeros(len(videos)), np.zeros(2)
    for number in range(draws):
        one, two = errors(random, num_videos, num_clips, 2)
        result = paired_difference(one, two, targets, MAE, clusters=videos)
        found[1] += result.p_value < 0.05
        means = (np.abs(one) - np.abs(two)).reshape(num_videos, num_clips).mean(axis=1)
        drawn = np.random.default_rng(number).integers(num_videos, size=(500, num_videos))
        low, high = np.quantile(means[drawn].mean(axis=1), [0.025, 0.975])
        found[0] += low > 0 or high < 0
    return tuple(found / draws)


def differ_by_seed(num_seeds: int, deviation: float, draws: int) -> tuple[float, float, float]:
    """Return how often equal methods differ, without and with the seeds, and their deviation.

    Clips are hard for both methods alike in part; every run has an effect of its seed on all clips,
    and errors of its own on each clip.
    """
    random = np.random.default_rng([3, num_seeds, round(1000 * deviation)])
    num_videos, num_clips = 31, 22  # 682 clips
    videos = np.repeat(np.arange(num_videos), num_clips)
    targets, found, spread = np.zeros(len(videos)), np.zeros(2), []
    for _ in range(draws):
        hard = 0.7 + 0.3 * np.abs(errors(random, num_videos, num_clips, 1))
        methods = hard + 0.1 * errors(random, num_videos, num_clips, 2)
        runs = methods[:, None] + 0.2 * random.normal(size=(2, num_seeds, len(videos)))
        runs += deviation * random.normal(size=(2, num_seeds, 1))
        result = paired_difference(runs[0], runs[1], targets, MAE, clusters=videos)
        alone = t_p_value(result.difference / result.error_units, num_videos - 1)
        found += [alone < 0.05, result.p_value < 0.05]
        spread.append(result.error_seeds * math.sqrt(num_seeds / 2))
    return (*(found / draws), float(np.sqrt(np.mean(np.square(spread)))))


def percent(value: float) -> str:
    """Return a share in percent."""
    return f"{100 * value:.1f} %"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="Simulate intervals and p values.")
    parser.add_argument("--draws", type=int, default=300, help="made data sets of each row")
    draws = parser.parse_args().draws
    print(f"{draws} draws a row, made errors\n\n95 % intervals that hold the truth")
    for num in (2, 3, 6, 10, 20, 31):
        old, new = hold_truth(num, draws)
        print(f"{num:4} videos: percentiles {percent(old):>7}, mien {percent(new):>7}")
    print("\np < .05 between equally good models, one seed each")
    for num in (2, 3, 6, 10, 20, 31):
        old, new = seem_to_differ(num, draws)
        print(f"{num:4} videos: bootstrap {percent(old):>7}, mien {percent(new):>7}")
    print("\np < .05 between equally good methods, 682 clips of 31 videos")
    for num_seeds in (3, 5):
        for deviation in (0.0, 0.01, 0.02):
            without, covered, spread = differ_by_seed(num_seeds, deviation, draws)
            print(
                f"{num_seeds:4} seeds, deviation {spread:.3f}: without the seeds "
                f"{percent(without):>7}, mien {percent(covered):>7}"
            )


if __name__ == "__main__":
    main()
