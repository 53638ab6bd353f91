"""Ids, transcripts and labels of the clips of a published feature pickle."""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from mien.corpora.published.emotion_labels import EMOTIONS_KEY, EmotionLabels
from mien.corpora.published.matrices import as_items, read_numbers, squeeze
from mien.corpora.safe_pickle.descriptions import advise, describe
from mien.corpora.safe_pickle.feature_file import FeatureFile
from mien.corpora.safe_pickle.lazy_array import PickledArray, text_of
from mien.errors import CorpusError
from mien.types import Clip, Scale, Split, Task

__all__ = [
    "LABELS",
    "MOST_CHARACTERS",
    "MOST_CLIPS",
    "SplitPart",
    "list_keys",
    "read_clips",
    "read_ids",
]

logger = logging.getLogger(__name__)

#: More clips than any corpus of the field has by a factor of twenty.
MOST_CLIPS = 500_000
#: Characters of all texts of a key.
MOST_CHARACTERS = 100_000_000

#: Under which key the published files hold the labels of each task.
LABELS = {
    "regression_labels": Task.FUSION,
    "regression_labels_T": Task.TEXT,
    "regression_labels_A": Task.AUDIO,
    "regression_labels_V": Task.VIDEO,
}
#: How far off the scale a label may be for being rounded, as a share of the scale.
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitPart:
    """A split that has clips.

    Attributes:
        split: Its name.
        where: File and split, for messages.
        ids: Ids of the clips.
        values: What the file has for it, by key.
        spans: Start and end of each clip in its video, in seconds; empty if that is not known.
    """

    split: Split
    where: str
    ids: tuple[str, ...]
    values: Mapping[str, object]
    spans: Sequence[tuple[float, float]]

    @property
    def emotions(self) -> EmotionLabels | None:
        """What the clips have besides sentiment, if anything.

        Raises:
            CorpusError: If there are not as many as clips.
        """
        emotions = self.values.get(EMOTIONS_KEY)
        if not isinstance(emotions, EmotionLabels):
            return None
        if len(emotions.values) != len(self.ids):
            raise CorpusError(
                f"{self.where}: has {len(emotions.values)} labels, the split has {len(self.ids)} "
                "ids"
            )
        return emotions


def read_ids(file: FeatureFile, values: Mapping[str, object], where: str) -> tuple[str, ...]:
    """Read the ids of the clips of a split.

    Raises:
        CorpusError: If they are missing, are no texts, or one is empty.
    """
    if "id" not in values:
        raise CorpusError(f"{where}: has no key 'id'; there are: {list_keys(values)}")
    ids = _read_texts(file, values["id"], None, f"{where}: id")
    if "" in ids:
        raise CorpusError(f"{where}: id: value {ids.index('')} is empty, must be VIDEO$_$CLIP")
    return ids


def list_keys(values: Mapping[str, object]) -> str:
    """Return the first keys of a split, for messages."""
    return ", ".join(describe(key) for key in list(values)[:20]) or "none"


def _read_texts(file: FeatureFile, value: object, count: int | None, where: str) -> tuple[str, ...]:
    value = squeeze(value, 1)
    if isinstance(value, PickledArray):
        if not value.is_built or len(value.shape) != 1 or value.dtype.kind not in "USO":
            raise CorpusError(
                f"{where}: is {describe(value)}, must be a list of texts{advise(value)}"
            )
        num_texts, texts = value.shape[0], value.texts(file)
    elif isinstance(value, list | tuple):
        num_texts, texts = len(value), iter(value)
    else:
        raise CorpusError(f"{where}: is {describe(value)}, must be a list of texts{advise(value)}")
    if count is not None and num_texts != count:
        raise CorpusError(f"{where}: has {num_texts} texts, the split has {count} ids")
    if num_texts > MOST_CLIPS:
        raise CorpusError(f"{where}: has {num_texts} clips, must have at most {MOST_CLIPS}")
    return _decode_texts(file, texts, where)


