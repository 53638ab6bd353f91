"""What is in a store, for people: splits, series, labels, where it comes from.

``mien info`` prints it.
"""

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from mien.data.clips.target_counts import TargetSummary, format_targets, summarise_targets
from mien.data.store import Store, open_store
from mien.errors import StoreError
from mien.types import SPLITS, Modality, Scale, Split, Task

__all__ = [
    "LabelSummary",
    "LengthSummary",
    "SeriesSummary",
    "StoreSummary",
    "count_transcript_words",
    "format_summary",
    "summarise",
    "verify",
    "writes_spaces",
]

_Labels = Float[np.ndarray, " N"]
_WIDTH = 80
_NUM_BINS = 7
_BAR = 8
_EIGHTHS = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthSummary:
    """How long the series of a split are, in steps; clips without the series are left out.

    Attributes:
        shortest: Fewest steps.
        median: The middle.
        longest: Most steps.
        num_clips: Clips that have the series.
        num_missing: Clips that do not.
    """

    shortest: int
    median: float
    longest: int
    num_clips: int
    num_missing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesSummary:
    """What a series is.

    Attributes:
        name: ``audio``, ``video``, ``text`` or ``tokens``.
        size: Values per step.
        dtype: Their type.
        extractor: What made them.
        step_seconds: Time from one step to the next, if known.
        lengths: Per split that has clips.
    """

    name: str
    size: int
    dtype: str
    extractor: str
    step_seconds: float | None
    lengths: Mapping[Split, LengthSummary]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSummary:
    """How the annotated labels of a task are spread over the scale.

    Attributes:
        num_clips: Annotated clips per split.
        centres: Seven values, evenly spaced over the scale, ends included. On -3..3 these are the
            classes of seven-class accuracy.
        counts: Clips whose label is nearest to each of them.
        mean: Mean of all labels.
        deviation: Their standard deviation.
        share_negative: Share below 0.
        share_zero: Share that is exactly 0: where the two readings of two-class accuracy part.
        share_positive: Share above 0.
        agreement: Correlation with the multimodal label; None for that one itself, and where it is
            not defined.
    """

    num_clips: Mapping[Split, int]
    centres: tuple[float, ...]
    counts: tuple[int, ...]
    mean: float
    deviation: float
    share_negative: float
    share_zero: float
    share_positive: float
    agreement: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSummary:
    """What is in a store.

    Attributes:
        path: Where it is.
        name: Name of the corpus.
        language: ISO 639-1 code of the transcripts.
        scale: Range of the annotations.
        is_synthetic: Whether a program made the clips.
        num_clips: Clips per split.
        num_videos: Videos per split.
        num_all_videos: Different videos.
        num_shared_videos: Videos with clips in more than one split: there a model can know the
            speaker of a test clip.
        num_transcripts: Clips with a transcript.
        num_words: Median number of words of a transcript, characters where words are not parted.
        num_moments: Clips per modality where it is known when it tells.
        series: The series.
        labels: The tasks with sentiment labels; none if the clips have none.
        targets: What is annotated besides, by target and task.
        origin: Where it comes from.
        fingerprint: SHA-256 over clips and series, as it was when they were written.
    """

    path: Path
    name: str
    language: str
    scale: Scale
    is_synthetic: bool
    num_clips: Mapping[Split, int]
    num_videos: Mapping[Split, int]
    num_all_videos: int
    num_shared_videos: int
    num_transcripts: int
    num_words: float
    num_moments: Mapping[Modality, int]
    series: tuple[SeriesSummary, ...]
    labels: Mapping[Task, LabelSummary]
    targets: tuple[TargetSummary, ...]
    origin: Mapping[str, str]
    fingerprint: str


def summarise(store: Store | str | Path) -> StoreSummary:
    """Count what is in a store; the values of the series are not read.

    Raises:
        StoreError: If the store is damaged.
    """
    store = open_store(store)
    videos = {s: store.clips.take(store.rows(s)).videos for s in SPLITS}
    everywhere = Counter(video for of_split in videos.values() for video in of_split)
    transcripts = store.clips.transcripts
    transcripts = transcripts.take(np.flatnonzero(transcripts.num_bytes))
    return StoreSummary(
        path=store.path,
        name=store.meta.name,
        language=store.meta.language,
        scale=store.scale,
        is_synthetic=store.meta.is_synthetic,
        num_clips=dict(store.meta.num_clips),
        num_videos={split: len(of_split) for split, of_split in videos.items()},
        num_all_videos=len(everywhere),
        num_shared_videos=sum(count > 1 for count in everywhere.values()),
        num_transcripts=len(transcripts),
        num_words=_median(
            [count_transcript_words(transcript, store.meta.language) for transcript in transcripts]
        ),
        num_moments={m: int(store.clips.have_moment(m).sum()) for m in Modality},
        series=tuple(_summarise_series(store, name) for name in store.meta.series),
        labels={task: _summarise_labels(store, task) for task in store.meta.labels},
        targets=summarise_targets(store.clips, store.meta.targets),
        origin=dict(store.meta.origin),
        fingerprint=store.meta.fingerprint,
    )


