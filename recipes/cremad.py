"""Make a table and a feature file from CREMA-D, split by actor, for ``mien import``.

    python recipes/cremad.py DATA OUT
    mien import OUT/clips.csv --corpus cremad --scale -1,1 --out stores/cremad \
        --features audio=OUT/audio.npz
    mien import OUT/emotions.csv --corpus cremad --target emotion=cremad6 \
        --out stores/cremad-emotions --features audio=OUT/audio.npz

DATA holds ``cremad_audio.npz``: per clip 47 statistics of the voice, and the mean vote in -1..1 of
people who heard and saw the clip (``label``), heard it alone (``label_A``) or saw it alone
(``label_V``). There are no features of the face, so that its votes are of no use here but stay in
the table. With ``votes.csv`` in DATA, ``emotions.csv`` has how many of the people who heard a clip
alone voted for each of six emotions: soft labels of the voice, the only modality of that store. An
actor is a video: intervals and folds go by actor. Labels are generated for train
clips alone, so that most actors are in train; every eighth is in valid or test, in turn. CREMA-D
is under ODbL 1.0.

Source: cao2014.
"""

import argparse
import csv
from pathlib import Path

import numpy as np

from mien.corpora.emotion_layouts.cremad import LETTERS, SENTENCES

EVERY = 8  # of so many actors, one is not in train


def make(data: Path, out: Path) -> None:
    """Write ``clips.csv`` and ``audio.npz``, and ``emotions.csv`` where there are votes."""
    out.mkdir(parents=True, exist_ok=True)
    with np.load(data / "cremad_audio.npz") as source:
        arrays = {name: source[name] for name in source}
    modes = split_actors(arrays["actor"])
    ids = [f"{actor}$_${name}" for actor, name in zip(arrays["actor"], arrays["id"], strict=True)]
    np.savez(
        out / "audio.npz",
        id=ids,
        values=arrays["audio"].astype(np.float32),
        audio_cols=arrays["audio_cols"],
    )
    with (out / "clips.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        columns = ["video_id", "clip_id", "text", "label", "label_A", "label_V", "mode"]
        writer.writerow(columns)
        for row, name in enumerate(arrays["id"].tolist()):
            actor = int(arrays["actor"][row])
            votes = [f"{float(arrays[column][row]):.6f}" for column in columns[3:6]]
            writer.writerow([actor, name, SENTENCES[name.split("_")[1]], *votes, modes[actor]])

    if (data / "votes.csv").is_file():
        _write_emotions(data / "votes.csv", out / "emotions.csv", arrays, modes)


def _write_emotions(
    votes: Path, out: Path, arrays: dict[str, np.ndarray], modes: dict[int, str]
) -> None:
    with votes.open(encoding="utf-8", newline="") as file:
        rows = {row["fileName"]: row for row in csv.DictReader(file)}
    with out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        classes = [f"emotion:{name}" for name in LETTERS.values()]
        writer.writerow(["video_id", "clip_id", "speaker", "text", *classes, "mode"])
        for name, actor in zip(arrays["id"].tolist(), arrays["actor"].tolist(), strict=True):
            counts = [rows[name][f"voice_{letter}"] for letter in LETTERS]
            text = SENTENCES[name.split("_")[1]]
            writer.writerow([actor, name, actor, text, *counts, modes[int(actor)]])


def split_actors(actors: np.ndarray) -> dict[int, str]:
    """Return the split of each actor: of every eight in order, one in valid or test, in turn."""
    modes = {}
    for place, actor in enumerate(np.unique(actors).tolist()):
        number, rest = divmod(place, EVERY)
        modes[actor] = "train" if rest != EVERY - 1 else ("valid", "test")[number % 2]
    return modes


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    make(arguments.data, arguments.out)
