"""Make a table and feature files from MMMO's word-aligned series, for ``mien import``.

    python recipes/mmmo.py DATA OUT
    mien import OUT/clips.csv --corpus mmmo --scale -2,2 --out stores/mmmo \
        --features audio=OUT/audio.npz --features video=OUT/video.npz

DATA holds ``audio_train.h5``, ``video_train.h5``, ``y_train.h5`` and the same for valid and test,
each with one array ``d1``; reading them needs h5py. MMMO (Wöllmer et al. 2013) are reviews of films
from the web, rated from 1 to 5. Labels are written as ``rating - 3``, on a
scale from -2 to 2: 0 is then the middle, as in the other corpora, and an error is as large as it
was. Audio: 74 COVAREP values per word; video: 36 FACET values; at most 20 words of a review. There
are no transcripts and no ids: ids are split and row. Steps at either end that are zero in both
series are padding and are left out.
"""

import argparse
import csv
from pathlib import Path

import h5py
import numpy as np

SPLITS = ("train", "valid", "test")
SERIES = ("audio", "video")
MIDDLE = 3.0


def make(data: Path, out: Path) -> None:
    """Write ``clips.csv``, ``audio.npz`` and ``video.npz``."""
    out.mkdir(parents=True, exist_ok=True)
    rows, kept = [], {name: [] for name in SERIES}
    for split in SPLITS:
        series = {name: _read(data / f"{name}_{split}.h5") for name in SERIES}
        ratings = _read(data / f"y_{split}.h5")
        for row, rating in enumerate(ratings.tolist(), start=1):
            rows.append([f"{split}{row:03d}", "1", rating - MIDDLE, split])
            both = [series[name][row - 1] for name in SERIES]
            begin, end = _find_words(np.concatenate(both, axis=1))
            for name, steps in zip(SERIES, both, strict=True):
                kept[name].append(steps[begin:end].astype(np.float32))
    ids = [f"{video}$_${clip}" for video, clip, _, _ in rows]
    for name, steps in kept.items():
        lengths = [len(one) for one in steps]
        np.savez(out / f"{name}.npz", id=ids, values=np.concatenate(steps), length=lengths)
    with (out / "clips.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["video_id", "clip_id", "label", "mode"])
        writer.writerows(rows)


def _read(path: Path) -> np.ndarray:
    with h5py.File(path) as file:
        return file["d1"][:]


def _find_words(steps: np.ndarray) -> tuple[int, int]:
    """Return where the first step with a value begins, and the last one ends."""
    filled = np.flatnonzero(steps.any(axis=1))
    return (int(filled[0]), int(filled[-1]) + 1) if filled.size else (0, 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    make(arguments.data, arguments.out)
