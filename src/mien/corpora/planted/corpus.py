"""A synthetic corpus whose unimodal truth and salient moments are known.

Real corpora seldom annotate what each modality says alone, and never where it says it. This one
knows both, so it can show whether an attention finds the moments and whether generated unimodal
labels find the unimodal truth. What it measures holds for methods, not for people: the clips are
made by this program, and it says so wherever they are used.

Text is an English sentence whose wording carries the sentiment
(``mien.corpora.planted.sentences``). Audio and video are series in which one short burst at a
random place carries it, among lures (``mien.corpora.planted.signals``). The multimodal label is
made from the unimodal ones (``mien.corpora.planted.sentiments``). Clips may have emotions besides,
of every modality and of all together (``mien.corpora.planted.emotions``).
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mien.corpora.planted.emotions import annotate_emotions, draw_arousals, list_targets
from mien.corpora.planted.planted_config import (
    FACTS,
    PlantedConfig,
    RandomStream,
    draw_from,
    split_sizes,
)
from mien.corpora.planted.sentences import add_arousal, write_sentence
from mien.corpora.planted.sentiments import draw_sentiments, mix_sentiments
from mien.corpora.planted.signals import SERIES, PlannedSeries, make_series, plan_series
from mien.types import ID_SEPARATOR, Clip, Corpus, Material, Modality, Split, Task

__all__ = ["make_planted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _PlannedClip:
    """One clip before it is written out; a series that the clip does not have is absent."""

    duration: float
    text: float
    series: dict[Modality, PlannedSeries]
    label: float
    text_arousal: float = 0.0
    targets: Mapping[str, Mapping[Task, tuple[float, ...]]] = field(default_factory=dict)


def make_planted(settings: PlantedConfig | None = None) -> Material:
    """Make the corpus; the same settings give the same bytes on every machine.

    The series are made clip by clip while they are read.

    Args:
        settings: How it is made; the defaults if left out.
    """
    settings = settings or PlantedConfig()
    videos = _number_videos(settings)
    plans = [_plan_clip(settings, row, video) for row, video in enumerate(videos)]
    corpus = Corpus(
        name="planted",
        language=FACTS.language,
        scale=FACTS.scale,
        clips=_make_clips(settings, plans),
        is_synthetic=True,
        targets=() if settings.emotions is None else list_targets(settings.emotions),
    )
    origin = {
        "made by": "mien planted: the clips are made, not recorded",
        "settings": ", ".join(_name_changes(settings)) or "defaults",
        "seed": str(settings.seed),
    }
    series = tuple(
        make_series(settings, modality, [plan.series.get(modality) for plan in plans])
        for modality in SERIES
    )
    return Material(corpus=corpus, series=series, origin=origin)


def _name_changes(settings: PlantedConfig) -> list[str]:
    """Return the settings that are not the defaults, but the seed."""
    changed: dict[str, Any] = settings.model_dump(mode="json", exclude_defaults=True)
    changed.pop("seed", None)
    emotions = changed.pop("emotions", None)
    named = [f"{name}={value}" for name, value in changed.items()]
    if emotions is None:
        return named
    return [*named, "emotions", *(f"emotions.{name}={value}" for name, value in emotions.items())]


def _number_videos(settings: PlantedConfig) -> list[int]:
    """Return the number, from 1, of the video of each clip; a video lies in one split."""
    numbers: list[int] = []
    for size in split_sizes(settings).values():
        first = numbers[-1] + 1 if numbers else 1
        numbers += [first + clip // settings.clips_per_video for clip in range(size)]
    return numbers


def _plan_clip(settings: PlantedConfig, row: int, video: int) -> _PlannedClip:
    generator = draw_from(settings, RandomStream.LABELS, row)
    sentiments = draw_sentiments(settings, generator, video)
    noise = settings.label_noise * float(generator.standard_normal())
    shortest, longest = settings.shortest_seconds, settings.longest_seconds
    duration = round(float(generator.uniform(shortest, longest)), 2)
    has_series = dict(zip(SERIES, generator.random(2) >= settings.missing, strict=True))
    bursts = draw_from(settings, RandomStream.BURSTS, row)
    planned = {
        modality: plan_series(settings, modality, sentiments[modality], duration, bursts)
        for modality in SERIES
    }
    series = {modality: plan for modality, plan in planned.items() if has_series[modality]}
    text = sentiments[Modality.TEXT]
    present = {Modality.TEXT: text} | {m: plan.sentiment for m, plan in series.items()}
    label = mix_sentiments(settings, present, noise)
    plan = _PlannedClip(duration=duration, text=text, series=series, label=label)
    if settings.emotions is None:
        return plan
    arousals = draw_arousals(settings, row, video)
    return replace(
        plan,
        series={m: replace(own, arousal=arousals[m]) for m, own in series.items()},
        text_arousal=arousals[Modality.TEXT],
        targets=annotate_emotions(settings, settings.emotions, row, present, arousals),
    )


def _make_clips(settings: PlantedConfig, plans: list[_PlannedClip]) -> tuple[Clip, ...]:
    clips = []
    splits = [split for split, size in split_sizes(settings).items() for _ in range(size)]
    rows = zip(_number_videos(settings), itertools.count(), splits, plans, strict=False)
    for video, of_video in itertools.groupby(rows, key=lambda row: row[0]):
        start = 0.0
        for number, (_, row, split, plan) in enumerate(of_video, start=1):
            clip_id = f"video-{video:04d}{ID_SEPARATOR}{number}"
            clips.append(_make_clip(settings, clip_id, split, row, plan, start))
            start = round(start + plan.duration, 2)
    return tuple(clips)


def _make_clip(
    settings: PlantedConfig, clip_id: str, split: Split, row: int, plan: _PlannedClip, start: float
) -> Clip:
    words = draw_from(settings, RandomStream.WORDS, row)
    sentence = write_sentence(plan.text, words, hearsay=settings.hearsay)
    if settings.emotions is not None:
        clauses = draw_from(settings, RandomStream.WORDS, row, 1)
        sentence = add_arousal(sentence, plan.text_arousal, clauses)
    labels = {Task.FUSION: plan.label, Task.TEXT: plan.text}
    return Clip(
        id=clip_id,
        split=split,
        transcript=sentence.text,
        labels=labels | {Task(m): series.sentiment for m, series in plan.series.items()},
        start=start,
        end=round(start + plan.duration, 2),
        moments={Modality.TEXT: sentence.span}
        | {m: series.burst for m, series in plan.series.items()},
        targets=plan.targets,
    )
