"""Cells and captions of a study's tables."""

from collections.abc import Mapping
from typing import Any

from mien.evaluation.metrics import Metric
from mien.reports.text import format_interval, format_value, note_on_units

__all__ = ["caption", "count_clips", "count_seeds", "ends", "less", "spread"]


def caption(name: str, judged: Mapping[str, Any], results: Mapping[str, Any], clips: str) -> str:
    """Say below a table on what it rests."""
    mark = " (synthetic)" if judged["is_synthetic"] else ""
    return f"*{name}{mark}; {clips}; seeds of each row in its column; `{results['command']}`.*"


def count_clips(one: Mapping[str, Any], word: str) -> str:
    """Say how many clips and videos a part of the results rests on."""
    units, clips = one["num_clusters"], one["num_clips"]
    inside = "" if units == clips else f" in {units} video{'s' * (units != 1)}"
    return f"{clips} clip{'s' * (clips != 1)} of {word}{inside}{note_on_units(units)}"


def count_seeds(entry: Mapping[str, Any], judged: Mapping[str, Any], name: str) -> str:
    """Return how many seeds an entry rests on; of how many, if some are missing."""
    num = len(entry["values"])
    runs = judged["variants"].get(name, {}).get("runs", {})
    return f"{num} of {len(runs)}" if len(runs) > num else str(num)


def spread(entry: Mapping[str, Any], metric: Metric) -> str:
    """Return the mean over the seeds, with its deviation where there are several."""
    mean = format_value(entry["mean"], metric)
    if len(entry["values"]) < 2 or entry["deviation"] is None:
        return mean
    return f"{mean} ± {format_value(entry['deviation'], metric)}"


def ends(entry: Mapping[str, Any], metric: Metric) -> str:
    """Return the interval of the mean."""
    return format_interval(entry["low"], entry["high"], metric)


def less(entry: Mapping[str, Any], other: str, metric: Metric) -> str:
    """Return the difference to another source, with its interval.

    Bold, with the word ``better`` or ``worse``, where the interval covers the seeds and leaves out
    zero; ``(weights)`` where it does not cover the seeds.
    """
    found = entry["less"].get(other)
    if found is None or found["difference"] is None:
        return ""
    sign = "+" if found["difference"] > 0 else ""
    text = f"{sign}{format_value(found['difference'], metric)}"
    both = format_interval(found["low"], found["high"], metric)
    if found["low"] is None:
        return text
    if not found["covers_seeds"]:
        return f"{text} {both} (weights)"
    if found["low"] <= 0 <= found["high"]:
        return f"{text} {both}"
    is_better = (found["difference"] > 0) == metric.higher_is_better
    return f"**{text} {'better' if is_better else 'worse'}** {both}"
