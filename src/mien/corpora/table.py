"""A user's own corpus: a CSV file of clips in the field's columns, and npz files of features."""

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from mien.corpora.clip_table.cells import UNIMODAL, join_id, read_labels, read_mode, read_piece
from mien.corpora.clip_table.rows import TableRows, has_labels, read_rows
from mien.corpora.clip_table.splits import Piece, check_pieces, report_absent, report_shared
from mien.corpora.clip_table.target_cells import TargetValues
from mien.corpora.clip_table.target_requests import read_target_requests
from mien.corpora.npz_features import read_arrays
from mien.corpora.unlabelled import Unlabelled, choose_clips, is_annotated
from mien.errors import CorpusError, FeatureError, name_known
from mien.files.hashing import hash_file
from mien.files.reading import show
from mien.types import Bounds, Clip, Corpus, Material, Modality, Scale, SeriesSource

__all__ = ["UNIMODAL", "join_features", "read_table"]

logger = logging.getLogger(__name__)

_REQUIRED = ("video_id", "clip_id", "label", "mode")
_KNOWN = (*_REQUIRED, *UNIMODAL, "text", "start", "end", "speaker")


def read_table(
    path: str | Path,
    *,
    features: Mapping[str, str | Path],
    name: str,
    language: str,
    scale: Bounds | None = None,
    encoding: str | None = None,
    unlabelled: Unlabelled = "keep",
    targets: Sequence[str] = (),
) -> Material:
    """Read a CSV file of clips and join npz files of features to it.

    The columns are found by their names, or by what else the field calls them, in any case
    (``mien.corpora.clip_table.columns``): ``video_id, clip_id, mode`` are needed, and ``label`` or
    a target; ``text`` is the transcript; ``label_T, label_A, label_V`` are unimodal labels;
    ``start, end`` are seconds of the video, or times such as ``00:01:02.5``; ``speaker`` is who
    speaks, without which every video is a speaker of its own. An empty label is one that nobody
    annotated. Other columns are listed.

    ``emotion`` holds classes; ``emotion_text``, ``_audio`` and ``_video`` those of one modality,
    and ``emotion:angry`` the votes for one class (``mien.corpora.clip_table.target_cells``).
    Other targets are stated.

    Args:
        path: The CSV file; its cells are separated by commas, semicolons or tabs.
        features: An npz file per modality (``text``, ``audio``, ``video``); ``FILE.npz:NAME``
            chooses an array in it. ``mien.corpora.npz_features`` has the layouts.
        name: What the corpus is called.
        language: ISO 639-1 code of the transcripts.
        scale: Range of the labels, such as ``(-3, 3)``; None if there are none.
        encoding: Encoding of the CSV file; None finds out UTF-8, UTF-16 and GB18030.
        unlabelled: Whether clips without a multimodal label or target are kept; training and
            evaluation leave them out.
        targets: What is annotated besides labels: ``valence=1:5`` is a scale, ``emotion=a,b,c``
            are classes, ``emotion=a|b|c`` those of which several may be there, and
            ``emotion=iemocap4`` is a scheme (``mien.corpora.class_names.schemes``).

    Raises:
        ConfigError: If ``targets`` are not of such a form.
        CorpusError: If the CSV file is not what it should be; the sentence has file and line.
        FeatureError: If an npz file is not, or has none of the clips.
    """
    path, bounds = Path(path), None if scale is None else Scale(*scale)
    table = read_rows(
        path,
        required=_REQUIRED,
        known=_KNOWN,
        encoding=encoding,
        targets=read_target_requests(targets),
    )
    clips = _read_clips(path, table, bounds)
    stays = choose_clips(path, clips, unlabelled)
    clips = tuple(clip for clip, has in zip(clips, stays, strict=True) if has)
    report_absent(path, clips, table.targets)
    corpus = Corpus(
        name=name,
        language=language,
        scale=bounds or Scale(-1, 1),
        clips=clips,
        is_annotated=any(map(is_annotated, clips)),
        targets=table.targets,
    )
    origin = {"file": path.name, "sha256": hash_file(path, CorpusError)}
    return join_features(corpus, features, path=path, origin=origin)


def join_features(
    corpus: Corpus,
    features: Mapping[str, str | Path],
    *,
    path: Path,
    origin: Mapping[str, str],
) -> Material:
    """Join npz files of features to the clips of a corpus.

    Args:
        corpus: The clips.
        features: An npz file per modality; ``FILE.npz:NAME`` chooses an array in it.
        path: Where the clips come from, for messages.
        origin: The same for people to read.

    Raises:
        CorpusError: If there is nothing to learn from: no features, and no transcripts.
        FeatureError: If an npz file is not as it should be, or has none of the clips.
    """
    files = {modality: Path(file) for modality, file in features.items()}
    unknown = [name for name in features if name not in list(Modality)]
    if unknown:
        raise FeatureError(
            f"features {unknown[0]!r}: there is no such modality; "
            f"{name_known(unknown[0], Modality)}"
        )
    if not features and not any(clip.transcript for clip in corpus.clips):
        raise CorpusError(
            f"{path}: has no transcripts, and no features are given; there is nothing to learn from"
        )
    ids = [clip.id for clip in corpus.clips]
    series = tuple(read_arrays(files[m], name=m, ids=ids) for m in Modality if m in files)
    return Material(corpus=corpus, series=series, origin={**origin, **_describe(series, files)})


def _read_clips(path: Path, table: TableRows, scale: Scale | None) -> tuple[Clip, ...]:
    clips: dict[str, Clip] = {}
    lines: dict[str, int] = {}
    if not has_labels(path, table, scale, is_optional=bool(table.targets)):
        scale = None
    for line, row in table.rows:
        clip = _read_clip(row, f"{path}:{line}", scale, table.values.get(line, {}))
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


def _read_clip(
    row: Mapping[str, str], where: str, scale: Scale | None, targets: TargetValues
) -> Clip:
    clip_id = join_id(row, where)
    has_any = bool(targets) or (scale is not None and bool(row.get("label")))
    split = read_mode(row, where, default=None if has_any else "train")
    start, end = read_piece(row, where, begin=None)
    return Clip(
        id=clip_id,
        split=split,
        transcript=row.get("text", ""),
        labels={} if scale is None else read_labels(row, where, scale),
        start=start,
        end=end,
        speaker=row.get("speaker") or None,
        targets=targets,
    )


def _describe(series: Sequence[SeriesSource], features: Mapping[str, Path]) -> dict[str, str]:
    origin: dict[str, str] = {}
    for source in series:
        file = features[source.name]
        if not file.exists():  # FILE.npz:NAME
            file = Path(str(file).rpartition(":")[0])
        origin |= {
            source.name: source.extractor,
            f"{source.name} sha256": hash_file(file, CorpusError),
        }
    return origin
