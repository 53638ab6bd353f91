"""CREMA-D from the names of its files and the votes of its raters (cao2014)."""

import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mien.corpora.class_names.schemes import SCHEMES
from mien.corpora.clip_table.cells import read_number
from mien.corpora.clip_table.target_requests import EMOTION, TargetRequest
from mien.corpora.emotion_layouts.layout_parts import (
    LayoutClips,
    LayoutRequest,
    describe_names,
    drop_suffix,
    iterate_recordings,
    iterate_rows,
    make_classes,
    name_class,
)
from mien.corpora.recording_table import RecordedClip
from mien.errors import ConfigError, CorpusError
from mien.files.reading import show
from mien.types import ID_SEPARATOR, Clip, Split, Task

__all__ = ["LETTERS", "SENTENCES", "read_cremad"]

logger = logging.getLogger(__name__)

#: What is said, by the letters in the name of a clip.
SENTENCES = {
    "IEO": "It's eleven o'clock",
    "TIE": "That is exactly what happened",
    "IOM": "I'm on my way to the meeting",
    "IWW": "I wonder what this is about",
    "TAI": "The airplane is almost full",
    "MTI": "Maybe tomorrow it will be cold",
    "IWL": "I would like a new alarm clock",
    "ITH": "I think I have a doctor's appointment",
    "DFA": "Don't forget a jacket",
    "ITS": "I think I've seen this before",
    "TSI": "The surface is slick",
    "WSI": "We'll stop in a couple of minutes",
}
#: One file has the level X instead of XX.
_NAME = re.compile(r"(\d{4})_([A-Z]{3})_(ANG|DIS|FEA|HAP|NEU|SAD)_(LO|MD|HI|XX?)")
#: The emotion of each letter in the tables of votes.
LETTERS = {
    "A": "angry", "D": "disgusted", "F": "fearful", "H": "happy", "N": "neutral", "S": "sad",
}  # fmt: skip
#: What was rated, by the first digit of the rows of ``tabulatedVotes.csv`` and the columns of
#: ``summaryTable.csv``.
_TASKS = {"1": Task.AUDIO, "2": Task.VIDEO, "3": Task.FUSION}
_SUMMARY = {"VoiceVote": Task.AUDIO, "FaceVote": Task.VIDEO, "MultiModalVote": Task.FUSION}
#: The column of rows' numbers has no name; pandas gives it one.
_TABULATED: Mapping[str, Sequence[str]] = {
    "": ("", "Unnamed: 0"),
    **{name: (name,) for name in (*LETTERS, "fileName")},
}
_MOST_VOTES = 1_000_000
_FIRST_ACTOR, _LAST_ACTOR = 1001, 1091
#: Of so many actors in order, one is not in train.
_EVERY = 8


def read_cremad(request: LayoutRequest) -> LayoutClips:
    """Read a folder with recordings such as ``1001_DFA_ANG_XX.wav``, and the votes beside them.

    ``tabulatedVotes.csv`` has how many raters heard, saw, or heard and saw each emotion: their
    shares are the values of ``emotion``, for voice, face and both, and ``acted`` is what the actor
    was told to show. ``summaryTable.csv`` has the most frequent answers alone; several of them
    count alike. With neither, ``emotion`` is what was acted. Of every eight actors in order of
    their numbers one is valid or test, in turn, as in ``recipes/cremad.py``; nothing is published.
    Without recordings the clips are those that have votes.

    Raises:
        CorpusError: If no file has such a name, or the votes are not as they should be.
    """
    if request.fold is not None:
        raise ConfigError("--fold: CREMA-D has no published folds; leave it out")
    folder = request.folder
    paths = _find_recordings(folder)
    votes = _read_votes(folder)
    names = sorted(paths) or sorted(votes)
    if not names:
        raise CorpusError(f"{folder}: has no recording with a name such as 1001_DFA_ANG_XX.wav")
    stated = request.emotion("cremad6")
    has_votes = bool(votes)
    acted = make_classes(
        TargetRequest(name="acted", scheme=SCHEMES["cremad6"]) if has_votes else stated,
        [name.split("_")[2] for name in names],
        folder,
    )
    counts = Counter(dict.fromkeys(LETTERS.values(), 0) if has_votes else {})
    for task_votes in votes.values():
        for of_task in task_votes.values():
            counts.update(of_task)
    target, classes = name_class(stated, counts, folder, are_votes=True)
    lacking = [name for name in names if name not in votes] if has_votes else []
    if lacking:
        logger.warning(
            "%s: %d of %d clips have no votes: %s",
            folder, len(lacking), len(names), describe_names(lacking),
        )  # fmt: skip
    clips = []
    for name, shown in zip(names, acted.values, strict=True):
        own = {Task.FUSION: shown} if shown else {}
        rated = {
            task: shares
            for task, counts in votes.get(name, {}).items()
            if (shares := _share(counts, target.classes, classes)) is not None
        }
        actor, sentence = name.split("_")[:2]
        media = paths.get(name, Path("AudioWAV", f"{name}.wav"))
        clip = Clip(
            id=f"{actor}{ID_SEPARATOR}{name}",
            split=_find_split(int(actor)),
            transcript=SENTENCES[sentence],
            labels={},
            media=media,
            speaker=actor,
            targets={
                key: values
                for key, values in ((EMOTION, rated if has_votes else own), ("acted", own))
                if values and (has_votes or key == EMOTION)
            },
        )
        clips.append(RecordedClip(clip, folder / media))
    return LayoutClips(clips, (target, acted.target) if has_votes else (acted.target,))


