"""Make a table and feature files from RAVDESS, split by actor, for ``mien import``.

    python recipes/ravdess.py DATA OUT
    mien import OUT/clips.csv --corpus ravdess --scale -1,1 --out stores/ravdess \
        --features audio=OUT/audio.npz --features video=OUT/video.npz
    mien import OUT/emotions.csv --corpus ravdess --target emotion=ravdess8 \
        --out stores/ravdess-emotions \
        --features audio=OUT/statistics.npz --features video=OUT/video.npz
    mien import OUT/valence_emotions.csv --corpus ravdess --scale -1,1 --target emotion=ravdess8 \
        --out stores/ravdess-both --features audio=OUT/audio.npz --features video=OUT/video.npz
    mien extract OUT/recordings.csv --corpus ravdess --scale -1,1 --out stores/ravdess-librosa \
        --audio librosa-sims --video none --text none

DATA holds ``ravdess_logmel.npz`` and ``ravdess_utterances.npz``; where it has the folder ``audio``
too, ``recordings.csv`` names its file beside every clip, for ``mien extract``. Labels are a valence
map of what the actors were asked to show (Livingstone and Russo 2018 give no valence), not what
people saw: happy 1, calm .5, surprised .3, neutral 0, fearful -.6, sad -.7, disgust -.7, angry -.8.
``emotions.csv`` has the eight emotions in place of the label; ``statistics.npz`` one vector of
log-mel statistics a clip, from which they are told better than from the series.
``valence_emotions.csv`` has labels and emotions, and ``valence_emotions_1to17.csv`` those of train
and valid alone, to be cut into folds. The speaker is the actor: features.standardise=speaker reads
every clip against the actor's others. RAVDESS is CC BY-NC-SA 4.0.
"""

import argparse
import csv
import os
from pathlib import Path

import numpy as np

VALENCE = {1: 0.0, 2: 0.5, 3: 1.0, 4: -0.7, 5: -0.8, 6: -0.6, 7: -0.7, 8: 0.3}
EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgusted", "surprised")
STATEMENTS = {1: "Kids are talking by the door", 2: "Dogs are sitting by the door"}
LAST_TRAIN, LAST_VALID = 14, 17


def make(data: Path, out: Path) -> None:
    """Write four tables, three feature files, and with sound ``recordings.csv``."""
    out.mkdir(parents=True, exist_ok=True)
    with np.load(data / "ravdess_logmel.npz") as series:
        ids = [str(name) for name in series["id"]]
        np.savez(
            out / "audio.npz",
            id=[_clip_id(name) for name in ids],
            values=series["logmel"].astype(np.float32),
            length=series["length"],
            step_seconds=0.02,
        )
    with np.load(data / "ravdess_utterances.npz") as utterances:
        np.savez(
            out / "video.npz",
            id=[_clip_id(str(name)) for name in utterances["id"]],
            values=utterances["vision"].astype(np.float32),
            vision_cols=utterances["vision_cols"],
        )
        np.savez(
            out / "statistics.npz",
            id=[_clip_id(str(name)) for name in utterances["id"]],
            values=utterances["audio"].astype(np.float32),
        )
    rows = [_describe(name) for name in ids]
    _write(out / "clips.csv", rows)
    both = [
        row | {"emotion": EMOTIONS[int(name.split("-")[2]) - 1]}
        for name, row in zip(ids, rows, strict=True)
    ]
    _write(out / "valence_emotions.csv", both)
    _write(out / "valence_emotions_1to17.csv", [row for row in both if row["mode"] != "test"])
    _write(
        out / "emotions.csv",
        [{key: value for key, value in row.items() if key != "label"} for row in both],
    )
    if (data / "audio").is_dir():
        folder = os.path.relpath((data / "audio").resolve(), out.resolve())
        named = zip(ids, rows, strict=True)
        _write(
            out / "recordings.csv",
            [row | {"path": f"{folder}/{Path(name).stem}.flac"} for name, row in named],
        )


def _describe(name: str) -> dict[str, object]:
    """Return the row of a take: its names, what is said, its label, and the split of its actor."""
    video, clip = _clip_id(name).split("$_$")
    emotion, statement, actor = (int(name.split("-")[i]) for i in (2, 4, 6))
    return {
        "video_id": video,
        "clip_id": clip,
        "speaker": video,
        "text": STATEMENTS[statement],
        "label": VALENCE[emotion],
        "mode": "train" if actor <= LAST_TRAIN else "valid" if actor <= LAST_VALID else "test",
    }


def _write(path: Path, rows: list[dict[str, object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _clip_id(name: str) -> str:
    """Return actor and take; the same for a take's audio (03-) and video (01-) file."""
    parts = Path(name).stem.split("-")
    return f"actor{parts[6]}$_${'-'.join(parts[2:6])}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    make(arguments.data, arguments.out)