def _decode_texts(file: FeatureFile, texts: Iterator[object], where: str) -> tuple[str, ...]:
    total, result = 0, []
    for number, item in enumerate(texts):
        text = "" if _is_missing(item) else text_of(file, _only(file, item))
        if text is None:
            raise CorpusError(f"{where}: value {number} is {describe(item)}, must be a text")
        total += len(text)
        if total > MOST_CHARACTERS:
            raise CorpusError(f"{where}: has more than {MOST_CHARACTERS} characters")
        result.append(text)
    return tuple(result)


def _is_missing(value: object) -> bool:
    """Return whether a cell is empty, as tables write it: None, or NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def _only(file: FeatureFile, value: object) -> object:
    """Return the value of a list, or an array, that holds a single one."""
    if isinstance(value, list | tuple | PickledArray):
        items = as_items(file, value)
        return items[0] if len(items) == 1 else value
    return value


def read_clips(file: FeatureFile, parts: Sequence[SplitPart], scale: Scale) -> tuple[Clip, ...]:
    """Read the clips of all splits.

    Raises:
        CorpusError: If an id occurs twice, or a transcript or a label cannot be right.
    """
    seen: dict[str, Split] = {}
    clips: list[Clip] = []
    for part in parts:
        for clip_id in part.ids:
            if clip_id in seen:
                raise CorpusError(
                    f"{file.path}: clip {describe(clip_id)} occurs twice (in {seen[clip_id]} and "
                    f"{part.split}); ids are unique: rename one of them, or take it out"
                )
            seen[clip_id] = part.split
        clips += _read_split(file, part, scale)
    return tuple(clips)


def _read_split(file: FeatureFile, part: SplitPart, scale: Scale) -> Iterator[Clip]:
    count = len(part.ids)
    texts: Sequence[str] = [""] * count
    if "raw_text" in part.values:
        texts = _read_texts(file, part.values["raw_text"], count, f"{part.where}: raw_text")
        _report_texts(part, texts)
    labels = {
        task: _read_labels(file, part, key, scale).tolist()
        for key, task in LABELS.items()
        if key in part.values
    }
    emotions = part.emotions
    for row, (clip_id, text) in enumerate(zip(part.ids, texts, strict=True)):
        yield Clip(
            id=clip_id,
            split=part.split,
            transcript=text,
            labels={t: values[row] for t, values in labels.items() if not math.isnan(values[row])},
            start=part.spans[row][0] if part.spans else None,
            end=part.spans[row][1] if part.spans else None,
            targets={}
            if emotions is None
            else {emotions.target.name: {Task.FUSION: emotions.values[row]}},
        )


def _report_texts(part: SplitPart, texts: Sequence[str]) -> None:
    num_empty = sum(not text.strip() for text in texts)
    if num_empty:
        logger.info("%s: %d of %d clips have no transcript", part.where, num_empty, len(texts))
    num_broken = sum("\ufffd" in text for text in texts)
    if num_broken:
        logger.warning(
            "%s: %d transcripts hold broken characters, which are shown as \ufffd",
            part.where,
            num_broken,
        )


def _read_labels(
    file: FeatureFile, part: SplitPart, key: str, scale: Scale
) -> Float64[np.ndarray, " N"]:
    where = f"{part.where}: {key}"
    labels = read_numbers(file, part.values[key], len(part.ids), where, may_lack=True)
    near = _ROUNDING * (scale.high - scale.low)
    is_near = (labels > scale.low - near) & (labels < scale.high + near)
    labels = np.where(is_near, scale.clip(labels), labels)
    outside = np.flatnonzero(~((labels >= scale.low) & (labels <= scale.high) | np.isnan(labels)))
    if outside.size:
        row = int(outside[0])
        raise CorpusError(
            f"{part.where}: clip {describe(part.ids[row])}: {key} is {float(labels[row])!r}, "
            f"must be a number from {scale.low:g} to {scale.high:g}"
        )
    return labels
