"""Widths of intervals from clips that have exactly the modalities in question."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from compose import Joined, name_clip

from mien.evaluation.conformal import LEVEL, Calibration, half_width, name_modalities
from mien.evaluation.predictions import Predictions
from mien.types import Modality, Scale, Task

_SCALE = Scale(-3, 3)


def calibrate_alone(
    found: Predictions,
    joined: Sequence[Joined],
    *,
    without: Collection[str] = (),
    scale: Scale = _SCALE,
) -> Calibration:
    """Take the widths from clips of valid; each rests on clips with exactly its modalities.

    ``mien.evaluation.conformal`` takes modalities away from clips that have more. Their annotation
    is then still that of the whole clip: right where people have seen the whole, but the label of a
    composed clip is made of all of its items, and a lone voice is labelled as the voice that it is.
    The score of a lone modality is that of its own head. CMU-MOSEI's transcripts are left out: they
    are easier than CMU-MOSI's, and more.

    Args:
        found: Scores of the clips of valid.
        joined: What they are composed of, among others.
        without: Groups of items that the model has learned from; clips with one are left out.
        scale: Scores are cut to it first, as predictions are.
    """
    fusion: dict[str, float] = {}
    own: dict[Modality, float] = {}
    counts: dict[str, int] = {}
    for present, rows in rows_by_modalities(found, joined, without).items():
        name = name_modalities(present)
        task = Task(present[0]) if len(present) == 1 else Task.FUSION
        scores = scale.clip(found.scores[task])
        width = half_width((scores - found.targets[task])[rows], LEVEL)
        counts[name] = len(rows)
        if len(present) == 1:
            counts[f"only {name}"] = len(rows)
        if np.isfinite(width):
            fusion[name] = width
            own |= {present[0]: width} if len(present) == 1 else {}
    return Calibration(level=LEVEL, fusion=fusion, unimodal=own, num_clips=counts)


def rows_by_modalities(
    found: Predictions, joined: Sequence[Joined], without: Collection[str] = ()
) -> Mapping[tuple[Modality, ...], list[int]]:
    """Return the rows that have exactly a set of modalities, for every set that occurs."""
    by_name = {name_clip(one): one for one in joined}
    rows: dict[tuple[Modality, ...], list[int]] = defaultdict(list)
    for row, name in enumerate(found.ids):
        items = by_name[name].items
        is_easy = any(item.source == "mosei" for item in items.values())
        if not is_easy and not any(item.group in without for item in items.values()):
            rows[tuple(items)].append(row)
    order = list(Modality)
    return dict(sorted(rows.items(), key=lambda one: (len(one[0]), [*map(order.index, one[0])])))