def verify(store: Store) -> None:
    """Read the full store and compare it with its fingerprint.

    Raises:
        StoreError: If a file is missing, or differs from what was written.
    """
    try:
        fingerprint = store.compute_fingerprint()
    except (OSError, StoreError) as error:
        raise StoreError(
            f"{store.path}: cannot be read ({error}); import the corpus again"
        ) from error
    # earlier versions wrote the first 24 digits of the fingerprint of a store with targets
    short = fingerprint[:24] if store.meta.targets else fingerprint
    if store.meta.fingerprint not in (fingerprint, short):
        raise StoreError(
            f"{store.path}: fingerprint is {fingerprint[:12]}, meta.json says "
            f"{store.meta.fingerprint[:12]}; the files were changed after they were written, "
            "import the corpus again"
        )


def _median(values: Sequence[int]) -> float:
    return float(np.median(values)) if values else 0.0


def writes_spaces(language: str) -> bool:
    """Return whether the language writes spaces between words."""
    return language not in ("zh", "ja", "th")


def count_transcript_words(transcript: str, language: str) -> int:
    """Return the words of a transcript; its characters where words are not parted by spaces."""
    return len(transcript.split()) if writes_spaces(language) else len(transcript)


def _summarise_series(store: Store, name: str) -> SeriesSummary:
    meta, lengths = store.meta.series[name], store.series(name).lengths
    return SeriesSummary(
        name=name,
        size=meta.size,
        dtype=meta.dtype,
        extractor=meta.extractor,
        step_seconds=meta.step_seconds,
        lengths={
            s: _summarise_lengths(lengths[store.rows(s)]) for s in SPLITS if store.rows(s).size
        },
    )


def _summarise_lengths(lengths: Int[np.ndarray, " N"]) -> LengthSummary:
    there = lengths[lengths > 0]
    return LengthSummary(
        shortest=int(there.min()) if there.size else 0,
        median=_median(there.tolist()),
        longest=int(there.max(initial=0)),
        num_clips=len(there),
        num_missing=len(lengths) - len(there),
    )


def _summarise_labels(store: Store, task: Task) -> LabelSummary:
    clips = store.clips.take(np.flatnonzero(~np.isnan(store.clips.labels(task))))
    labels = clips.labels(task)
    low, high = store.scale
    steps = (labels - (low + high) / 2) / (high - low) * (_NUM_BINS - 1)  # from the middle
    bins = np.round(steps).astype(int) + _NUM_BINS // 2  # halves to even, as seven-class accuracy
    fusion = clips.labels(Task.FUSION)
    both = ~np.isnan(fusion)
    return LabelSummary(
        num_clips={split: int(clips.are_in(split).sum()) for split in SPLITS},
        centres=tuple(float(centre) for centre in np.linspace(low, high, _NUM_BINS)),
        counts=tuple(int(count) for count in np.bincount(bins, minlength=_NUM_BINS)),
        mean=float(labels.mean()),
        deviation=float(labels.std()),
        share_negative=float((labels < 0).mean()),
        share_zero=float((labels == 0).mean()),
        share_positive=float((labels > 0).mean()),
        agreement=None if task is Task.FUSION else _correlate(labels[both], fusion[both]),
    )


def _correlate(labels: _Labels, others: _Labels) -> float | None:
    if not labels.size or labels.std() == 0 or others.std() == 0:
        return None
    return float(np.corrcoef(labels, others)[0, 1])


def format_summary(summary: StoreSummary) -> str:
    """Return the summary as text for a terminal of 80 columns."""
    blocks = [
        _format_head(summary),
        _format_splits(summary),
        *(_format_series(series) for series in summary.series),
        *([_format_labels(summary.labels)] if summary.labels else ()),
        *(_format_target(target) for target in summary.targets),
        _format_origin(summary),
    ]
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def _format_head(summary: StoreSummary) -> Iterator[str]:
    total = sum(summary.num_clips.values())
    low, high = summary.scale
    facts = [summary.name, f"{total:,} clips", f"language {summary.language}"]
    names = list(dict.fromkeys(each.target.name for each in summary.targets))
    if summary.labels or not names:
        facts.append(f"labels {low:g} to {high:g}" if summary.labels else "no labels")
    facts += names
    yield " · ".join(facts)
    if summary.is_synthetic:
        yield "synthetic: results on it tell you about methods, not about people"


