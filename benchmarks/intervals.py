"""Time the intervals of every metric: units drawn once for all metrics, or anew for each.

    python benchmarks/intervals.py [--clips 4659] [--seeds 5]

Random scores of the size of the CMU-MOSEI test split. Prints seconds of the processor and their
ratio, the better of three rounds each; both ways give the same intervals.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np

from mien.evaluation.bootstrap import draw_units, resample
from mien.evaluation.intervals import Interval
from mien.evaluation.metrics import METRICS


def best_of(call: Callable[[], list[Interval]], rounds: int = 3) -> tuple[float, list[Interval]]:
    """Return the least seconds of the processor that a call took, and its result."""
    seconds = []
    for _ in range(rounds):
        started = time.process_time()
        result = call()
        seconds.append(time.process_time() - started)
    return min(seconds), result


def main() -> None:
    """Time both ways."""
    parser = argparse.ArgumentParser(description="Time the intervals of every metric.")
    parser.add_argument("--clips", type=int, default=4659)
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    random = np.random.default_rng(1)
    targets = random.normal(size=given.clips)
    scores = targets + random.normal(size=(given.seeds, given.clips))
    metrics = METRICS["mosi"].values()

    def anew() -> list[Interval]:
        return [
            resample(scores, targets, metric, draw_units(given.clips, seed=1)).interval()
            for metric in metrics
        ]

    def once() -> list[Interval]:
        draws = draw_units(given.clips, seed=1)
        return [resample(scores, targets, metric, draws).interval() for metric in metrics]

    slow, expected = best_of(anew)
    quick, found = best_of(once)
    if found != expected:
        raise SystemExit("the two ways give different intervals")
    print(f"{given.clips} clips, {given.seeds} seeds, {len(found)} metrics, 2000 resamples")
    print(
        f"drawn anew for each metric {slow:.2f} s, drawn once {quick:.2f} s: {slow / quick:.1f} x"
    )


if __name__ == "__main__":
    main()
