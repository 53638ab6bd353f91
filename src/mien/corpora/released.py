"""The field's published feature pickles to clips and series, through a reader that runs nothing.

A file is a dict of ``train``, ``valid`` and ``test``, and each of these a dict of lists or arrays,
one entry per clip: ``id``, ``raw_text``, ``audio``, ``vision``, ``text``, ``text_bert``,
``audio_lengths``, ``vision_lengths``, ``annotations``, ``classification_labels``,
``regression_labels`` and, in CH-SIMS, ``regression_labels_T``, ``_A`` and ``_V``.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from mien.corpora import Facts, facts_of
from mien.corpora.closed_pickle import load_closed
from mien.corpora.feature_file import FeatureFile
from mien.corpora.pickled_array import (
    PickledArray,
    text_of,
)
from mien.corpora.pickled_lengths import Spans, find_spans, find_text_spans, is_aligned, read_masks
from mien.corpora.pickled_numpy import describe
from mien.corpora.pickled_series import make_features, make_tokens
from mien.corpora.pickled_table import Table, read_numbers
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
_REQUIRED = ("id", "audio", "vision", "regression_labels")
_TEXTS = ("text_bert", "text", "raw_text")
_UNUSED = (
    "annotations",
    "classification_labels",
    "classification_labels_T",
    "classification_labels_A",
    "classification_labels_V",
)
_USED = {*_REQUIRED, *_TEXTS, *LABELS, "audio_lengths", "vision_lengths", "text_lengths"}


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


def read_released(path: Path, corpus: str, facts: Facts | None = None) -> Material:
    """Read a feature pickle in the published layout, of protocol 2 to 5, by Python 2 or 3.

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

    Args:
        path: The file.
        corpus: ``mosi``, ``mosei`` or ``sims``, or a name of your own.
        facts: What is fixed for a corpus of your own; ``mien export`` writes such files.

    Returns:
        The clips in the order of the file (train, valid, test) and the series ``audio``,
        ``video``, ``text`` and ``tokens``, as far as the file has them. ``origin`` says the
        file's name, its hashes, and which published file it is.

    Raises:
        CorpusError: If the file is not such a pickle, is damaged, wants to run anything, or holds
            clips, labels or lengths that cannot be right.
        FeatureError: If the clips of a series differ in the number of values per step.
    """
    names = sorted({published.corpus for published in PUBLISHED.values()})
    if facts is None:
        facts = facts_of(corpus)
        if corpus not in names:
            raise CorpusError(f"{corpus!r} has no published feature file; {', '.join(names)} have")
    with FeatureFile(Path(path)) as file:
        parts = _read_parts(file, load_closed(file))
        clips = _read_clips(file, parts, facts)
        origin = _identify(file, corpus)
        series = _make_series(file, parts, origin)
        file.check_unchanged()
    return Material(
        corpus=Corpus(name=corpus, language=facts.language, scale=facts.scale, clips=clips),
        series=series,
        origin=origin,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """A split that has clips."""

    split: Split
    where: str
    ids: tuple[str, ...]
    values: Mapping[str, object]


def _read_parts(file: FeatureFile, value: object) -> tuple[_Part, ...]:
    if not isinstance(value, dict):
        raise CorpusError(f"{file.path}: holds {describe(value)}, must be a dict of splits")
    if set(value) != set(SPLITS):
        found = ", ".join(describe(key) for key in list(value)[:8]) or "nothing"
        raise CorpusError(f"{file.path}: has the splits {found}; must have train, valid, test")
    parts = []
    for split in SPLITS:
        where = f"{file.path}: {split}"
        values = value[split]
        if not isinstance(values, dict):
            raise CorpusError(f"{where}: is {describe(values)}, must be a dict")
        if values:
            ids = _read_ids(file, values, where)
            if ids:
                parts.append(_Part(split=split, where=where, ids=ids, values=values))
    if not parts:
        raise CorpusError(f"{file.path}: has no clips")
    _check_keys(file, parts)
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


def _check_keys(file: FeatureFile, parts: Sequence[_Part]) -> None:
    present = set(parts[0].values)
    for part in parts:
        for key in _REQUIRED:
            if key not in part.values:
                there = _list_keys(part.values)
                raise CorpusError(f"{part.where}: has no key {key!r}; there are: {there}")
        if not any(key in part.values for key in _TEXTS):
            raise CorpusError(f"{part.where}: has no text; one of {', '.join(_TEXTS)} is needed")
        for key in sorted((present ^ set(part.values)) & _USED):
            with_it, without = (parts[0], part) if key in present else (part, parts[0])
            raise CorpusError(
                f"{file.path}: {with_it.split} has the key {key!r}, {without.split} has not; "
                "all splits must have the same"
            )
        for key in _UNUSED:
            _check_count(part, key)
    unknown = [describe(key) for key in present if key not in {*_USED, *_UNUSED}]
    if unknown:
        logger.info("%s: keys that are not used: %s", file.path, ", ".join(unknown[:20]))


def _check_count(part: _Part, key: str) -> None:
    found = _count(part.values.get(key))
    if found is not None and found != len(part.ids):
        raise CorpusError(
            f"{part.where}: {key}: has {found} values, the split has {len(part.ids)} ids"
        )


def _count(value: object) -> int | None:
    if isinstance(value, PickledArray):
        return value.shape[0] if value.shape else 1
    return len(value) if isinstance(value, list | tuple) else None


def _read_texts(file: FeatureFile, value: object, count: int | None, where: str) -> tuple[str, ...]:
    if isinstance(value, PickledArray):
        if not value.is_built or len(value.shape) != 1 or value.dtype.kind not in "USO":
            raise CorpusError(f"{where}: is {describe(value)}, must be a list of texts")
        found, texts = value.shape[0], value.texts(file)
    elif isinstance(value, list | tuple):
        found, texts = len(value), iter(value)
    else:
        raise CorpusError(f"{where}: is {describe(value)}, must be a list of texts")
    if count is not None and found != count:
        raise CorpusError(f"{where}: has {found} texts, the split has {count} ids")
    if found > _MOST_CLIPS:
        raise CorpusError(f"{where}: has {found} clips, must have at most {_MOST_CLIPS}")
    return _decode_texts(file, texts, where)


def _decode_texts(file: FeatureFile, texts: Iterator[object], where: str) -> tuple[str, ...]:
    total, result = 0, []
    for number, one in enumerate(texts):
        text = text_of(file, one)
        if text is None:
            raise CorpusError(f"{where}: value {number} is {describe(one)}, must be a text")
        total += len(text)
        if total > _MOST_CHARACTERS:
            raise CorpusError(f"{where}: has more than {_MOST_CHARACTERS} characters")
        result.append(text)
    return tuple(result)


def _read_clips(file: FeatureFile, parts: Sequence[_Part], facts: Facts) -> tuple[Clip, ...]:
    seen: dict[str, Split] = {}
    clips: list[Clip] = []
    for part in parts:
        for clip_id in part.ids:
            if clip_id in seen:
                raise CorpusError(
                    f"{file.path}: clip {describe(clip_id)} occurs twice (in {seen[clip_id]} and "
                    f"{part.split}); ids are unique"
                )
            seen[clip_id] = part.split
        clips += _read_split(file, part, facts.scale)
    return tuple(clips)


def _read_split(file: FeatureFile, part: _Part, scale: Scale) -> Iterator[Clip]:
    count = len(part.ids)
    texts: Sequence[str] = [""] * count
    if "raw_text" in part.values:
        texts = _read_texts(file, part.values["raw_text"], count, f"{part.where}: raw_text")
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
            labels={task: values[row] for task, values in labels.items()},
        )


def _read_labels(
    file: FeatureFile, part: _Part, key: str, scale: Scale
) -> Float64[np.ndarray, " N"]:
    labels = read_numbers(file, part.values[key], len(part.ids), f"{part.where}: {key}")
    outside = np.flatnonzero(~((labels >= scale.low) & (labels <= scale.high)))
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
    file: FeatureFile, parts: Sequence[_Part], origin: Mapping[str, str]
) -> tuple[SeriesSource, ...]:
    splits = [part.values for part in parts]
    tables = {
        key: _read_tables(file, parts, key)
        for key in ("audio", "vision", "text", "text_bert")
        if key in splits[0]
    }
    masks = [read_masks(file, table) for table in tables.get("text_bert", ())]
    spans: dict[str, list[Spans]] = {}
    for key in ("audio", "vision"):
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


def _name_extractor(key: str, origin: Mapping[str, str]) -> str:
    known = not origin["published"].startswith("unknown")
    return f"{key} of {origin['published'] if known else origin['file']}"


def _read_tables(file: FeatureFile, parts: Sequence[_Part], key: str) -> list[Table]:
    return [
        Table.make(file, part.values[key], len(part.ids), f"{part.where}: {key}") for part in parts
    ]
