"""Extract real clips, and count the errors in recognised words where the words are known.

    python recipes/clips.py CLIPS [--recogniser whisper-base]
    python recipes/clips.py CLIPS --out OUT.md

CLIPS is a folder of folders of recordings; beside it lies ``mosi`` with ``label.csv`` and
``mosi_words.json``. The words are spelt by the file names (GRID, RAVDESS, sentence DFA of CREMA-D)
or stand in the table (MOSI). Letters and digits count as words: "F2" is "f two". Without ``--out``
a Markdown table of what was recognised in each clip is written to the standard output. With it, a
table of the groups is written to that file: in how many frames a face was found and followed, the
share of wrong words of two recognisers, and how fast each stage is (see ``speed.py``; recognisers
where they found words).
"""

import argparse
import csv
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import Path
from typing import NamedTuple

import numpy as np
from speed import DECODING, Measured, find_recordings, measure, speed, use_one_core

from mien.extraction.extractors import EXTRACTORS
from mien.extraction.extractors.speech import SpeechRecogniser, Transcript
from mien.extraction.media import AudioSink, Source, decode
from mien.files.atomic import write_text
from mien.reports.text import markdown_table

DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
GRID = (
    {"b": "bin", "l": "lay", "p": "place", "s": "set"},
    {"b": "blue", "g": "green", "r": "red", "w": "white"},
    {"a": "at", "b": "by", "i": "in", "w": "with"},
    {},
    dict(zip("z123456789", DIGITS, strict=True)),
    {"n": "now", "a": "again", "p": "please", "s": "soon"},
)
RAVDESS = {"01": "kids are talking by the door", "02": "dogs are sitting by the door"}
EXTRACTED = ("librosa-sims/1", "face/1")
RECOGNISERS = ("whisper-tiny-en", "whisper-base")
CREMAD = {"DFA": "don't forget a jacket"}


class Known(NamedTuple):
    """A clip and what is said in it."""

    corpus: str
    path: Path
    words: list[str]


def find_clips(clips: Path) -> Iterator[Known]:
    """Yield the clips whose words are known."""
    for path in sorted((clips / "grid").glob("*.mpg")):
        yield Known("grid", path, [GRID[n].get(c, c) for n, c in enumerate(path.stem)])
    for path in sorted((clips / "ravdess").glob("*.mp4")):
        yield Known("ravdess", path, RAVDESS[path.stem.split("-")[4]].split())
    for path in sorted((clips / "cremad").glob("*.flv")):
        yield Known("cremad", path, CREMAD[path.stem.split("_")[1]].split())
    with (clips.parent / "mosi" / "label.csv").open(encoding="utf-8", newline="") as file:
        texts = {f"{row['video_id']}_{row['clip_id']}": row["text"] for row in csv.DictReader(file)}
    for path in sorted((clips / "mosi").iterdir()):
        yield Known("mosi", path, split(texts[path.stem]))


def split(text: str) -> list[str]:
    """Return the words of a text, letters and digits apart and in words."""
    parts = re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)*|\d", text.lower())
    return [DIGITS[int(part)] if part.isdigit() else part for part in parts]


def count_errors(wanted: list[str], found: list[str]) -> int:
    """Return the least number of words to replace, add or leave out."""
    costs = list(range(len(found) + 1))
    for row, word in enumerate(wanted, start=1):
        before, costs[0] = costs[0], row
        for column, other in enumerate(found, start=1):
            least = min(costs[column] + 1, costs[column - 1] + 1, before + (word != other))
            before, costs[column] = costs[column], least
    return costs[-1]


def recognise(recogniser: SpeechRecogniser, path: Path) -> tuple[Transcript, float]:
    """Return what is recognised, and the seconds of sound."""
    stream = recogniser.begin()
    sink = AudioSink(recogniser.rate_hertz, stream.feed)
    seconds = decode(Source(path=path), audio=[sink]).seconds
    return stream.finish(), seconds


def time_differences(transcript: Transcript, aligned: list[list[object]]) -> list[float]:
    """Return by how much later the words that are the same start here than in the alignment."""
    spoken = [(str(word).lower(), float(str(start))) for word, start, _ in aligned if word != "sp"]
    found = [(" ".join(split(word.text)), word.start) for word in transcript.words]
    matcher = SequenceMatcher(None, [w for w, _ in spoken], [w for w, _ in found], autojunk=False)
    return [
        found[match.b + n][1] - spoken[match.a + n][1]
        for match in matcher.get_matching_blocks()
        for n in range(match.size)
    ]


