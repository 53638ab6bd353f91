"""IEMOCAP from its five sessions: evaluations, transcriptions and one recording a turn (busso2008).

SessionN/dialog/EmoEvaluation/DIALOGUE.txt       [start - end] turn emotion [v, a, d]
SessionN/dialog/transcriptions/DIALOGUE.txt      turn [start-end]: text
SessionN/sentences/wav/DIALOGUE/TURN.wav         the turn alone
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mien.corpora.emotion_layouts.layout_parts import (
    LayoutClips,
    LayoutRequest,
    find_scale,
    make_classes,
    read_text,
)
from mien.corpora.group_folds import split_by_fold
from mien.corpora.recording_table import RecordedClip
from mien.errors import ConfigError, CorpusError
from mien.files.reading import show
from mien.types import ID_SEPARATOR, Clip, Scale, Target, TargetKind, Task

__all__ = ["read_iemocap"]

logger = logging.getLogger(__name__)

_SESSION = re.compile(r"Session([1-9])")
_DIALOGUE = re.compile(r"Ses0([1-9])[FM]_\w+")
_EVALUATION = re.compile(
    r"\[\s*(?P<start>[\d.]+)\s*-\s*(?P<end>[\d.]+)\s*\]\s+(?P<turn>\S+)\s+(?P<emotion>\S+)\s+"
    r"\[\s*(?P<valence>[\d.]+)\s*,\s*(?P<arousal>[\d.]+)\s*,\s*(?P<dominance>[\d.]+)\s*\]"
)
_TURN = re.compile(r"(?P<dialogue>Ses0[1-9][FM]_\w+)_(?P<name>(?P<gender>[FM])\w*\d+)")
_SPOKEN = re.compile(r"(?P<turn>\S+)\s+\[[^\]]*\]\s*:\s*(?P<text>.*)")
_SCORES = ("valence", "arousal", "dominance")
_SCALE = Scale(1, 5)
#: Means of ratings are up to so far off the scale, by slips of raters.
_SLIP = 0.5


class _Turn(NamedTuple):
    """A line of an evaluation."""

    session: int
    dialogue: str
    name: str
    gender: str
    start: float
    end: float
    emotion: str
    scores: tuple[float, float, float]
    where: str


def read_iemocap(request: LayoutRequest) -> LayoutClips:
    """Read the folder with ``Session1`` to ``Session5``.

    A dialogue is a video, a turn a clip; the speaker is the session and who of the two speaks.
    ``emotion`` has the classes ``angry, happy, sad, neutral`` with excitement counted as happy, or
    those that are stated; turns without agreement (``xxx``) and of other emotions are kept for
    their scores and as context. ``valence``, ``arousal`` and ``dominance`` are the means of raters
    from 1 to 5. One session is tested, the last or that of ``fold``; the one before it is valid.

    A turn's own recording holds the sound alone. Without ``sentences/wav`` the recordings are the
    dialogues in ``dialog/avi/DivX`` or ``dialog/wav``, from start to end.

    Raises:
        CorpusError: If the folder is none of IEMOCAP, or a line is not as it should be.
    """
    folder = request.folder
    sessions = _find_sessions(folder)
    fold = max(sessions) if request.fold is None else request.fold
    if fold not in sessions:
        raise ConfigError(
            f"--fold {fold}: {folder} has no Session{fold}; there are "
            f"{', '.join(f'Session{number}' for number in sessions)}"
        )
    turns = [turn for number, path in sessions.items() for turn in _read_turns(number, path)]
    if not turns:
        raise CorpusError(f"{folder}: has no turn in SessionN/dialog/EmoEvaluation/*.txt")
    texts = {k: v for path in sessions.values() for k, v in _read_transcripts(path)}
    emotion = make_classes(request.emotion("iemocap4"), [turn.emotion for turn in turns], folder)
    scales = {name: find_scale(request, name, _SCALE) for name in _SCORES}
    are_cut = any((path / "sentences" / "wav").is_dir() for path in sessions.values())
    places = {session: place for place, session in enumerate(sessions, 1)}
    clips = []
    for turn, values in zip(turns, emotion.values, strict=True):
        targets = {
            name: {Task.FUSION: (_read_score(turn, name, score, scales[name]),)}
            for name, score in zip(_SCORES, turn.scores, strict=True)
        }
        media = _find_recording(folder, turn, are_cut=are_cut)
        clip = Clip(
            id=f"{turn.dialogue}{ID_SEPARATOR}{turn.name}",
            split=split_by_fold(places[turn.session], len(places), places[fold]),
            transcript=texts.get(f"{turn.dialogue}_{turn.name}", ""),
            labels={},
            start=turn.start,
            end=turn.end,
            media=media,
            speaker=f"Ses0{turn.session}{turn.gender}",
            targets={"emotion": {Task.FUSION: values}, **targets} if values else targets,
        )
        clips.append(RecordedClip(clip, folder / media))
    _report_transcripts(folder, clips)
    _report_cut(folder, turns, scales)
    scores = tuple(
        Target(name=name, kind=TargetKind.SCORE, scale=scale) for name, scale in scales.items()
    )
    return LayoutClips(clips, (emotion.target, *scores), are_cut, {"test": f"Session{fold}"})


def _find_sessions(folder: Path) -> dict[int, Path]:
    if not folder.is_dir():
        raise CorpusError(f"{folder}: is not a folder; give the folder with Session1 to Session5")
    matches = ((_SESSION.fullmatch(path.name), path) for path in sorted(folder.iterdir()))
    sessions = {int(match[1]): path for match, path in matches if match and path.is_dir()}
    if not sessions:
        raise CorpusError(
            f"{folder}: has no folder Session1 to Session5; give IEMOCAP_full_release"
        )
    return sessions


def _list_texts(folder: Path) -> Iterator[Path]:
    """Yield the files of dialogues; other files and what macOS leaves are none."""
    for path in sorted(folder.glob("Ses*.txt")) if folder.is_dir() else ():
        if _DIALOGUE.fullmatch(path.stem):
            yield path


def _read_turns(session: int, folder: Path) -> Iterator[_Turn]:
    for path in _list_texts(folder / "dialog" / "EmoEvaluation"):
        if not path.stem.startswith(f"Ses0{session}"):
            raise CorpusError(
                f"{path}: is of another session than its folder, Session{session}; put it into its "
                "own, or take it out"
            )
        lines: dict[str, int] = {}
        turns = []
        for number, line in enumerate(read_text(path).splitlines(), 1):
            if not line.lstrip().startswith("["):
                continue  # the heading, and what single raters said
            turn = _read_turn(line.strip(), session, f"{path}:{number}")
            if turn.dialogue != path.stem:
                raise CorpusError(
                    f"{turn.where}: turn {show(turn.name)} is of dialogue {show(turn.dialogue)}, "
                    f"the file of {show(path.stem)}"
                )
            if turn.name in lines:
                raise CorpusError(
                    f"{turn.where}: turn {show(turn.name)} is already in line {lines[turn.name]}"
                )
            lines[turn.name] = number
            turns.append(turn)
        yield from sorted(turns, key=lambda turn: turn.start)


def _read_turn(line: str, session: int, where: str) -> _Turn:
    match = _EVALUATION.fullmatch(line)
    turn = _TURN.fullmatch(match["turn"]) if match else None
    if match is None or turn is None:
        raise CorpusError(
            f"{where}: is {show(line)}, must be such as [6.2901 - 8.2357] Ses01F_impro01_F000 neu "
            "[2.5000, 2.5000, 2.5000]"
        )
    try:
        start, end, *scores = (
            float(match[name]) for name in ("start", "end", "valence", "arousal", "dominance")
        )
    except ValueError:
        raise CorpusError(f"{where}: {show(line)} has a number with two points") from None
    if not start < end:
        raise CorpusError(f"{where}: ends at {end:g} s, must be after its start, {start:g} s")
    valence, arousal, dominance = scores
    return _Turn(
        session, turn["dialogue"], turn["name"], turn["gender"], start, end, match["emotion"],
        (valence, arousal, dominance), where,
    )  # fmt: skip


def _read_score(turn: _Turn, name: str, score: float, scale: Scale) -> float:
    if not scale.low - _SLIP <= score <= scale.high + _SLIP:
        raise CorpusError(
            f"{turn.where}: {name} is {score:g}, must be from {scale.low:g} to {scale.high:g}"
        )
    return float(min(max(score, scale.low), scale.high))


def _read_transcripts(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the turns and texts of all dialogues; lines of another form are left out."""
    for path in _list_texts(folder / "dialog" / "transcriptions"):
        for line in read_text(path).splitlines():
            match = _SPOKEN.fullmatch(line.strip())
            if match is not None:
                yield match["turn"], match["text"].strip()


