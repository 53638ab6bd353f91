"""A user's own corpus: a CSV file of clips in the field's columns, and npz files of features."""

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from mien.corpora.clip_table.cells import UNIMODAL, join_id, read_labels, read_mode, read_piece
from mien.corpora.clip_table.rows import read_rows
from mien.corpora.clip_table.splits import Piece, check_pieces, report_shared
from mien.corpora.npz_features import read_arrays
from mien.corpora.unlabelled import Unlabelled, choose_clips
from mien.errors import CorpusError, FeatureError, name_known
from mien.files.hashing import hash_file
from mien.files.reading import show
from mien.types import Bounds, Clip, Corpus, Material, Modality, Scale, SeriesSource, Task

__all__ = ["UNIMODAL", "read_table"]

logger = logging.getLogger(__name__)

_REQUIRED = ("video_id", "clip_id", "label", "mode")
_KNOWN = (*_REQUIRED, *UNIMODAL, "text", "start", "end", "speaker")


def read_table(
    path: str | Path,
    *,
    features: Mapping[str, str | Path],
    name: str,
    language: str,
    scale: Bounds,
    encoding: str | None = None,
    unlabelled: Unlabelled = "keep",
) -> Material:
    """Read a CSV file of clips and join npz files of features to it.

    The columns are found by their names, or by what else the field calls them, in any case
    (``mien.corpora.clip_table.columns``): ``video_id, clip_id, label, mode`` are needed; ``text``
    is the transcript; ``label_T, label_A, label_V`` are unimodal labels; ``start, end`` are seconds
    of the video, or times such as ``00:01:02.5``; ``speaker`` is who speaks, without which
    every video is a speaker of its own. An empty label is one that nobody annotated. Other columns
    are listed.

    Args:
        path: The CSV file; its cells are separated by commas, semicolons or tabs.
        features: An npz file per modality (``text``, ``audio``, ``video``); ``FILE.npz:NAME``
            chooses an array in it. ``mien.corpora.npz_features`` has the layouts.
        name: What the corpus is called.
        language: ISO 639-1 code of the transcripts.
        scale: Range of the annotations, such as ``(-3, 3)``.
        encoding: Encoding of the CSV file; None finds out UTF-8, UTF-16 and GB18030.
        unlabelled: Whether clips without a multimodal label are kept; training and evaluation
            leave them out.

    Raises:
        CorpusError: If the CSV file is not what it should be; the sentence has file and line.
        FeatureError: If an npz file is not, or has none of the clips.
    """
    path, scale = Path(path), Scale(*scale)
    files = {modality: Path(file) for modality, file in features.items()}
    clips = _read_clips(path, scale, encoding)
    unknown = [name for name in features if name not in list(Modality)]
    if unknown:
        raise FeatureError(
            f"features {unknown[0]!r}: there is no such modality; "
            f"{name_known(unknown[0], Modality)}"
        )
    if not features and not any(clip.transcript for clip in clips):
        raise CorpusError(
            f"{path}: has no transcripts, and no features are given; there is nothing to learn from"
        )
    stays = choose_clips(path, clips, unlabelled)
    clips = tuple(clip for clip, has in zip(clips, stays, strict=True) if has)
    ids = [clip.id for clip in clips]
    series = tuple(read_arrays(files[m], name=m, ids=ids) for m in Modality if m in files)
    corpus = Corpus(
        name=name,
        language=language,
        scale=scale,
        clips=clips,
        is_annotated=any(Task.FUSION in clip.labels for clip in clips),
    )
    return Material(corpus=corpus, series=series, origin=_describe_origin(path, series, files))


def _read_clips(path: Path, scale: Scale, encoding: str | None) -> tuple[Clip, ...]:
    clips: dict[str, Clip] = {}
    lines: dict[str, int] = {}
    for line, row in read_rows(path, required=_REQUIRED, known=_KNOWN, encoding=encoding).rows:
        clip = _read_clip(row, f"{path}:{line}", scale)
        if clip.id in clips:
            raise CorpusError(
                f"{path}:{line}: video_id {show(row['video_id'])} with clip_id "
                f"{show(row['clip_id'])} is already in line {lines[clip.id]}; clips must be unique"
            )
        clips[clip.id], lines[clip.id] = clip, line
    if not clips:
        raise CorpusError(f"{path}: has no clips")
    read = tuple(clips.values())
    check_pieces(
        path,
        (
            Piece(c.video_id, c.start or 0.0, c.end or math.inf, c.split, lines[c.id])
            for c in read
            if c.start is not None or c.end is not None
        ),
    )
    report_shared(path, read)
    return read


def _read_clip(row: Mapping[str, str], where: str, scale: Scale) -> Clip:
    clip_id = join_id(row, where)
    is_annotated = bool(row["label"])
    split = read_mode(row, where, default=None if is_annotated else "train")
    start, end = read_piece(row, where, begin=None)
    return Clip(
        id=clip_id,
        split=split,
        transcript=row.get("text", ""),
        labels=read_labels(row, where, scale),
        start=start,
        end=end,
        speaker=row.get("speaker") or None,
    )


def _describe_origin(
    path: Path, series: Sequence[SeriesSource], features: Mapping[str, Path]
) -> dict[str, str]:
    origin = {"file": path.name, "sha256": hash_file(path, CorpusError)}
    for source in series:
        file = features[source.name]
        if not file.exists():  # FILE.npz:NAME
            file = Path(str(file).rpartition(":")[0])
        origin |= {
            source.name: source.extractor,
            f"{source.name} sha256": hash_file(file, CorpusError),
        }
    return origin