def _format_splits(summary: StoreSummary) -> Iterator[str]:
    yield _row("", [*SPLITS, "all"])
    clips, videos = summary.num_clips, summary.num_videos
    yield _row("clips", [clips[s] for s in SPLITS] + [sum(clips.values())])
    yield _row("videos", [videos[s] for s in SPLITS] + [summary.num_all_videos])
    yield _row("videos in more than one split", ["", "", "", summary.num_shared_videos])
    yield _row("transcripts", ["", "", "", summary.num_transcripts])
    if summary.num_transcripts:
        unit = "words" if writes_spaces(summary.language) else "characters"
        yield _row(f"{unit} of a transcript, median", ["", "", "", f"{summary.num_words:g}"])
    for modality, count in summary.num_moments.items():
        if count:
            yield _row(f"salient moment known, {modality}", ["", "", "", count])


def _format_series(series: SeriesSummary) -> Iterator[str]:
    facts = [series.name, f"{series.size} values a step", series.dtype]
    if series.step_seconds is not None:
        facts.append(f"{series.step_seconds:g} s a step")
    yield " · ".join(facts)
    yield from textwrap.wrap(f"by {series.extractor}", _WIDTH, initial_indent="  ")
    lengths = series.lengths
    yield _row("", list(lengths))
    yield _row("clips with it", [split.num_clips for split in lengths.values()])
    yield _row("clips without it", [split.num_missing for split in lengths.values()])
    yield _row("steps, fewest", [split.shortest for split in lengths.values()])
    yield _row("steps, median", [f"{split.median:g}" for split in lengths.values()])
    yield _row("steps, most", [split.longest for split in lengths.values()])


def _format_target(summary: TargetSummary) -> Iterator[str]:
    (title, _), *rows = format_targets(summary)
    yield title
    yield from (_row(name[:32], cells) for name, cells in rows)


def _row(title: str, cells: Sequence[str | int]) -> str:
    texts = [cell if isinstance(cell, str) else f"{cell:,}" for cell in cells]
    return f"  {title:<32}{''.join(f'{text:>10}' for text in texts)}".rstrip()


def _format_labels(labels: Mapping[Task, LabelSummary]) -> Iterator[str]:
    yield f"{'labels':<14}" + "".join(f"{task:<17}" for task in labels).rstrip()
    columns = list(labels.values())
    for row, centre in enumerate(columns[0].centres):
        cells = [_bar(column.counts[row], max(column.counts)) for column in columns]
        yield _label_row(f"{centre:+.3g}" if centre else "0", cells)
    yield _label_row("clips", [f"{sum(label.counts):,}" for label in columns])
    yield _label_row(
        "mean ± sd", [f"{label.mean:.2f} ± {label.deviation:.2f}" for label in columns]
    )
    yield _label_row("below 0", [f"{label.share_negative:.1%}" for label in columns])
    yield _label_row("exactly 0", [f"{label.share_zero:.1%}" for label in columns])
    yield _label_row("above 0", [f"{label.share_positive:.1%}" for label in columns])
    if len(columns) > 1:
        shown = ["" if label.agreement is None else f"{label.agreement:.2f}" for label in columns]
        yield _label_row("r to fusion", shown)


def _label_row(title: str, cells: Sequence[str]) -> str:
    return (f"  {title:<12}" + "".join(f"{cell:<17}" for cell in cells)).rstrip()


def _bar(count: int, most: int) -> str:
    eighths = round(count / most * _BAR * 8) or (count > 0)
    return f"{count:>6,} {'█' * (eighths // 8)}{_EIGHTHS[eighths % 8]}"


def _format_origin(summary: StoreSummary) -> Iterator[str]:
    yield "origin"
    facts = {**summary.origin, "fingerprint": summary.fingerprint}
    width = min(max(map(len, facts)), 20)
    for name, text in facts.items():
        first, *others = textwrap.wrap(text, _WIDTH - width - 4) or [""]
        yield f"  {name:<{width}}  {first}".rstrip()
        yield from (f"  {'':<{width}}  {line}" for line in others)
