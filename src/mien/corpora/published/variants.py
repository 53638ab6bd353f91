"""The layouts in which the field pickles features, brought into the published one.

Published: a dict of ``train``, ``valid`` and ``test``, each a dict of columns with one entry per
clip. Others are

- splits under other names (``dev``), or fewer of them, beside anything else;
- ``train_mix`` of CH-SIMS v2: the train clips again, with clips that nobody annotated (``mask``
  0), or these clips alone in a file without splits;
- MulT (tsai2019): ``labels`` of shape (N, 1, 1), and ids of video, start and end;
- MAG-BERT (rahman2020): a list of clips ``((words, vision, audio), label, segment)``;
- one recording without a split, as feature toolkits write it: for prediction.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from mien.corpora.clip_table.splits import MIXED, find_split
from mien.corpora.published.emotion_labels import EMOTIONS_KEY, read_emotions
from mien.corpora.published.matrices import as_items, read_numbers
from mien.corpora.safe_pickle.descriptions import advise, describe
from mien.corpora.safe_pickle.feature_file import FeatureFile
from mien.corpora.safe_pickle.lazy_array import PickledArray, text_of
from mien.corpora.safe_pickle.names import Opaque
from mien.errors import CorpusError
from mien.types import ID_SEPARATOR, Split

__all__ = ["Layout", "find_layout"]

Columns = Mapping[str, object]

#: Other names of columns, used where a file does not have the published one.
_SYNONYMS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "audio": ("acoustic", "a"),
        "vision": ("video", "visual", "v"),
        "id": ("ids", "segment", "segments", "clip_id"),
        "raw_text": ("transcript", "transcripts"),
        "regression_labels": ("labels", "label", "y"),
    }
)
_SERIES = ("audio", "vision", "text", "text_bert")
_SEGMENT = re.compile(r"(?P<video>.+)\[(?P<clip>[^\[\]]+)\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The columns of a file, under the published names.

    Attributes:
        splits: By split; only those that the file has.
        spans: Where each clip lies in its video, in seconds, by split, where the file says it.
        ignored: Keys of the file that are not read, each with what it holds.
        is_annotated: Whether labels are expected.
    """

    splits: Mapping[Split, Columns]
    spans: Mapping[Split, Sequence[tuple[float, float]]]
    ignored: tuple[str, ...] = ()
    is_annotated: bool = True


def find_layout(file: FeatureFile, value: object) -> Layout:
    """Find the splits of a file and their columns.

    Raises:
        CorpusError: If the file holds no features in a layout that is known.
    """
    if not isinstance(value, dict) or (isinstance(value, Opaque) and not value):
        raise CorpusError(
            f"{file.path}: holds {describe(value)}, must be a dict of splits{advise(value)}"
        )
    names = _name_splits(file.path, value)
    if not names and any(key in value for key in _SERIES):
        return _read_unlabelled(file, value) if _holds_clips(value) else _read_single(file, value)
    if not names:
        keys = ", ".join(describe(key) for key in list(value)[:8]) or "nothing"
        raise CorpusError(
            f"{file.path}: has the keys {keys}; expected a dict with the splits train, valid "
            "and test, or some of them"
        )
    splits, spans = {}, {}
    for split in ("train", "valid", "test"):
        if split in names:
            where = f"{file.path}: {names[split]}"
            splits[split], found_spans = _read_columns(file, value[names[split]], where)
            if found_spans:
                spans[split] = found_spans
    mixed = next((key for key in value if str(key).lower() in MIXED), None)
    if mixed is not None:
        where = f"{file.path}: {mixed}"
        columns, _ = _read_columns(file, value[mixed], where)
        splits["train"] = _join_mixed(file, splits.get("train", {}), columns, where)
    read = {*names.values(), mixed}
    ignored = tuple(f"{key} ({describe(item)})" for key, item in value.items() if key not in read)
    return Layout(splits=splits, spans=spans, ignored=ignored)


