"""Several sources of scores on the same clips: means over seeds, intervals, paired differences."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from jaxtyping import Float, Shaped

from mien.judgement import plain
from mien.metrics import Metric, Scores
from mien.resampling import Comparison, come_from_videos, resample
from mien.significance import summarise_seeds

__all__ = ["clusters_of", "contrast"]

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
) -> dict[str, dict[str, Any]]:
    """Judge several sources on the same clips, each of them over its seeds.

    All see the same resampled clusters, so that their differences are paired.

    Args:
        rows: Scores of each source, one row for each seed.
        targets: What they are compared with.
        metric: Of scores and targets.
        clusters: Name of each clip's cluster, from ``clusters_of``.
        against: Sources that are subtracted from every other one; those that are not there are
            passed over.

    Returns:
        Per source ``mean``, ``deviation`` (over seeds), ``values`` (one for each seed), ``low``
        and ``high`` (95 % interval of the mean), and ``less``: per source subtracted
        ``difference``, ``low``, ``high`` and ``p_value``. None stands for what is undefined, such
        as an interval over fewer than two clusters.
    """
    judged = {}
    drawn = {}
    if len(np.unique(clusters)) > 1:
        for name, one in rows.items():
            drawn[name] = resample(
                one, targets, metric, seed=_SEED, resamples=_RESAMPLES, clusters=clusters
            )
    for name, one in rows.items():
        values = [metric(row, targets) for row in one]
        summary = summarise_seeds(values)
        interval = drawn[name].interval() if name in drawn else None
        judged[name] = {
            "mean": plain(summary.mean),
            "deviation": plain(summary.deviation),
            "values": [plain(value) for value in values],
            "low": plain(interval.low) if interval else None,
            "high": plain(interval.high) if interval else None,
            "less": {
                other: _difference(drawn[name].less(drawn[other]))
                for other in against
                if other != name and other in drawn
            }
            if drawn
            else {},
        }
    return judged


def _difference(comparison: Comparison) -> dict[str, Any]:
    keys = ("difference", "low", "high", "p_value")
    return {key: plain(getattr(comparison, key)) for key in keys}
