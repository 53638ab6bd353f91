"""Several sources of scores on the same clips: means over seeds, intervals, paired differences."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import numpy as np
from jaxtyping import Float, Shaped

from mien.evaluation.bootstrap import Comparison, come_from_videos, draw_units, resample
from mien.evaluation.evaluate import plain
from mien.evaluation.metrics import Metric, Scores
from mien.evaluation.significance import summarise_seeds

__all__ = ["clusters_of", "contrast", "describe_difference"]

_SEED: Final = 1111
_RESAMPLES: Final = 2000


def clusters_of(videos: Shaped[np.ndarray, " N"]) -> Shaped[np.ndarray, " N"]:
    """Return what to resample: whole videos where several clips come from one, else clips."""
    return videos if come_from_videos(videos) else np.arange(len(videos)).astype(str)


def contrast(
    rows: Mapping[str, Float[np.ndarray, "_ N"]],
    targets: Scores,
    metric: Metric,
    *,
    clusters: Shaped[np.ndarray, " N"],
    against: Sequence[str] = (),
    fixed: Collection[str] = (),
) -> dict[str, dict[str, Any]]:
    """Judge several sources on the same clips, each of them over its seeds.

    All lose and see the same clusters, so that their differences are paired.

    Args:
        rows: Scores of each source, one row for each seed.
        targets: What they are compared with.
        metric: Of scores and targets.
        clusters: Name of each clip's cluster, from ``clusters_of``.
        against: Sources that are subtracted from every other one; those that are not there are
            passed over.
        fixed: Sources without a training, such as copies of the annotation: another seed would not
            change them.

    Returns:
        Per source ``mean``, ``deviation`` (over seeds), ``values`` (one for each seed), ``low``
        and ``high`` (95 % interval of the mean over the clusters), and ``less``: per source
        subtracted ``difference``, ``low``, ``high`` and ``p_value`` as ``paired_difference`` gives
        them, ``covers_seeds`` (if False, they hold for these weights alone), ``error_units`` and
        ``error_seeds``. None stands for what is undefined, such as an interval of one cluster.
    """
    draws = draw_units(len(targets), clusters, seed=_SEED, resamples=_RESAMPLES)
    drawn = {
        name: resample(one, targets, metric, draws, is_fixed=name in fixed)
        for name, one in rows.items()
    }
    judged = {}
    for name, one in drawn.items():
        summary = summarise_seeds(one.values.tolist())
        interval = one.interval()
        judged[name] = {
            "mean": plain(summary.mean),
            "deviation": plain(summary.deviation),
            "values": [plain(value) for value in one.values.tolist()],
            "low": plain(interval.low),
            "high": plain(interval.high),
            "less": {
                other: describe_difference(one.less(drawn[other]))
                for other in against
                if other != name and other in drawn
            },
        }
    return judged


def describe_difference(comparison: Comparison) -> dict[str, Any]:
    """Return a difference as JSON holds it."""
    keys = ("difference", "low", "high", "p_value", "error_units", "error_seeds")
    found: dict[str, Any] = {key: plain(getattr(comparison, key)) for key in keys}
    return {**found, "covers_seeds": comparison.covers_seeds}
