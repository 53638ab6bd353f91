"""The MER challenges of 2023 and 2024, and the label files of MERTools (lian2023).

train-label.csv, test1-label.csv, ...        name, discrete, valence
reference-semi.csv, track1_train_disdim.csv  the same, in MER2024 and MER2025
label-6way.npz, label_4way.npz, label.npz    {NAME: {"emo": EMOTION, "val": VALENCE}} of each part
transcription.csv and others                 name, and the text (``mer_texts``)
train/, test1/, video/, subvideo/            NAME.mp4
"""

import logging
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from mien.corpora.clip_table.cells import is_mark_of_nothing, read_number
from mien.corpora.clip_table.splits import find_split
from mien.corpora.emotion_layouts.label_file import read_label_file
from mien.corpora.emotion_layouts.layout_parts import (
    LayoutClips,
    LayoutRequest,
    describe_names,
    drop_suffix,
    find_scale,
    iterate_recordings,
    iterate_rows,
    make_classes,
)
from mien.corpora.emotion_layouts.mer_texts import is_text_table, read_texts
from mien.corpora.group_folds import assign_splits, make_folds, split_by_fold
from mien.corpora.recording_table import RecordedClip
from mien.errors import ConfigError, CorpusError
from mien.files.reading import show
from mien.types import ID_SEPARATOR, Clip, Scale, Split, Target, TargetKind, Task

__all__ = ["read_mer"]

logger = logging.getLogger(__name__)

_SCALE = Scale(-5, 5)
_NUM_FOLDS = 5
#: What the field calls the columns of a table.
_EMOTION = ("discrete", "emo", "emotion", "label", "emotion_label")
_VALENCE = ("valence", "val")
#: What stands in label files where valence was not annotated.
_NO_VALENCE = -10.0
_LONGEST_NAME = 200
_WORDS = re.compile(r"[a-z]+")
#: Names of tables of labels: those of MER2024's tests and of MER2025 do not have the word.
_TABLE = re.compile(r".*label.*|reference[-_].*|track1[-_].*", re.IGNORECASE)
#: Names of turns of IEMOCAP and of utterances of MELD, which are of dialogues.
_TURN = re.compile(r"(?P<video>Ses0(?P<session>[1-9])[FM]_\w+)_(?P<clip>(?P<who>[FM])\w*\d+)")
_UTTERANCE = re.compile(r"(?P<video>(?:train|val|test)_dia\d+)_(?P<clip>utt\d+)")
#: What words begin with that say a split: MER2024 tests on parts called ``semi`` and ``noise``.
_BEGIN: Mapping[str, Split] = {
    "train": "train", "valid": "valid", "test": "test", "semi": "test", "noise": "test",
}  # fmt: skip
#: Parts that are train without a word of it: MERTools' IEMOCAP, and the labels of MER2024.
_TRAIN = ("whole", "disdim")


class _Row(NamedTuple):
    """A clip as a table or a label file has it."""

    name: str
    part: str
    emotion: str
    valence: float | None


def read_mer(request: LayoutRequest) -> LayoutClips:
    """Read the folder of a challenge, or one that MERTools has prepared.

    Parts with ``train`` in their name are train, with ``val`` or ``dev`` valid, with ``test``,
    ``semi`` or ``noise`` test: the first such word counts, and a part without one is train. Where
    no part is valid, five folds of train are made, with alike shares of the classes, and the one
    that ``fold`` says is valid, the fifth without it: the published code leaves out each of five in
    turn, drawn at random. In MERTools' files of IEMOCAP, which have one part, a session is test and
    the one before it valid, as in ``iemocap``. Targets are ``emotion``, six classes, and
    ``valence``, from -5 to 5, where it is annotated. Turns of IEMOCAP and utterances of MELD are
    clips of their dialogues, all others videos of their own. Of a transcript in Chinese and in
    English the one in the language of the corpus is read.

    MERTools' files of CMU-MOSI, CMU-MOSEI and CH-SIMS have no emotions: their ``valence`` is
    sentiment, whose range is stated (``valence=-3:3``).

    Raises:
        ConfigError: If a fold is stated where a part is valid, or clips are too few.
        CorpusError: If there are no labels, or a row is not as it should be.
    """
    folder = request.folder
    rows = list(_read_rows(folder))
    emotion = make_classes(
        request.emotion(_choose_scheme(rows)), [row.emotion for row in rows], folder
    )
    scale = find_scale(request, "valence", _SCALE)
    paths: dict[str, Path] = {}
    for path in iterate_recordings(folder):
        paths.setdefault(path.stem, path)
    known = _find_language(rows)
    texts = read_texts(folder, request.language or known)
    splits = _find_splits(rows, folder)
    clips = []
    for row, values in zip(rows, emotion.values, strict=True):
        targets: dict[str, dict[Task, tuple[float, ...]]] = {}
        if values is not None:
            targets["emotion"] = {Task.FUSION: values}
        if row.valence is not None:
            targets["valence"] = {Task.FUSION: (_check_valence(row, scale, folder),)}
        media = paths.get(row.name, Path(row.part, f"{row.name}.mp4"))
        place = _find_dialogue(row.name)
        clip = Clip(
            id=f"{row.name}{ID_SEPARATOR}1" if place is None else place.id,
            split=splits[row.part],
            transcript=texts.get(row.name, ""),
            labels={},
            media=media,
            speaker=None if place is None else place.speaker,
            targets=targets,
        )
        clips.append(RecordedClip(clip, folder / media))
    targets_there = [emotion.target] if any(row.emotion for row in rows) else []
    if any(row.valence is not None for row in rows):
        targets_there.append(Target(name="valence", kind=TargetKind.SCORE, scale=scale))
    shared = targets_there[0].name if targets_there else None
    clips = _make_valid(clips, shared, request.fold, folder)
    return LayoutClips(clips, tuple(targets_there), language=known)


