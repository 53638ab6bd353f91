"""The field's feature pickles to clips and series, through a reader that runs nothing.

A published file is a dict of ``train``, ``valid`` and ``test``, and each of these a dict of lists
or arrays, one entry per clip: ``id``, ``raw_text``, ``audio``, ``vision``, ``text``, ``text_bert``,
``audio_lengths``, ``vision_lengths``, ``annotations``, ``classification_labels``,
``regression_labels`` and, in CH-SIMS, ``regression_labels_T``, ``_A`` and ``_V``. Other layouts
are brought into this one first (``mien.corpora.published.variants``).
"""

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Num

from mien.corpora import Facts, facts_of
from mien.corpora.published.matrices import Table, as_items, read_numbers, squeeze
from mien.corpora.published.padding import (
    Spans,
    find_spans,
    find_text_spans,
    is_aligned,
    read_masks,
)
from mien.corpora.published.series import make_features, make_tokens
from mien.corpora.published.variants import Layout, find_layout
from mien.corpora.safe_pickle.feature_file import FeatureFile
from mien.corpora.safe_pickle.lazy_array import (
    PickledArray,
    text_of,
)
from mien.corpora.safe_pickle.machine import load_closed
from mien.corpora.safe_pickle.numpy_objects import advise, describe
from mien.corpora.unlabelled import Unlabelled, choose_clips
from mien.errors import CorpusError
from mien.types import SPLITS, Clip, Corpus, Material, Scale, SeriesSource, Split, Task

__all__ = ["LABELS", "PUBLISHED", "Published", "read_released"]

logger = logging.getLogger(__name__)

#: More clips than any corpus of the field has by a factor of twenty.
_MOST_CLIPS = 500_000
_MOST_CHARACTERS = 100_000_000

#: Under which key the published files hold the labels of each task.
LABELS = {
    "regression_labels": Task.FUSION,
    "regression_labels_T": Task.TEXT,
    "regression_labels_A": Task.AUDIO,
    "regression_labels_V": Task.VIDEO,
}
_SERIES = {"audio": "audio", "vision": "video", "text": "text"}
_TEXTS = ("text_bert", "text", "raw_text")
#: How far off the scale a label may be for being rounded, as a share of the scale.
_ROUNDING = 1e-6
_UNUSED = (
    "annotations",
    "classification_labels",
    "classification_labels_T",
    "classification_labels_A",
    "classification_labels_V",
)
_USED = {"id", *_SERIES, *_TEXTS, *LABELS, "audio_lengths", "vision_lengths", "text_lengths"}


class Published(NamedTuple):
    """A published file."""

    corpus: str
    title: str


#: The published files, by their SHA-1 (first release) and SHA-256 (newer release).
PUBLISHED: dict[str, Published] = {
    "5da0b8440fc5a7c3a457859af27458beb993e088": Published("mosi", "CMU-MOSI unaligned_50.pkl"),
    "5c62b896619a334a7104c8bef05d82b05272c71c": Published("mosi", "CMU-MOSI aligned_50.pkl"),
    "db3e2cff4d706a88ee156981c2100975513d4610": Published("mosei", "CMU-MOSEI unaligned_50.pkl"),
    "ef49589349bc1c2bc252ccc0d4657a755c92a056": Published("mosei", "CMU-MOSEI aligned_50.pkl"),
    "a00c73e92f66896403c09dbad63e242d5af756f8": Published("sims", "CH-SIMS unaligned_39.pkl"),
    "78e0f8b5ef8ff71558e7307848fc1fa929ecb078203f565ab22b9daab2e02524": Published(
        "mosi", "CMU-MOSI unaligned, newer release"
    ),
    "d3994fd25681f9c7ad6e9c6596a6fe9b4beb85ff7d478ba978b124139002e5f9": Published(
        "mosi", "CMU-MOSI aligned, newer release"
    ),
    "ad8b23d50557045e7d47959ce6c5b955d8d983f2979c7d9b7b9226f6dd6fec1f": Published(
        "mosei", "CMU-MOSEI unaligned, newer release"
    ),
    "45eccfb748a87c80ecab9bfac29582e7b1466bf6605ff29d3b338a75120bf791": Published(
        "mosei", "CMU-MOSEI aligned, newer release"
    ),
    "c9e20c13ec0454d98bb9c1e520e490c75146bfa2dfeeea78d84de047dbdd442f": Published(
        "sims", "CH-SIMS unaligned, newer release"
    ),
}