def _name_splits(path: Path, value: Mapping[str | int, object]) -> dict[Split, str | int]:
    """Return the key of each split."""
    names: dict[Split, str | int] = {}
    for key in value:
        split = find_split(str(key))
        if split is None:
            continue
        if split in names:
            raise CorpusError(
                f"{path}: has both {names[split]!r} and {key!r}, which are the same split; "
                "take one out"
            )
        names[split] = key
    return names


def _read_columns(
    file: FeatureFile, value: object, where: str
) -> tuple[Columns, Sequence[tuple[float, float]]]:
    """Return the columns of a split under the published names, and where its clips lie."""
    if isinstance(value, list | tuple) and value:
        return _part_emotions(file, _read_segments(file, value, where), where), ()
    if isinstance(value, list | tuple):
        return {}, ()
    if not isinstance(value, dict) or (isinstance(value, Opaque) and not value):
        raise CorpusError(f"{where}: is {describe(value)}, must be a dict{advise(value)}")
    columns = dict(value)
    for name, others in _SYNONYMS.items():
        other = next((key for key in others if key in columns), None)
        if name not in columns and other is not None:
            columns[name] = columns.pop(other)
    columns = _part_emotions(file, columns, where)
    _check_classes(columns.get("regression_labels"), where)
    return _read_triples(file, columns, where)


def _part_emotions(file: FeatureFile, columns: dict[str, object], where: str) -> dict[str, object]:
    """Part emotions from sentiment, where labels hold both, or emotions alone."""
    emotions = read_emotions(file, columns.get("regression_labels"), where)
    if emotions is None:
        return columns
    parted = {key: column for key, column in columns.items() if key != "regression_labels"}
    if emotions.scores is not None:
        parted["regression_labels"] = emotions.scores
    return {**parted, EMOTIONS_KEY: emotions}


def _check_classes(labels: object, where: str) -> None:
    """Refuse classes in the place of scores."""
    if isinstance(labels, PickledArray) and any(size > 1 for size in labels.shape[1:]):
        raise CorpusError(
            f"{where}: the labels have the shape {labels.shape}: classes, not one score per clip; "
            "expected one number, CMU-MOSEI's seven, or the four pairs of MulT's file of IEMOCAP"
        )


def _read_triples(
    file: FeatureFile, columns: dict[str, object], where: str
) -> tuple[Columns, Sequence[tuple[float, float]]]:
    """Make ids of MulT's ``(video, start, end)``; clips of a video are numbered as they come."""
    ids = columns.get("id")
    if not isinstance(ids, PickledArray) or ids.dtype.kind not in "USO":
        return columns, ()
    if len(ids.shape) != 2 or ids.shape[1] != 3:
        return columns, ()
    cells = [text_of(file, item) for item in as_items(file, ids)]
    rows = [cells[i : i + 3] for i in range(0, len(cells), 3)]
    names, spans, count = [], [], dict[str, int]()
    for number, (video, start, end) in enumerate(rows):
        if not video:
            raise CorpusError(f"{where}: id: value {number} has no video")
        count[video] = count.get(video, 0) + 1
        names.append(f"{video}{ID_SEPARATOR}{count[video] - 1}")
        spans.append((_seconds(start), _seconds(end)))
    known = all(0 <= start < end for start, end in spans)
    return {**columns, "id": names}, spans if known else ()


