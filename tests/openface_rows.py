"""CSV files as OpenFace leaves them."""

import numpy as np

from mien.extraction.extractors.openface.csv_files import OPENFACE_709

BOOKKEEPING = ("frame", "face_id", "timestamp", "confidence", "success")


def values_of(frame, face=0):
    """Return made values of a frame: the first tells frame and face."""
    return [100 * face + frame, *np.round(np.arange(1, 709) / 7 + frame, 3)]


def make_rows(frames=range(1, 10), *, face=0, rate=25, success=1, confidence=0.9):
    return [
        [frame, face, round((frame - 1) / rate, 3), confidence, success, *values_of(frame, face)]
        for frame in frames
    ]


def write_csv(path, rows, columns=(*BOOKKEEPING, *OPENFACE_709), *, leave_out=(), gap=","):
    path.parent.mkdir(parents=True, exist_ok=True)
    places = [place for place, name in enumerate(columns) if name not in leave_out]
    with path.open("w", encoding="utf-8", newline="") as file:
        for row in [columns, *rows]:
            file.write(gap.join(str(row[place]) for place in places) + "\n")
    return path