#: Corpora of which feature files are published; of CH-SIMS v2 no hashes are.
_CORPORA = (*sorted({published.corpus for published in PUBLISHED.values()}), "sims2")


def read_released(
    path: str | Path,
    corpus: str,
    facts: Facts | None = None,
    *,
    unlabelled: Unlabelled = "keep",
) -> Material:
    """Read a feature pickle in a layout of the field, of protocol 2 to 5, by Python 2 or 3.

    The features stay in the file until they are asked for, clip by clip, so the file must stay
    where it is until the store is written. Padding is dropped; how long a clip is, is known in
    this order:

    1. ``audio_lengths`` and ``vision_lengths``: the first so many steps. If these are all
       zeros as far as padding would reach, and values follow behind them, the clip is padded in
       front, and its last so many steps are kept; a warning counts such clips.
    2. A file with neither of the two, in which ``audio``, ``vision`` and ``text_bert`` have the
       same number of steps, is aligned: step t of all three belongs to token t. The steps of a
       clip are then those that the mask (row 1 of ``text_bert``) marks, ``[CLS]`` and ``[SEP]``
       included; padding in front is seen as above.
    3. Clips that are separate arrays of different lengths were not padded.
    4. Otherwise nothing says it: rows of zeros at either end of a clip are taken for padding, and
       a warning counts them.

    ``text`` and the token ids have the steps that the mask marks; a ``text`` without
    ``text_bert`` has those that ``text_lengths`` says, or all. A length of 0, or a mask of zeros,
    means that the clip does not have the modality. Infinite values and values that are no numbers
    become 0; a warning per series counts them (the published MOSEI audio holds some -inf).

    A file may have fewer splits, and no ``audio`` or no ``vision``. Keys that are not read may hold
    anything and are named once. A label that is no number is one that was not annotated; a label
    that is off the scale by rounding is cut to it. A missing transcript is an empty one.

    Args:
        path: The file.
        corpus: ``mosi``, ``mosei``, ``sims`` or ``sims2``, or a name of your own.
        facts: What is fixed for a corpus of your own; ``mien export`` writes such files.
        unlabelled: Whether clips without a multimodal label are kept; training and evaluation
            leave them out.

    Returns:
        The clips in the order of the file (train, valid, test) and the series ``audio``,
        ``video``, ``text`` and ``tokens``, as far as the file has them. ``origin`` says the
        file's name, its hashes, and which published file it is.

    Raises:
        CorpusError: If the file is not such a pickle, is damaged, wants to run anything, or holds
            clips, labels or lengths that cannot be right.
        FeatureError: If the clips of a series differ in the number of values per step.
    """
    if facts is None:
        facts = facts_of(corpus)
        if corpus not in _CORPORA:
            raise CorpusError(
                f"{corpus!r} has no published feature file; {', '.join(_CORPORA)} have"
            )
    with FeatureFile(Path(path)) as file:
        layout = find_layout(file, load_closed(file))
        parts = _read_parts(file, layout)
        clips = _read_clips(file, parts, facts)
        origin = _identify(file, corpus)
        series = _make_series(file, parts, origin)
        file.check_unchanged()
    is_annotated = any(Task.FUSION in clip.labels for clip in clips)
    if is_annotated:
        stays = choose_clips(file.path, clips, unlabelled)
        if not all(stays):
            clips = tuple(compress(clips, stays))
            series = tuple(replace(one, read=_Chosen(one.read, stays)) for one in series)
    return Material(
        corpus=Corpus(
            name=corpus,
            language=facts.language,
            scale=facts.scale,
            clips=clips,
            is_annotated=is_annotated,
        ),
        series=series,
        origin=origin,
    )


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Reads the series of some of the clips."""

    read: Callable[[], Iterator[Num[np.ndarray, "_ _"]]]
    chosen: Sequence[bool]

    def __call__(self) -> Iterator[Num[np.ndarray, "_ _"]]:
        return compress(self.read(), self.chosen)


@dataclass(frozen=True, slots=True, kw_only=True)
class _SplitPart:
    """A split that has clips."""

    split: Split
    where: str
    ids: tuple[str, ...]
    values: Mapping[str, object]
    spans: Sequence[tuple[float, float]]


def _read_parts(file: FeatureFile, layout: Layout) -> tuple[_SplitPart, ...]:
    parts = []
    for split, values in layout.splits.items():
        where = f"{file.path}: {split}"
        if not values:
            continue
        ids = _read_ids(file, values, where)
        if ids:
            spans = layout.spans.get(split, ())
            parts.append(_SplitPart(split=split, where=where, ids=ids, values=values, spans=spans))
    if not parts:
        raise CorpusError(f"{file.path}: has no clips")
    _check_keys(file, parts, is_annotated=layout.is_annotated)
    _report_keys(file, parts, layout)
    return tuple(parts)


def _read_ids(file: FeatureFile, values: Mapping[str, object], where: str) -> tuple[str, ...]:
    if "id" not in values:
        raise CorpusError(f"{where}: has no key 'id'; there are: {_list_keys(values)}")
    ids = _read_texts(file, values["id"], None, f"{where}: id")
    if "" in ids:
        raise CorpusError(f"{where}: id: value {ids.index('')} is empty, must be VIDEO$_$CLIP")
    return ids


def _list_keys(values: Mapping[str, object]) -> str:
    return ", ".join(describe(key) for key in list(values)[:20]) or "none"


def _check_keys(file: FeatureFile, parts: Sequence[_SplitPart], *, is_annotated: bool) -> None:
    present = set(parts[0].values)
    for part in parts:
        there = _list_keys(part.values)
        if is_annotated and "regression_labels" not in part.values:
            raise CorpusError(f"{part.where}: has no key 'regression_labels'; there are: {there}")
        if not any(key in part.values for key in (*_SERIES, *_TEXTS)):
            raise CorpusError(
                f"{part.where}: has neither audio nor vision nor a text; there are: {there}"
            )
        for key in sorted((present ^ set(part.values)) & _USED):
            with_it, without = (parts[0], part) if key in present else (part, parts[0])
            raise CorpusError(
                f"{file.path}: {with_it.split} has the key {key!r}, {without.split} has not; "
                "all splits must have the same"
            )


def _report_keys(file: FeatureFile, parts: Sequence[_SplitPart], layout: Layout) -> None:
    """Say once which splits a file lacks, and which of its keys are not read."""
    lacking = [split for split in SPLITS if split not in layout.splits]
    if lacking and layout.is_annotated:
        logger.warning("%s: has no clips for %s", file.path, " and ".join(lacking))
    for key in ("audio", "vision"):
        if key not in parts[0].values:
            logger.warning("%s: has no %s; no clip has this modality", file.path, key)
    values = parts[0].values
    unknown = [
        f"{key} ({describe(one)})" for key, one in values.items() if key not in {*_USED, *_UNUSED}
    ]
    unread = [*layout.ignored, *unknown]
    if unread:
        logger.info("%s: keys that are not read: %s", file.path, ", ".join(unread[:20]))


def _read_texts(file: FeatureFile, value: object, count: int | None, where: str) -> tuple[str, ...]:
    value = squeeze(value, 1)
    if isinstance(value, PickledArray):
        if not value.is_built or len(value.shape) != 1 or value.dtype.kind not in "USO":
            raise CorpusError(
                f"{where}: is {describe(value)}, must be a list of texts{advise(value)}"
            )
        found, texts = value.shape[0], value.texts(file)
    elif isinstance(value, list | tuple):
        found, texts = len(value), iter(value)
    else:
        raise CorpusError(f"{where}: is {describe(value)}, must be a list of texts{advise(value)}")
    if count is not None and found != count:
        raise CorpusError(f"{where}: has {found} texts, the split has {count} ids")
    if found > _MOST_CLIPS:
        raise CorpusError(f"{where}: has {found} clips, must have at most {_MOST_CLIPS}")
    return _decode_texts(file, texts, where)


def _decode_texts(file: FeatureFile, texts: Iterator[object], where: str) -> tuple[str, ...]:
    total, result = 0, []
    for number, one in enumerate(texts):
        text = "" if _is_missing(one) else text_of(file, _only(file, one))
        if text is None:
            raise CorpusError(f"{where}: value {number} is {describe(one)}, must be a text")
        total += len(text)
        if total > _MOST_CHARACTERS:
            raise CorpusError(f"{where}: has more than {_MOST_CHARACTERS} characters")
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


def _read_clips(file: FeatureFile, parts: Sequence[_SplitPart], facts: Facts) -> tuple[Clip, ...]:
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
        clips += _read_split(file, part, facts.scale)
    return tuple(clips)


def _read_split(file: FeatureFile, part: _SplitPart, scale: Scale) -> Iterator[Clip]:
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
    for row, (clip_id, text) in enumerate(zip(part.ids, texts, strict=True)):
        yield Clip(
            id=clip_id,
            split=part.split,
            transcript=text,
            labels={t: values[row] for t, values in labels.items() if not math.isnan(values[row])},
            start=part.spans[row][0] if part.spans else None,
            end=part.spans[row][1] if part.spans else None,
        )


def _report_texts(part: _SplitPart, texts: Sequence[str]) -> None:
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
    file: FeatureFile, part: _SplitPart, key: str, scale: Scale
) -> Float64[np.ndarray, " N"]:
    where = f"{part.where}: {key}"
    labels = read_numbers(file, part.values[key], len(part.ids), where, may_lack=True)
    near = _ROUNDING * (scale.high - scale.low)
    is_near = (labels > scale.low - near) & (labels < scale.high + near)
    labels = np.where(is_near, labels.clip(*scale), labels)
    outside = np.flatnonzero(~((labels >= scale.low) & (labels <= scale.high) | np.isnan(labels)))
    if outside.size:
        row = int(outside[0])
        raise CorpusError(
            f"{part.where}: clip {describe(part.ids[row])}: {key} is {float(labels[row])!r}, "
            f"must be a number from {scale.low:g} to {scale.high:g}"
        )
    return labels


def _identify(file: FeatureFile, corpus: str) -> dict[str, str]:
    sha256, sha1 = file.compute_hashes()
    published = PUBLISHED.get(sha1) or PUBLISHED.get(sha256)
    if published is not None and published.corpus != corpus:
        raise CorpusError(
            f"{file.path}: is {published.title}, not a file of {corpus!r}; "
            f"say --corpus {published.corpus}"
        )
    title = published.title if published else None
    return {
        "file": file.path.name,
        "sha256": sha256,
        "sha1": sha1,
        "published": title or "unknown: not one of the files whose hashes are published",
    }


def _make_series(
    file: FeatureFile, parts: Sequence[_SplitPart], origin: Mapping[str, str]
) -> tuple[SeriesSource, ...]:
    splits = [part.values for part in parts]
    tables = {
        key: _read_tables(file, parts, key)
        for key in ("audio", "vision", "text", "text_bert")
        if key in splits[0]
    }
    if "text_bert" in tables:
        tables["text_bert"] = [_in_rows(table) for table in tables["text_bert"]]
    masks = [read_masks(file, table) for table in tables.get("text_bert", ())]
    spans: dict[str, list[Spans]] = {}
    for key in [one for one in ("audio", "vision") if one in tables]:
        if is_aligned(splits, tables):
            spans[key] = [replace(mask, kind="given") for mask in masks]
        else:
            spans[key] = find_spans(file, splits, tables, key)
    if "text" in tables:
        spans["text"] = find_text_spans(file, splits, tables, masks)
    series = [
        make_features(file, name, _name_extractor(key, origin), tables[key], spans[key])
        for key, name in _SERIES.items()
        if key in spans
    ]
    if masks:
        extractor = _name_extractor("text_bert", origin)
        series.append(make_tokens(file, extractor, tables["text_bert"], masks))
    return tuple(series)


def _in_rows(table: Table) -> Table:
    """Turn token ids of shape (N, T, 3) into the published (N, 3, T)."""
    array = table.value
    if not isinstance(array, PickledArray) or array.shape[2] != 3 or array.shape[1] == 3:
        return table
    clips, steps, values = array.axes
    turned = replace(array, shape=(array.shape[0], 3, array.shape[1]), axes=(clips, values, steps))
    return replace(table, value=turned, shapes=table.shapes[:, ::-1].copy())


def _name_extractor(key: str, origin: Mapping[str, str]) -> str:
    known = not origin["published"].startswith("unknown")
    return f"{key} of {origin['published'] if known else origin['file']}"


def _read_tables(file: FeatureFile, parts: Sequence[_SplitPart], key: str) -> list[Table]:
    return [
        Table.make(file, part.values[key], len(part.ids), f"{part.where}: {key}") for part in parts
    ]
