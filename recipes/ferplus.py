"""Make a table and a feature file from blendshapes of FER+'s photographs, for ``mien import``.

    python recipes/ferplus.py DATA/face OUT
    mien import OUT/clips.csv --corpus ferplus --features video=OUT/video.npz --out stores/ferplus

DATA/face holds ``ferplus.npz``: 52 blendshapes of each photograph in which a face was found, and
the votes of ten raters (FER+, Barsoum et al. 2016). A photograph becomes a series of one step, the
votes for the eight emotions its annotation; votes for "unknown" and "not a face" are left out, and
so are photographs that have no others. The official split, where valid and test hold only
photographs with a clear majority: at least half of the raters chose one emotion. FER+ has some
photographs twice, across its splits: one that is in two is left out of the earlier. Nothing names
the people, so that an interval over photographs is all that can be had.
"""

import argparse
import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np

CLASSES = ("neutral", "happy", "surprised", "sad", "angry", "disgust", "fearful", "contempt")
SPLITS = ("train", "valid", "test")
#: Share of all raters that makes a majority clear.
MAJORITY = 0.5


class Photographs(NamedTuple):
    """Photographs in which a face was found, with the votes for an emotion.

    Attributes:
        videos: Name of each photograph.
        splits: Its split.
        shapes: Blendshapes, ``(N, 52)`` within 0 to 1.
        names: Their names.
        votes: How many raters chose each of ``CLASSES``, ``(N, 8)``.
        poses: Pitch, yaw and roll of the head in degrees, ``(N, 3)``.
    """

    videos: list[str]
    splits: np.ndarray
    shapes: np.ndarray
    names: np.ndarray
    votes: np.ndarray
    poses: np.ndarray


def read(data: Path) -> Photographs:
    """Read the photographs that are used, in the order of the file."""
    with np.load(data / "ferplus.npz", allow_pickle=False) as file:
        names = file["vote_names"].tolist()
        cast, found, splits = file["votes"], file["found"], file["split"]
        images, shapes = file["image"], file["blendshapes"].astype(np.float32)
        features, poses = file["names"], file["pose"][:, :3]
    votes = cast[:, [names.index(name) for name in CLASSES]]
    is_clear = votes.max(axis=1) >= MAJORITY * cast.sum(axis=1)
    is_used = found & votes.any(axis=1) & (is_clear | (splits == "train"))
    is_used &= ~find_twins(shapes, [SPLITS.index(split) for split in splits.tolist()])
    rows = np.flatnonzero(is_used)
    videos = [Path(str(images[row])).stem for row in rows]
    return Photographs(videos, splits[rows], shapes[rows], features, votes[rows], poses[rows])


def make(data: Path, out: Path) -> None:
    """Write ``clips.csv`` and ``video.npz``."""
    out.mkdir(parents=True, exist_ok=True)
    used = read(data)
    with (out / "clips.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["video_id", "clip_id", "mode", *(f"emotion:{name}" for name in CLASSES)])
        for video, split, votes in zip(used.videos, used.splits, used.votes, strict=True):
            writer.writerow([video, "1", split, *votes.tolist()])
    np.savez(
        out / "video.npz",
        id=[f"{video}$_$1" for video in used.videos],
        values=used.shapes,
        length=np.ones(len(used.videos), np.int64),
        names=used.names,
    )


def find_twins(shapes: np.ndarray, splits: list[int]) -> np.ndarray:
    """Return which photographs are in a later split as well, by the bytes of their blendshapes."""
    keys = [row.tobytes() for row in shapes]
    last: dict[bytes, int] = {}
    for key, split in zip(keys, splits, strict=True):
        last[key] = max(split, last.get(key, split))
    return np.array([last[key] > split for key, split in zip(keys, splits, strict=True)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    make(arguments.data, arguments.out)