class _Place(NamedTuple):
    """Where in a dialogue a clip is, and who speaks."""

    id: str
    speaker: str | None


def _find_dialogue(name: str) -> _Place | None:
    """Return the place of a turn of IEMOCAP or an utterance of MELD; None of other clips.

    >>> _find_dialogue("Ses01F_impro01_M003")
    _Place(id='Ses01F_impro01$_$M003', speaker='Ses01M')
    """
    turn = _TURN.fullmatch(name)
    match = turn or _UTTERANCE.fullmatch(name)
    if match is None:
        return None
    speaker = f"Ses0{turn['session']}{turn['who']}" if turn else None
    return _Place(f"{match['video']}{ID_SEPARATOR}{match['clip']}", speaker)


def _find_language(rows: list[_Row]) -> str | None:
    """Return what is spoken: English in IEMOCAP and MELD, Chinese in MER; None if unknown."""
    if all(_find_dialogue(row.name) for row in rows):
        return "en"
    return "zh" if any(row.emotion for row in rows) else None


def _choose_scheme(rows: list[_Row]) -> str:
    """Return the classes of MER, or those of the corpus that MERTools has prepared."""
    there = {row.emotion for row in rows}
    if any(row.part == "whole" for row in rows):
        return "iemocap6" if there & {"exc", "fru"} else "iemocap4"
    return "meld7" if rows[0].name.startswith(("train_dia", "val_dia", "test_dia")) else "mer6"


def _read_rows(folder: Path) -> Iterator[_Row]:
    if not folder.is_dir():
        raise CorpusError(f"{folder}: is not a folder; give the folder with train-label.csv")
    labels = [p for p in sorted(folder.iterdir()) if _TABLE.fullmatch(p.name)]
    labels = [path for path in labels if not path.name.startswith(".")]
    tables, files = ([p for p in labels if p.suffix.lower() == end] for end in (".csv", ".npz"))
    tables = [path for path in tables if not is_text_table(path)]
    if not tables and len(files) > 1:
        names = ", ".join(path.name for path in files)
        raise CorpusError(f"{folder}: has {names}; leave one of them")
    if not tables and not files:
        raise CorpusError(
            f"{folder}: has neither tables such as train-label.csv nor a file such as "
            "label-6way.npz"
        )
    seen: dict[str, str] = {}
    rows = (row for path in tables for row in _read_table(path)) if tables else _read_npz(files[0])
    for where, row in rows:
        if row.name in seen:
            raise CorpusError(f"{where}: clip {show(row.name)} is already in {seen[row.name]}")
        seen[row.name] = where
        yield row
    if not seen:
        names = describe_names([path.name for path in tables or files])
        raise CorpusError(f"{folder}: no clip is in {names}; get the labels again")


def _read_table(path: Path) -> Iterator[tuple[str, _Row]]:
    part = path.stem.lower().replace("label", "").strip("-_ ") or "train"
    rows = iterate_rows(
        path, {"name": ("name",), "emotion": _EMOTION}, optional={"valence": _VALENCE}
    )
    for line, cells in rows:
        where = f"{path}:{line}"
        name = _check_name(drop_suffix(cells["name"].strip()), where)
        valence = _read_valence(cells["valence"].strip(), where)
        yield where, _Row(name, part, cells["emotion"].strip(), valence)


def _read_npz(path: Path) -> Iterator[tuple[str, _Row]]:
    for part, clips in read_label_file(path).items():
        order = _find_order(part, clips)
        has_none = not order and all(values.get("emo", 0) == 0 for values in clips.values())
        for name, values in clips.items():
            where = f"{path}: {part}: clip {show(name)}"
            emotion = "" if has_none else values.get("emo", "")
            if isinstance(emotion, int):
                if not 0 <= emotion < len(order):
                    raise CorpusError(
                        f"{where}: emo is {emotion}; its classes are not known by number; give "
                        "the tables of labels"
                    )
                emotion = order[emotion]
            yield (
                where,
                _Row(
                    _check_name(name, where),
                    part.removesuffix("_corpus"),
                    str(emotion),
                    _read_valence(str(values.get("val", "")), where),
                ),
            )