def _seconds(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")


def _read_segments(file: FeatureFile, clips: Sequence[object], where: str) -> dict[str, object]:
    """Read MAG-BERT's list of clips: the series of each have one step per word."""
    lists: dict[str, list[object]] = {
        key: [] for key in ("id", "raw_text", "vision", "audio", "regression_labels")
    }
    for number, clip in enumerate(clips):
        match clip:
            case ((words, vision, audio), label, segment) if isinstance(words, list | tuple):
                spoken = [text_of(file, word) for word in words]
            case _:
                raise CorpusError(
                    f"{where}: value {number} is {describe(clip)}, must be ((words, vision, "
                    "audio), label, segment), or the split a dict of columns"
                )
        lists["id"].append(_name_segment(text_of(file, segment), number, where))
        lists["raw_text"].append(" ".join(word for word in spoken if word))
        lists["vision"].append(vision)
        lists["audio"].append(audio)
        values = as_items(file, label) if isinstance(label, PickledArray) else [label]
        lists["regression_labels"].append(values[0] if len(values) == 1 else values)
    return dict(lists)


def _name_segment(segment: str | None, number: int, where: str) -> str:
    """Return the id of a clip that is called ``VIDEO[CLIP]``."""
    if not segment:
        raise CorpusError(f"{where}: value {number} has no segment, such as VIDEO[0]")
    match = _SEGMENT.fullmatch(segment)
    return f"{match['video']}{ID_SEPARATOR}{match['clip']}" if match else segment


def _join_mixed(file: FeatureFile, train: Columns, mixed: Columns, where: str) -> Columns:
    """Take the mixed clips for train; they must hold all clips of train, annotated alike."""
    mixed = _mask_labels(file, mixed, where)
    if not train:
        return mixed
    own, all_ids = (
        [text_of(file, item) for item in as_items(file, columns.get("id", ()))]
        for columns in (train, mixed)
    )
    lacking = sorted(set(map(str, own)) - set(map(str, all_ids)))
    if lacking:
        raise CorpusError(
            f"{where}: lacks clip {lacking[0]!r} of train; it must hold all clips of train and "
            "those that are not annotated"
        )
    if "raw_text" in train and "raw_text" not in mixed:
        texts = dict(zip(own, as_items(file, train["raw_text"]), strict=False))
        return {**mixed, "raw_text": [texts.get(clip_id, "") for clip_id in all_ids]}
    return mixed


def _mask_labels(file: FeatureFile, mixed: Columns, where: str) -> Columns:
    """Take away the labels that ``mask`` says are none; the file has numbers in their places."""
    if "mask" not in mixed or "id" not in mixed:
        return mixed
    count = len(as_items(file, mixed["id"]))
    has_label = read_numbers(file, mixed["mask"], count, f"{where}: mask") != 0
    masked = {
        key: np.where(
            has_label,
            read_numbers(file, value, count, f"{where}: {key}", may_lack=True),
            np.nan,
        ).tolist()
        for key, value in mixed.items()
        if key.startswith("regression_labels")
    }
    return {**{key: column for key, column in mixed.items() if key != "mask"}, **masked}


def _holds_clips(value: Mapping[str | int, object]) -> bool:
    """Return whether features without a split are those of many clips."""
    series = [array for key in _SERIES if isinstance(array := value.get(key), PickledArray)]
    return "id" in value or any(len(array.shape) == 3 for array in series)


def _read_unlabelled(file: FeatureFile, value: Mapping[str | int, object]) -> Layout:
    """Read clips that nobody annotated, as CH-SIMS v2 has them for training."""
    columns, _ = _read_columns(file, value, str(file.path))
    labels = sorted(key for key in columns if str(key).startswith("regression_labels"))
    columns = {key: column for key, column in columns.items() if key not in labels}
    if "id" not in columns:
        first = next(columns[key] for key in _SERIES if key in columns)
        count = (
            len(as_items(file, first)) if not isinstance(first, PickledArray) else first.shape[0]
        )
        columns["id"] = [f"{file.path.stem}{ID_SEPARATOR}{row}" for row in range(count)]
    ignored = tuple(f"{key} (labels without a split)" for key in labels)
    return Layout(splits={"train": columns}, spans={}, ignored=ignored, is_annotated=False)


def _read_single(file: FeatureFile, value: Mapping[str | int, object]) -> Layout:
    """Read the features of one recording as a store for prediction."""
    columns: dict[str, object] = {"id": [file.path.stem]}
    for key in _SERIES:
        if key in value:
            columns[key] = [value[key]]
    for name in ("raw_text", "audio_lengths", "vision_lengths"):
        if name in value:
            columns[name] = [value[name]]
    ignored = tuple(f"{k} ({describe(v)})" for k, v in value.items() if k not in columns)
    return Layout(splits={"test": columns}, spans={}, ignored=ignored, is_annotated=False)