def _find_recordings(folder: Path) -> dict[str, Path]:
    """Return the recording of each clip; pictures with sound before sound."""
    paths: dict[str, Path] = {}
    others = []
    for path in iterate_recordings(folder):
        if not _is_name(path.stem):
            others.append(path.name)
        else:
            paths.setdefault(path.stem, path)
    if others and paths:
        logger.warning(
            "%s: %d recordings are left out that are not named as those of CREMA-D: %s",
            folder, len(others), describe_names(others),
        )  # fmt: skip
    return paths


def _is_name(name: str) -> bool:
    match = _NAME.fullmatch(name)
    return (
        match is not None and _FIRST_ACTOR <= int(match[1]) <= _LAST_ACTOR and match[2] in SENTENCES
    )


def _find_split(actor: int) -> Split:
    number, rest = divmod(actor - _FIRST_ACTOR, _EVERY)
    return "train" if rest != _EVERY - 1 else "valid" if number % 2 == 0 else "test"


def _read_votes(folder: Path) -> dict[str, dict[Task, dict[str, int]]]:
    """Return how many votes each emotion has, by clip and by what was rated."""
    readers = {"tabulatedVotes.csv": _read_tabulated, "summaryTable.csv": _read_summary}
    for name, read in readers.items():
        for parent in ("processedResults", ".", "data/InfoAndStats/processedResults"):
            path = folder / parent / name
            if path.is_file():
                votes: dict[str, dict[Task, dict[str, int]]] = {}
                for clip, task, counts in read(path):
                    if votes.setdefault(clip, {}).setdefault(task, counts) != counts:
                        raise CorpusError(
                            f"{path}: has two rows with other votes of {task} for clip "
                            f"{show(clip)}; leave one of them"
                        )
                logger.info("%s: has votes for %d clips", path, len(votes))
                return votes
    return {}


def _read_tabulated(path: Path) -> Iterator[tuple[str, Task, dict[str, int]]]:
    for line, row in iterate_rows(path, _TABULATED):
        where = f"{path}:{line}"
        number = row[""].strip().removesuffix(".0")
        task = _TASKS.get(number[:1]) if len(number) == 6 else None
        if task is None:
            raise CorpusError(
                f"{where}: the row is called {show(row[''])}, must be a number of six digits that "
                "begins with 1 (voice), 2 (face) or 3 (both)"
            )
        counts = {}
        for letter, emotion in LETTERS.items():
            votes = read_number(row[letter].strip())
            if not (0 <= votes < _MOST_VOTES and votes.is_integer()):
                raise CorpusError(
                    f"{where}: {letter} is {show(row[letter])}, must be a number of votes"
                )
            counts[emotion] = int(votes)
        yield _check_clip(row["fileName"], where), task, counts


def _read_summary(path: Path) -> Iterator[tuple[str, Task, dict[str, int]]]:
    for line, row in iterate_rows(path, {name: (name,) for name in ("FileName", *_SUMMARY)}):
        where = f"{path}:{line}"
        clip = _check_clip(row["FileName"], where)
        for column, task in _SUMMARY.items():
            letters = row[column].strip().split(":")
            unknown = [letter for letter in letters if letter not in LETTERS]
            if unknown:
                raise CorpusError(
                    f"{where}: {column} is {show(row[column])}, must be letters of "
                    f"{''.join(LETTERS)} with colons between them"
                )
            yield clip, task, {LETTERS[letter]: 1 for letter in letters}


def _check_clip(name: str, where: str) -> str:
    clip = drop_suffix(name.strip())
    if not _is_name(clip):
        raise CorpusError(f"{where}: the clip is {show(name)}, must be such as 1001_DFA_ANG_XX")
    return clip


def _share(
    counts: Mapping[str, int], order: tuple[str, ...], classes: Mapping[str, str | None]
) -> tuple[float, ...] | None:
    """Return the shares of votes; None where nobody voted for any of the classes."""
    sums = dict.fromkeys(order, 0)
    for emotion, count in counts.items():
        meant = classes[emotion]
        if meant is not None:
            sums[meant] += count
    total = sum(sums.values())
    return tuple(value / total for value in sums.values()) if total else None