def tabulate(clips: Path, name: str) -> Iterator[str]:
    """Yield the lines of the table."""
    recogniser = SpeechRecogniser(name)
    aligned = json.loads((clips.parent / "mosi" / "mosi_words.json").read_text(encoding="utf-8"))
    wrong, total = Counter[str](), Counter[str]()
    differences: list[float] = []
    spent = heard = 0.0
    yield f"| clip | said | recognised by {recogniser.name} | errors |"
    yield "|---|---|---|---|"
    for clip in find_clips(clips):
        begun = time.perf_counter()
        transcript, seconds = recognise(recogniser, clip.path)
        spent, heard = spent + time.perf_counter() - begun, heard + seconds
        errors = count_errors(clip.words, split(transcript.text))
        wrong[clip.corpus] += errors
        total[clip.corpus] += len(clip.words)
        differences += time_differences(transcript, aligned.get(clip.path.stem, []))
        said = " ".join(clip.words)
        yield f"| {clip.path.stem} | {said} | {transcript.text} | {errors} of {len(clip.words)} |"
    yield f"\n{heard / spent:.1f} seconds of sound a second; " + ", ".join(
        f"{corpus} {100 * wrong[corpus] / total[corpus]:.1f} %" for corpus in total
    )
    if differences:
        late, spread = np.median(differences), np.percentile(np.abs(differences), 90)
        yield (
            f"{len(differences)} words start {late:+.2f} s (median) after MOSI's alignment; "
            f"nine of ten are within {spread:.2f} s"
        )


def tabulate_groups(clips: Path) -> str:
    """Return a table with a row per group of clips."""
    stages = {name: EXTRACTORS[name].build("") for name in EXTRACTED}
    stages |= {name: SpeechRecogniser(name) for name in RECOGNISERS}
    known = {clip.path: clip.words for clip in find_clips(clips)}
    groups = [one for one in sorted(clips.iterdir()) if one.is_dir()]
    measure(find_recordings(groups[0])[0], stages)  # compiles what is compiled once
    rows, everything = [], {}
    for group in groups:
        measured = {path: measure(path, stages) for path in find_recordings(group)}
        rows.append(_row(group.name, measured, known))
        everything |= measured
    rows.append(_row("all", everything, known))
    heading = ["", "clips", "seconds", "frames with a face %"]
    heading += [f"wrong words %, {name}" for name in RECOGNISERS]
    heading += [f"{name} x" for name in (DECODING, *EXTRACTED, *RECOGNISERS)]
    return markdown_table(heading, rows)


def _row(name: str, measured: dict[Path, Measured], known: dict[Path, list[str]]) -> list[str]:
    """Return the row of a group; x is seconds of recording per second of one core."""
    notes = [one.found["face/1"].notes for one in measured.values() if "face/1" in one.found]
    frames = sum(one["frames"] for one in notes)
    faces = sum(one["frames"] * one["face_share"] for one in notes)
    cells = [name, str(len(measured)), f"{sum(one.seconds for one in measured.values()):.1f}"]
    cells.append(f"{100 * faces / frames:.1f}" if frames else "")
    spoken = {path: known[path] for path in measured if path in known}
    total = sum(len(words) for words in spoken.values())
    for recogniser in RECOGNISERS:
        errors = sum(
            count_errors(words, split(measured[path].found[recogniser].text))
            for path, words in spoken.items()
        )
        cells.append(f"{100 * errors / total:.1f} ({errors} of {total})" if total else "")
    cells += [speed(measured.values(), stage) for stage in (DECODING, *EXTRACTED)]
    for recogniser in RECOGNISERS:  # nothing is quicker than recognising nothing
        heard = [one for one in measured.values() if recogniser in one.found]
        cells.append(speed((one for one in heard if one.found[recogniser].text), recogniser))
    return cells


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path)
    parser.add_argument("--recogniser", default="auto")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.out is not None:
        use_one_core()
        write_text(arguments.out, tabulate_groups(arguments.clips) + "\n")
        sys.exit()
    for line in tabulate(arguments.clips, arguments.recogniser):
        sys.stdout.write(line + "\n")
