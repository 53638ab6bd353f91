"""Results of a study that an earlier version wrote, with the intervals of now.

Earlier versions gave percentile intervals however few the videos were, and differences whose
interval and p value left out the seeds. What they stored holds enough to work out the present
ones nearly: the values of all seeds, and intervals over videos, whose width gives the standard
error.
"""

import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final

import numpy as np

from mien.evaluation.intervals import FEW_UNITS, compare_values, t_interval
from mien.evaluation.label_agreement import AGREEMENT
from mien.evaluation.metrics import METRICS, Metric
from mien.evaluation.significance import describe_difference
from mien.files.json_values import json_number
from mien.studies.results.attention_metrics import ATTENTION_METRICS

__all__ = ["restate_results"]

_NORMAL: Final = 1.959964  # half of the normal distribution's 95 % in standard deviations


def restate_results(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return the results with present intervals; those that have them already are as they were.

    The standard error over G videos is taken from an interval's width, as that of a normal
    distribution, times sqrt(G / (G - 1)), by which a bootstrap falls short. That of the seeds
    comes from the values. ``is_restated`` records that this was done.
    """
    restated = copy.deepcopy(dict(results))
    for corpus in restated["corpora"].values():
        for part, metrics in _parts(corpus):
            for name, entries in part["metrics"].items():
                if any(_is_earlier(entry) for entry in entries.values()):
                    restated["is_restated"] = True
                    fixed = entries.keys() - corpus["variants"].keys()
                    _restate(entries, part["num_clusters"], metrics[name], fixed)
    return restated


def _parts(corpus: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], Mapping[str, Metric]]]:
    """Yield whatever was evaluated on the same clips, with its metrics."""
    for labels in corpus.get("labels", {}).values():
        for part in labels.get("agreement", {}).values():
            yield part, AGREEMENT
    for tasks in corpus.get("scores", {}).values():
        for part in tasks.values():
            yield part, METRICS[corpus["family"]]
    for modalities in corpus.get("attention", {}).values():
        for part in modalities.values():
            yield part, ATTENTION_METRICS


def _is_earlier(entry: Mapping[str, Any]) -> bool:
    return any("covers_seeds" not in less for less in entry["less"].values())


def _restate(entries: Mapping[str, Any], num_units: int, metric: Metric, fixed: set[str]) -> None:
    """Replace the intervals of all sources of one metric."""
    values = {
        name: np.array([math.nan if v is None else v for v in entry["values"]])
        for name, entry in entries.items()
    }
    for name, entry in entries.items():
        if num_units < FEW_UNITS and entry["low"] is not None:
            ends = t_interval(
                entry["mean"], _error(entry, num_units), num_units - 1, bounds=metric.bounds
            )
            entry["low"], entry["high"] = map(json_number, ends)
        for other, less in entry["less"].items():
            if less["low"] is None:
                less |= {"error_units": None, "error_seeds": None, "covers_seeds": False}
                continue
            sides = [None if source in fixed else values[source] for source in (name, other)]
            error = _error(less, num_units)
            difference = compare_values(less["difference"], error, num_units, sides)
            less |= asdict(describe_difference(difference))


def _error(entry: Mapping[str, Any], num_units: int) -> float:
    """Return the standard error over units that the width of a percentile interval gives."""
    width = float(entry["high"]) - float(entry["low"])
    return width / (2 * _NORMAL) * math.sqrt(num_units / (num_units - 1))
