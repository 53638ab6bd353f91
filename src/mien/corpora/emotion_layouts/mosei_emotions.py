"""CMU-MOSEI with its six emotions: intensities from 0 to 3 of every segment (zadeh2018).

label.csv                the field's table, with the official split and transcripts; it may hold
                         the columns happy, sad, anger, surprise, disgust and fear
CMU_MOSEI_Labels.csd     else sentiment and intensities, by video and second of the start
Raw/VIDEO/CLIP.mp4       the recordings
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mien.corpora.class_names.emotion_names import fold_name
from mien.corpora.class_names.schemes import SCHEMES
from mien.corpora.clip_table.encodings import find_encoding
from mien.corpora.clip_table.rows import read_header
from mien.corpora.clip_table.target_requests import EMOTION, TargetRequest
from mien.corpora.emotion_layouts.label_sequence import read_label_sequence
from mien.corpora.emotion_layouts.layout_parts import LayoutClips, LayoutRequest
from mien.corpora.recording_table import RecordedClip, read_recording_table
from mien.errors import ConfigError, CorpusError
from mien.files.reading import show
from mien.types import ID_SEPARATOR, Clip, Scale, Target, TargetKind, Task

__all__ = ["read_mosei_emotions"]

logger = logging.getLogger(__name__)

_SCALE, _SENTIMENT = Scale(0, 3), Scale(-3, 3)
_CLASSES = SCHEMES["mosei6"].classes
#: Names of clips that are the second of their start, as CMU-MOSEI has them: ``82_7645``.
_SECONDS = re.compile(r"(\d+)_(\d+)")
#: Seconds by which the starts of a segment may differ.
_NEAR = 1e-3

Values = tuple[float, ...]


def read_mosei_emotions(request: LayoutRequest) -> LayoutClips:
    """Read the folder with ``label.csv``, whose ``mode`` is the official split.

    ``emotion`` has an intensity from 0 to 3 for each of happy, sad, angry, surprised, disgusted and
    fearful; ``emotion=happy|sad|...`` makes labels of those above 0. Intensities are columns of
    the table, or come from ``CMU_MOSEI_Labels.csd``: a segment is found by its video and start.
    Some lie above 3 by slips of raters and are cut. ``label`` is sentiment.

    Raises:
        ConfigError: If something but labels is stated of emotion, or a fold.
        CorpusError: If the table is not as it should be, or there are no intensities.
    """
    folder = request.folder
    if request.fold is not None:
        raise ConfigError("--fold: CMU-MOSEI has a published split; leave it out")
    stated = request.targets.get(EMOTION)
    if stated is not None and not stated.are_labels:
        raise ConfigError(
            "--target emotion=...: CMU-MOSEI has intensities; list classes as CLASS|CLASS for "
            "labels of those above 0"
        )
    table = folder / "label.csv"
    if not table.is_file():
        raise CorpusError(f"{folder}: has no label.csv, the field's table with the official split")
    wanted = TargetRequest(name=EMOTION, scale=_SCALE, scheme=SCHEMES["mosei6"], are_cut=True)
    sequences = sorted(path for path in folder.glob("*.csd") if not path.name.startswith("."))
    encoding = find_encoding(table)
    if sequences:
        recorded, _ = read_recording_table(table, _SENTIMENT, encoding)
        clips = _join(recorded, sequences, folder)
    else:
        _check_columns(table, encoding)
        clips, _ = read_recording_table(table, _SENTIMENT, encoding, (wanted,))
    if not clips:
        raise CorpusError(f"{table}: has no clips")
    target = Target(name=EMOTION, kind=TargetKind.INTENSITIES, classes=_CLASSES, scale=_SCALE)
    return LayoutClips(*_make_labels(clips, target, stated), are_cut=False)


def _check_columns(table: Path, encoding: str) -> None:
    """Refuse a table that lacks some of the six emotions: they are not 0."""
    scheme = SCHEMES["mosei6"]
    there = {scheme.find(fold_name(name)) for name in read_header(table, encoding)}
    lacking = [name for name in _CLASSES if name not in there]
    if lacking:
        raise CorpusError(
            f"{table}:1: has no column for {', '.join(lacking)}; put CMU_MOSEI_Labels.csd beside it"
        )


def _join(
    recorded: Sequence[RecordedClip], sequences: Sequence[Path], folder: Path
) -> list[RecordedClip]:
    """Give every clip the intensities of the segment that begins where it does."""
    if len(sequences) > 1:
        names = ", ".join(path.name for path in sequences[:4])
        raise CorpusError(f"{folder}: has {names}; leave CMU_MOSEI_Labels.csd alone")
    segments: dict[str, list[tuple[float, Values]]] = {}
    num_cut = 0
    for video, labels, starts, _ in read_label_sequence(sequences[0]):
        intensities = labels[:, 1:]
        num_cut += int(((intensities < _SCALE.low) | (intensities > _SCALE.high)).any(1).sum())
        rows = _SCALE.clip(intensities).tolist()
        segments[video] = list(zip(starts.tolist(), map(tuple, rows), strict=True))
    if num_cut:
        logger.warning(
            "%s: %d segments have values off 0 to 3; they are cut", sequences[0], num_cut
        )
    clips = []
    for each in recorded:
        values = _find_segment(each.clip, segments.get(each.clip.video_id, []))
        targets = {EMOTION: {Task.FUSION: values}} if values else {}
        clips.append(RecordedClip(replace(each.clip, targets=targets), each.path))
    without = [each.clip.id for each in clips if not each.clip.targets]
    if len(without) == len(clips):
        raise CorpusError(
            f"{sequences[0]}: has none of the clips of label.csv; their names must be the starts "
            "of its segments, such as 82_7645, or the table have a column start"
        )
    if without:
        logger.warning(
            "%s: %d of %d clips have no intensities, such as %s",
            folder, len(without), len(clips), show(without[0]),
        )  # fmt: skip
    return clips


def _find_segment(clip: Clip, segments: Sequence[tuple[float, Values]]) -> Values | None:
    """Return the intensities of a clip, by its start."""
    start = clip.start
    match = _SECONDS.fullmatch(clip.id.rpartition(ID_SEPARATOR)[2])
    if start is None and match is not None:
        start = float(f"{match[1]}.{match[2]}")
    if start is None:
        return None
    near = [(abs(begin - start), values) for begin, values in segments]
    distance, values = min(near, default=(1.0, None))
    return values if distance <= _NEAR else None


def _make_labels(
    clips: list[RecordedClip], target: Target, stated: TargetRequest | None
) -> tuple[list[RecordedClip], tuple[Target, ...]]:
    """Return the clips with labels in place of intensities, if they are stated."""
    if stated is None:
        return clips, (target,)
    places: list[int] = []
    for name in stated.classes:
        meant = SCHEMES["mosei6"].find(fold_name(name))
        if meant is None:
            raise ConfigError(
                f"--target emotion=...: {show(name)} is none of the emotions of CMU-MOSEI, "
                f"{', '.join(_CLASSES)}"
            )
        if _CLASSES.index(meant) in places:
            raise ConfigError(
                f"--target emotion=...: {meant} is listed twice, the second time as {show(name)}"
            )
        places.append(_CLASSES.index(meant))
    labels = Target(name=EMOTION, kind=TargetKind.LABELS, classes=stated.classes)
    return [
        RecordedClip(replace(each.clip, targets=_mark(each.clip, places)), each.path)
        for each in clips
    ], (labels,)


def _mark(clip: Clip, places: Sequence[int]) -> dict[str, dict[Task, Values]]:
    """Return 1 for each of some classes whose intensity is above 0."""
    return {
        name: {task: tuple(float(values[at] > 0) for at in places) for task, values in own.items()}
        for name, own in clip.targets.items()
    }
