"""Measure how well FER+'s photographs are told, by how near they are to photographs of train.

    python recipes/ferplus_copies.py DATA/face RUN --out copies.md [--split valid]

DATA/face is as for ``ferplus.py``, RUN a run on the store of its table. FER+ has many photographs
more than once, cut or lit a little differently, across its splits; ``ferplus.py`` leaves out those
alone whose blendshapes are equal. The table has the photographs of a split by the distance of their
blendshapes from the nearest photograph of train: the root of the sum of squared differences of
their log odds, in standard deviations of train, cut at 5. "same pose" are those of which the
nearest has pitch, yaw and roll within 3 degrees, none of which is a blendshape; two photographs at
random hardly ever have. Accuracies are those of the run (mean of the seeds' scores), of the votes
of the 30 nearest photographs of train, weighted by exp(-2 distance), and of the mean of both.
"""

import argparse
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from ferplus import CLASSES, Photographs, read

from mien.evaluation.predictions import Predictions, average_predictions
from mien.evaluation.target_metrics.class_metrics import CLASS_METRICS
from mien.files.atomic import write_text
from mien.models.standardise import log_odds
from mien.reports.text import format_value, markdown_table
from mien.training.run_folder import open_run
from mien.types import Split, Task

#: Where one row of the table ends and the next begins.
EDGES = (0.0, 1.5, 2.0, 2.5, 3.0, np.inf)
#: Degrees within which two heads are turned alike, in each of three angles.
NEAR_POSE = 3.0
NUM_NEIGHBOURS, SHARPNESS, FARTHEST = 30, 2.0, 5.0


class Neighbours(NamedTuple):
    """What the photographs of train say of others.

    Attributes:
        distances: Distance of each from the nearest photograph of train, ``(N,)``.
        rows: Which photograph of train that is, ``(N,)``.
        shares: Shares of the votes of the nearest ones, ``(N, K)``.
    """

    distances: np.ndarray
    rows: np.ndarray
    shares: np.ndarray


def find_neighbours(train: np.ndarray, votes: np.ndarray, others: np.ndarray) -> Neighbours:
    """Find the nearest photographs of train.

    Args:
        train: Blendshapes of train, ``(M, D)``.
        votes: Their votes, ``(M, K)``.
        others: Blendshapes of other photographs, ``(N, D)``.
    """
    given, asked = (log_odds(torch.from_numpy(shapes)) for shapes in (train, others))
    mean, deviation = given.mean(dim=0), given.std(dim=0).clamp(min=1e-6)
    given, asked = (
        ((odds - mean) / deviation).clamp(-FARTHEST, FARTHEST) for odds in (given, asked)
    )
    parts = [
        torch.cdist(part, given).topk(min(NUM_NEIGHBOURS, len(given)), largest=False)
        for part in asked.split(500)
    ]
    distances = torch.cat([part.values for part in parts])  # (N, 30)
    rows = torch.cat([part.indices for part in parts])
    weights = (-SHARPNESS * (distances - distances[:, :1])).exp()
    shares = torch.from_numpy(votes / votes.sum(axis=1, keepdims=True))[rows]  # (N, 30, K)
    told = torch.einsum("nm,nmk->nk", weights.double(), shares) / weights.double().sum(1)[:, None]
    return Neighbours(distances[:, 0].numpy(), rows[:, 0].numpy(), told.numpy())


def poses_agree(poses: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return which pairs of heads, ``(N, 3)`` in degrees each, are turned alike."""
    return (np.abs(poses - others) < NEAR_POSE).all(axis=1)


def read_run(run: Path, split: Split) -> Predictions:
    """Return the mean of what the seeds of a run predict of a split.

    Raises:
        ValueError: If the run has no predictions of it.
    """
    each = [seed.predictions(split) for seed in open_run(run).seeds]
    if not each or None in each:
        raise ValueError(f"{run}: a seed has no predictions of {split}; finish the training first")
    return average_predictions(each)


def measure_copies(photographs: Photographs, told: Predictions) -> str:
    """Return the table of what is predicted of photographs.

    Raises:
        ValueError: If the predictions are of others.
    """
    row_of = {f"{name}$_$1": row for row, name in enumerate(photographs.videos)}
    if alien := [name for name in told.ids if name not in row_of]:
        raise ValueError(f"{alien[0]} is none of the photographs; make store and run of them anew")
    asked = np.array([row_of[name] for name in told.ids])
    given = np.flatnonzero(photographs.splits == "train")
    shapes, votes, poses = photographs.shapes, photographs.votes, photographs.poses
    emotion = told.values["emotion"]
    columns = [
        next(column for column, plain in enumerate(CLASSES) if name.startswith(plain))
        for name in emotion.target.classes  # disgusted, contemptuous
    ]
    near = find_neighbours(shapes[given], votes[given][:, columns], shapes[asked])
    network, truths = emotion.values[Task.FUSION], emotion.truths[Task.FUSION]
    ways = (network, near.shares, (network + near.shares) / 2)
    is_same = poses_agree(poses[asked], poses[given[near.rows]])
    accuracy = CLASS_METRICS["accuracy"]

    def row(name: str, chosen: np.ndarray) -> list[str]:
        cells = [format_value(accuracy.function(v[chosen], truths[chosen]), accuracy) for v in ways]
        return [name, str(chosen.sum()), f"{100 * is_same[chosen].mean():.1f}", *cells]

    rows = [
        row(f"{low:g} to {high:g}" if high < np.inf else f"from {low:g}", chosen)
        for low, high in pairwise(EDGES)
        if (chosen := (near.distances >= low) & (near.distances < high)).any()
    ]
    random = np.random.default_rng(1).choice(given, len(asked))
    chance = f"{100 * poses_agree(poses[asked], poses[random]).mean():.1f}"
    rows += [row("any", np.ones(len(asked), bool)), ["two at random", "", chance, "", "", ""]]
    heading = ("distance from train", "photographs", "same pose %", "network %", "neighbours %")
    return markdown_table([*heading, "both %"], rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--split", choices=("valid", "test"), default="test")
    arguments = parser.parse_args()
    table = measure_copies(read(arguments.data), read_run(arguments.run, arguments.split))
    write_text(arguments.out, table + "\n")