def _find_order(part: str, clips: Mapping[str, Mapping[str, object]]) -> tuple[str, ...]:
    """Return what the numbers of emotions stand for, in the files that MERTools writes."""
    if part == "whole_corpus":
        return ("hap", "sad", "neu", "ang", "exc", "fru")
    if any(name.startswith(("train_dia", "val_dia", "test_dia")) for name in clips):
        return ("anger", "joy", "sadness", "neutral", "disgust", "fear", "surprise")
    return ()


def _check_name(name: str, where: str) -> str:
    if not name or len(name) > _LONGEST_NAME or any(sign in name for sign in "/\\\0"):
        raise CorpusError(f"{where}: the name is {show(name)}, must be that of a file")
    if ID_SEPARATOR in name or name in (".", ".."):
        raise CorpusError(f"{where}: the name is {show(name)}, must be that of a clip")
    return name


def _read_valence(cell: str, where: str) -> float | None:
    if not cell:
        return None
    value = read_number(cell)
    if math.isnan(value) and not is_mark_of_nothing(cell):
        raise CorpusError(f"{where}: valence is {show(cell)}, must be a number")
    return None if value == _NO_VALENCE or math.isnan(value) else value


def _check_valence(row: _Row, scale: Scale, folder: Path) -> float:
    value = row.valence
    if value is None or not scale.low <= value <= scale.high:
        raise CorpusError(
            f"{folder}: clip {show(row.name)}: valence is {value!r}, must be from {scale.low:g} to "
            f"{scale.high:g}; --target valence=LOW:HIGH states another range"
        )
    return value


def _find_splits(rows: Sequence[_Row], folder: Path) -> dict[str, Split]:
    """Return the split of every part; one that is not named for any is train, which is logged."""
    splits = {row.part: _find_split(row.part) for row in rows}
    unnamed = [part for part, split in splits.items() if split is None and part not in _TRAIN]
    if unnamed:
        logger.warning(
            "%s: the names of these parts are those of no split, and they are read as train: %s",
            folder, describe_names(unnamed),
        )  # fmt: skip
    return {part: split or "train" for part, split in splits.items()}


def _find_split(part: str) -> Split | None:
    """Return the split of a part by the first of its words that says one; None if none does.

    >>> _find_split("MER2023_test1"), _find_split("reference-semi"), _find_split("disdim")
    ('test', 'test', None)
    """
    for word in _WORDS.findall(part.lower()):
        begun = (split for begin, split in _BEGIN.items() if word.startswith(begin))
        split = find_split(word.removesuffix("set")) or next(begun, None)
        if split is not None:
            return split
    return None


def _make_valid(
    clips: list[RecordedClip], target: str | None, fold: int | None, folder: Path
) -> list[RecordedClip]:
    """Take a fold of train for valid where there is none, and another for test.

    Raises:
        ConfigError: If a fold is stated where none can be taken.
    """
    there = Counter(each.clip.split for each in clips)
    if there["valid"]:
        if fold is not None:
            raise ConfigError(f"--fold: {folder} has a published part for valid; leave it out")
        return clips
    sessions = [int(turn["session"]) for each in clips if (turn := _TURN.fullmatch(each.path.stem))]
    if len(sessions) == len(clips) == there["train"]:
        return _leave_session_out(clips, sessions, fold, folder)
    train = [each.clip for each in clips if each.clip.split == "train"]
    if len(train) < _NUM_FOLDS:
        if fold is not None:
            raise ConfigError(
                f"--fold: {folder} has {len(train)} clips of train, too few for {_NUM_FOLDS} "
                "folds; leave it out"
            )
        logger.warning("%d clips of train are too few to take valid from", len(train))
        return clips
    folds = make_folds(train, target=target, by="clip", num_folds=_NUM_FOLDS, seed=1)
    assigned = assign_splits(folds, _NUM_FOLDS if fold is None else fold)
    splits = dict(zip((clip.id for clip in train), assigned, strict=True))
    if there["test"]:
        splits = {key: "valid" if value == "test" else "train" for key, value in splits.items()}
    return [
        RecordedClip(replace(each.clip, split=splits.get(each.clip.id, each.clip.split)), each.path)
        for each in clips
    ]


def _leave_session_out(
    clips: list[RecordedClip], sessions: Sequence[int], fold: int | None, folder: Path
) -> list[RecordedClip]:
    """Test one session of IEMOCAP, the last or that of ``fold``; the one before it is valid."""
    places = {session: place for place, session in enumerate(sorted(set(sessions)), 1)}
    tested = max(places) if fold is None else fold
    if tested not in places:
        raise ConfigError(
            f"--fold {tested}: {folder} has no session {tested}; there are "
            f"{', '.join(map(str, places))}"
        )
    return [
        RecordedClip(
            replace(each.clip, split=split_by_fold(places[session], len(places), places[tested])),
            each.path,
        )
        for each, session in zip(clips, sessions, strict=True)
    ]