def _report_transcripts(folder: Path, clips: list[RecordedClip]) -> None:
    without = sum(not each.clip.transcript for each in clips)
    if without:
        logger.warning("%s: %d of %d turns have no transcript", folder, without, len(clips))


def _report_cut(folder: Path, turns: Sequence[_Turn], scales: Mapping[str, Scale]) -> None:
    for name, scores in zip(
        _SCORES, zip(*(turn.scores for turn in turns), strict=True), strict=True
    ):
        low, high = scales[name]
        num_cut = sum(not low <= score <= high for score in scores)
        if num_cut:
            logger.warning(
                "%s: %s: %d turns have values off %g to %g; they are cut",
                folder, name, num_cut, low, high,
            )  # fmt: skip


def _find_recording(folder: Path, turn: _Turn, *, are_cut: bool) -> Path:
    session = Path(f"Session{turn.session}")
    if are_cut:
        name = f"{turn.dialogue}_{turn.name}.wav"
        return session / "sentences" / "wav" / turn.dialogue / name
    for parent, suffix in (("dialog/avi/DivX", "avi"), ("dialog/wav", "wav")):
        path = session / parent / f"{turn.dialogue}.{suffix}"
        if (folder / path).is_file():
            return path
    return session / "dialog" / "avi" / "DivX" / f"{turn.dialogue}.avi"
