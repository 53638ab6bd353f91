"""The field's feature pickles to clips and series, through a reader that runs nothing.

A published file is a dict of ``train``, ``valid`` and ``test``, and each of these a dict of lists
or arrays, one entry per clip: ``id``, ``raw_text``, ``audio``, ``vision``, ``text``, ``text_bert``,
``audio_lengths``, ``vision_lengths``, ``annotations``, ``classification_labels``,
``regression_labels`` and, in CH-SIMS, ``regression_labels_T``, ``_A`` and ``_V``. Other layouts
are brought into this one first (``mien.corpora.published.variants``).
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path

import numpy as np
from jaxtyping import Num

from mien.corpora import Facts, facts_of
from mien.corpora.published.annotations import (
    LABELS,
    SplitPart,
    list_keys,
    read_clips,
    read_ids,
)
from mien.corpora.published.emotion_labels import EMOTIONS_KEY
from mien.corpora.published.known_files import CORPORA, identify
from mien.corpora.published.matrices import Table
from mien.corpora.published.padding import (
    Spans,
    find_spans,
    find_text_spans,
    is_aligned,
    read_masks,
)
from mien.corpora.published.series import make_features, make_tokens
from mien.corpora.published.variants import Layout, find_layout
from mien.corpora.safe_pickle.descriptions import describe
from mien.corpora.safe_pickle.feature_file import FeatureFile
from mien.corpora.safe_pickle.lazy_array import PickledArray
from mien.corpora.safe_pickle.machine import load_closed
from mien.corpora.unlabelled import Unlabelled, choose_clips, is_annotated
from mien.errors import CorpusError
from mien.types import SPLITS, Corpus, Material, SeriesSource, Target

__all__ = ["read_published"]

logger = logging.getLogger(__name__)

_SERIES = {"audio": "audio", "vision": "video", "text": "text"}
_TEXTS = ("text_bert", "text", "raw_text")
_UNUSED = (
    "annotations",
    "classification_labels",
    "classification_labels_T",
    "classification_labels_A",
    "classification_labels_V",
)
_USED = {"id", *_SERIES, *_TEXTS, *LABELS, "audio_lengths", "vision_lengths", "text_lengths"}
_USED.add(EMOTIONS_KEY)


def read_published(
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

    Labels of seven numbers are sentiment and the six emotions of CMU-MOSEI, and four pairs the
    emotions of MulT's file of IEMOCAP: the target ``emotion``.

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
        if corpus not in CORPORA:
            raise CorpusError(
                f"{corpus!r} has no published feature file; {', '.join(CORPORA)} have"
            )
    with FeatureFile(Path(path)) as file:
        layout = find_layout(file, load_closed(file))
        parts = _read_parts(file, layout)
        clips = read_clips(file, parts, facts.scale)
        origin = identify(file, corpus)
        series = _make_series(file, parts, origin)
        file.check_unchanged()
    has_any = any(map(is_annotated, clips))
    if has_any:
        stays = choose_clips(file.path, clips, unlabelled)
        if not all(stays):
            clips = tuple(compress(clips, stays))
            series = tuple(replace(s, read=_Chosen(s.read, stays)) for s in series)
    return Material(
        corpus=Corpus(
            name=corpus,
            language=facts.language,
            scale=facts.scale,
            clips=clips,
            is_annotated=has_any,
            targets=_list_targets(file, parts),
        ),
        series=series,
        origin=origin,
    )


def _list_targets(file: FeatureFile, parts: Sequence[SplitPart]) -> tuple[Target, ...]:
    """Return what the file has besides sentiment; all of its splits must have the same."""
    targets = {None if part.emotions is None else part.emotions.target for part in parts}
    if len(targets) > 1:
        raise CorpusError(f"{file.path}: splits have labels of different kinds; get it again")
    return tuple(target for target in targets if target is not None)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Reads the series of some of the clips."""

    read: Callable[[], Iterator[Num[np.ndarray, "_ _"]]]
    chosen: Sequence[bool]

    def __call__(self) -> Iterator[Num[np.ndarray, "_ _"]]:
        return compress(self.read(), self.chosen)


def _read_parts(file: FeatureFile, layout: Layout) -> tuple[SplitPart, ...]:
    parts = []
    for split, values in layout.splits.items():
        where = f"{file.path}: {split}"
        if not values:
            continue
        ids = read_ids(file, values, where)
        if ids:
            spans = layout.spans.get(split, ())
            parts.append(SplitPart(split=split, where=where, ids=ids, values=values, spans=spans))
    if not parts:
        raise CorpusError(f"{file.path}: has no clips")
    _check_keys(file, parts, is_annotated=layout.is_annotated)
    _report_keys(file, parts, layout)
    return tuple(parts)


def _check_keys(file: FeatureFile, parts: Sequence[SplitPart], *, is_annotated: bool) -> None:
    present = set(parts[0].values)
    for part in parts:
        there = list_keys(part.values)
        if is_annotated and not {"regression_labels", EMOTIONS_KEY} & set(part.values):
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


def _report_keys(file: FeatureFile, parts: Sequence[SplitPart], layout: Layout) -> None:
    """Say once which splits a file lacks, and which of its keys are not read."""
    lacking = [split for split in SPLITS if split not in layout.splits]
    if lacking and layout.is_annotated:
        logger.warning("%s: has no clips for %s", file.path, " and ".join(lacking))
    for key in ("audio", "vision"):
        if key not in parts[0].values:
            logger.warning("%s: has no %s; no clip has this modality", file.path, key)
    values = parts[0].values
    unknown = [
        f"{key} ({describe(value)})"
        for key, value in values.items()
        if key not in {*_USED, *_UNUSED}
    ]
    unread = [*layout.ignored, *unknown]
    if unread:
        logger.info("%s: keys that are not read: %s", file.path, ", ".join(unread[:20]))


def _make_series(
    file: FeatureFile, parts: Sequence[SplitPart], origin: Mapping[str, str]
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
    for key in ("audio", "vision"):
        if key not in tables:
            continue
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


def _read_tables(file: FeatureFile, parts: Sequence[SplitPart], key: str) -> list[Table]:
    return [
        Table.make(file, part.values[key], len(part.ids), f"{part.where}: {key}") for part in parts
    ]
