"""A made corpus whose unimodal truth and telling moments are known: the project's instrument.

Real corpora seldom annotate what each modality says alone, and never where it says it. This one
knows both, so it can show whether an attention finds the moments and whether generated unimodal
labels find the unimodal truth. What it measures holds for methods, not for people: the clips are
made by this program, and it says so wherever they are used.

Text is an English sentence whose wording carries the sentiment
(``mien.corpora.planted.sentences``). Audio and video are series in which one short burst at a
random place carries it, among lures:

    x_t = R (b_t + z_t)
    z_t = c e_cue  + g y e_valence     in the burst
          c e_lure + g u e_valence     in a lure
          0                            elsewhere

b is a background that drifts slowly and is strong in every direction, y the modality's own
sentiment, u a value drawn for the lure alone, c and g how far a burst stands out, R a fixed
rotation. Only the direction of the cue tells the burst from the lures. Averaged over the clip, or
read at its end, the sentiment drowns in the background and the lures. Noise, length and place of
the bursts are settings, so that it can be seen when an attention stops finding them.

The multimodal label is made from the unimodal ones (``mixing``), t, a, v, with weights w:

    sum         (w_t t + w_a a + w_v v) / (w_t + w_a + w_v)
    strongest   that of t, a, v which is farthest from 0
    irony       the same as sum, with t' = -t where t a < 0

A sum is what a fusion that only joins can learn; the two others are interactions. Under ``irony``
words that the voice contradicts are meant the other way round: the words say how much and the voice
says which way, ``t' = |t| sign(a)``. No function of the words plus a function of the voice is that.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Float32
from pydantic import Field, model_validator

from mien.config import Settings
from mien.corpora import KNOWN
from mien.corpora.planted.bursts import Position, place_bursts
from mien.corpora.planted.sentences import GRADES, write_sentence
from mien.types import (
    ID_SEPARATOR,
    Clip,
    Corpus,
    Material,
    Modality,
    SeriesSource,
    Split,
    Task,
)

__all__ = ["PlantedConfig", "make_planted"]

_FACTS = KNOWN["planted"]
_SERIES = (Modality.AUDIO, Modality.VIDEO)
_CUE, _LURE, _VALENCE = 0, 1, 2
# Each use of randomness draws from its own stream, so that one setting does not disturb another.
_LABELS, _PLACES, _WORDS, _VALUES, _ROTATION, _VIDEOS = range(6)
_ROUNDING = 1024  # values are multiples of 1/1024: libraries that sum in another order agree


class PlantedConfig(Settings):
    """How the corpus is made.

    Attributes:
        seed: Seed of everything that is drawn. The rotation of the features is the same for every
            seed: corpora of two seeds are different clips of one world.
        num_clips: Clips of the three splits together.
        train: Share of the clips in the train split.
        valid: Share in the valid split; the rest is the test split.
        clips_per_video: Clips cut from one video; a video lies in one split.
        video_effect: Share of the variance of a modality's sentiment that all clips of a video have
            in common, before it is cut and rounded and where modalities agree: the correlation of
            two clips of one video. With 0, the default, clips of a video have nothing in common,
            and intervals over videos are as wide as those over clips.
        agreement: Correlation of the modalities' sentiments in clips where they agree.
        disagreement: Share of clips in which one modality, drawn at random, says the opposite.
        spread: Standard deviation of a modality's sentiment before it is cut to the scale.
        text_weight: Weight of the text, which every clip has, in the multimodal label.
        audio_weight: Weight of the audio.
        video_weight: Weight of the video.
        mixing: How the multimodal label comes from the unimodal ones of the modalities that the
            clip has: their weighted ``sum``; the ``strongest`` of them alone, whatever the weights,
            the first of text, audio, video where two are as strong; or ``irony``, the weighted sum
            in which words count the other way round where the voice contradicts them. The unimodal
            labels are the same under each.
        label_noise: Standard deviation of what the multimodal label has beyond its parts.
        label_step: Labels are multiples of this, as means of a few annotators are.
        hearsay: Share of sentences that also report somebody else's opinion.
        missing: Share of clips without audio, and share without video.
        audio_size: Features of the audio series.
        video_size: Features of the video series.
        audio_step_seconds: Time from one step of the audio series to the next.
        video_step_seconds: Time from one step of the video series to the next.
        shortest_seconds: Duration of the shortest clip.
        longest_seconds: Duration of the longest clip.
        burst_low: Smallest share of the steps that a burst takes.
        burst_high: Largest share.
        burst_position: Where bursts lie: ``anywhere``; or at the ``start``, in the ``middle`` or at
            the ``end``: in that third of the places that the series has for them. Lures lie
            anywhere else.
        noise: Standard deviation of the background.
        cue: How far a burst stands out in its cue; a background of noise 1 is the unit.
        gain: How far it stands out in valence per point of sentiment, in the same unit.
        num_lures: Bursts per series that look alike but carry an unrelated value.
        persistence: Correlation of the background from one step to the next.
    """

    seed: int = Field(default=0, ge=0)
    num_clips: int = Field(default=1500, ge=20)
    train: float = Field(default=0.64, gt=0, lt=1)
    valid: float = Field(default=0.16, gt=0, lt=1)
    clips_per_video: int = Field(default=15, ge=1)
    video_effect: float = Field(default=0.0, ge=0, lt=1)
    agreement: float = Field(default=0.6, ge=0, le=1)
    disagreement: float = Field(default=0.3, ge=0, le=1)
    spread: float = Field(default=1.5, gt=0, le=10)
    text_weight: float = Field(default=0.45, gt=0)
    audio_weight: float = Field(default=0.3, ge=0)
    video_weight: float = Field(default=0.25, ge=0)
    mixing: Literal["sum", "strongest", "irony"] = "sum"
    label_noise: float = Field(default=0.15, ge=0)
    label_step: float = Field(default=0.2, gt=0, le=1)
    hearsay: float = Field(default=0.2, ge=0, le=1)
    missing: float = Field(default=0.02, ge=0, lt=1)
    audio_size: int = Field(default=33, ge=3)
    video_size: int = Field(default=35, ge=3)
    audio_step_seconds: float = Field(default=0.05, ge=0.01)
    video_step_seconds: float = Field(default=0.08, ge=0.01)
    shortest_seconds: float = Field(default=3.0, gt=0)
    longest_seconds: float = Field(default=10.0, gt=0, le=60)
    burst_low: float = Field(default=0.04, gt=0, le=1)
    burst_high: float = Field(default=0.08, gt=0, le=1)
    burst_position: Position = "anywhere"
    noise: float = Field(default=1.0, ge=0)
    cue: float = Field(default=5.0, ge=0)
    gain: float = Field(default=2.0, ge=0)
    num_lures: int = Field(default=3, ge=0)
    persistence: float = Field(default=0.9, ge=0, lt=1)

    @model_validator(mode="after")
    def _fits(self) -> "PlantedConfig":
        if self.train + self.valid >= 1:
            raise ValueError("train and valid together must leave a share for test")
        if not all(_split_sizes(self).values()):
            raise ValueError("num_clips, train and valid must leave a clip for every split")
        if self.shortest_seconds > self.longest_seconds:
            raise ValueError("shortest_seconds must not be above longest_seconds")
        if self.burst_low > self.burst_high:
            raise ValueError("burst_low must not be above burst_high")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class _PlannedSeries:
    """What one clip says in one modality: nothing is left to chance but the background."""

    sentiment: float
    num_steps: int
    burst: tuple[int, int]
    lures: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """One clip before it is written out; a series that the clip does not have is absent."""

    duration: float
    text: float
    parts: dict[Modality, _PlannedSeries]
    label: float


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
        language=_FACTS.language,
        scale=_FACTS.scale,
        clips=_make_clips(settings, plans),
        is_synthetic=True,
    )
    changed = settings.model_dump(mode="json", exclude_defaults=True)
    origin = {
        "made by": "mien planted: the clips are made, not recorded",
        "settings": ", ".join(f"{k}={v}" for k, v in changed.items() if k != "seed") or "defaults",
        "seed": str(settings.seed),
    }
    series = tuple(_make_source(settings, plans, modality) for modality in _SERIES)
    return Material(corpus=corpus, series=series, origin=origin)


def _stream(settings: PlantedConfig, use: int, row: int, extra: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([settings.seed, use, row, extra]))


def _split_sizes(settings: PlantedConfig) -> dict[Split, int]:
    train = round(settings.num_clips * settings.train)
    valid = round(settings.num_clips * settings.valid)
    return {"train": train, "valid": valid, "test": settings.num_clips - train - valid}


def _number_videos(settings: PlantedConfig) -> list[int]:
    """Return the number, from 1, of the video of each clip; a video lies in one split."""
    numbers: list[int] = []
    for size in _split_sizes(settings).values():
        first = numbers[-1] + 1 if numbers else 1
        numbers += [first + place // settings.clips_per_video for place in range(size)]
    return numbers


def _plan_clip(settings: PlantedConfig, row: int, video: int) -> _Plan:
    generator = _stream(settings, _LABELS, row)
    sentiments = _draw_sentiments(settings, generator, video)
    noise = settings.label_noise * float(generator.standard_normal())
    shortest, longest = settings.shortest_seconds, settings.longest_seconds
    duration = round(float(generator.uniform(shortest, longest)), 2)
    has_series = dict(zip(_SERIES, generator.random(2) >= settings.missing, strict=True))
    places = _stream(settings, _PLACES, row)
    parts = {
        modality: _plan_part(settings, modality, sentiments[modality], duration, places)
        for modality in _SERIES
    }
    parts = {modality: part for modality, part in parts.items() if has_series[modality]}
    text = sentiments[Modality.TEXT]
    label = _mix(settings, text, parts, noise)
    return _Plan(duration=duration, text=text, parts=parts, label=label)


def _draw_sentiments(
    settings: PlantedConfig, generator: np.random.Generator, video_number: int
) -> dict[Modality, float]:
    """Draw what each modality says: correlated, or one of them against the two others."""
    own, common = generator.standard_normal(3), generator.standard_normal()
    shared = np.sqrt(settings.agreement)
    drawn = shared * common + np.sqrt(1 - settings.agreement) * own
    if settings.video_effect:
        of_video = float(_stream(settings, _VIDEOS, video_number).standard_normal())
        share = settings.video_effect
        drawn = np.sqrt(1 - share) * drawn + np.sqrt(share) * of_video
    drawn = settings.spread * drawn
    odd, size = generator.integers(3), generator.standard_normal()
    if generator.random() < settings.disagreement:
        others = drawn.sum() - drawn[odd]
        drawn[odd] = -np.sign(others) * max(0.6, settings.spread * abs(size))
    text, audio, video = (float(value) for value in np.clip(drawn, *_FACTS.scale))
    return {
        Modality.TEXT: min(GRADES, key=lambda grade: abs(grade - text)),
        Modality.AUDIO: _round_label(settings, audio),
        Modality.VIDEO: _round_label(settings, video),
    }


def _round_label(settings: PlantedConfig, value: float) -> float:
    low, high = _FACTS.scale
    value = round(value / settings.label_step) * settings.label_step
    return round(min(max(value, low), high), 6) + 0.0  # no negative zero


def _mix(
    settings: PlantedConfig, text: float, parts: dict[Modality, _PlannedSeries], noise: float
) -> float:
    """Return the multimodal label of what the clip has, and noise."""
    said = {Modality.TEXT: text} | {m: part.sentiment for m, part in parts.items()}
    if settings.mixing == "strongest":
        return _round_label(settings, max(said.values(), key=abs) + noise)
    if settings.mixing == "irony" and text * said.get(Modality.AUDIO, 0.0) < 0:
        said[Modality.TEXT] = -text
    weights = {m: getattr(settings, f"{m}_weight") for m in said}
    value: float = sum(weights[m] * sentiment for m, sentiment in said.items())
    return _round_label(settings, value / sum(weights.values()) + noise)


def _plan_part(
    settings: PlantedConfig,
    modality: Modality,
    sentiment: float,
    duration: float,
    generator: np.random.Generator,
) -> _PlannedSeries:
    """Place the burst and the lures apart from one another; lures without room are left out."""
    num_steps = max(1, int(duration / _step_seconds(settings, modality)))
    shares = generator.uniform(settings.burst_low, settings.burst_high, 1 + settings.num_lures)
    lengths = [min(num_steps, max(1, round(num_steps * float(share)))) for share in shares]
    burst, *lures = place_bursts(lengths, num_steps, settings.burst_position, generator)
    return _PlannedSeries(sentiment=sentiment, num_steps=num_steps, burst=burst, lures=tuple(lures))


def _make_clips(settings: PlantedConfig, plans: list[_Plan]) -> tuple[Clip, ...]:
    clips = []
    splits = [split for split, size in _split_sizes(settings).items() for _ in range(size)]
    rows = zip(_number_videos(settings), itertools.count(), splits, plans, strict=False)
    for video, of_video in itertools.groupby(rows, key=lambda row: row[0]):
        start = 0.0
        for number, (_, row, split, plan) in enumerate(of_video, start=1):
            clip_id = f"video-{video:04d}{ID_SEPARATOR}{number}"
            clips.append(_make_clip(settings, clip_id, split, row, plan, start))
            start = round(start + plan.duration, 2)
    return tuple(clips)


def _make_clip(
    settings: PlantedConfig, clip_id: str, split: Split, row: int, plan: _Plan, start: float
) -> Clip:
    words = _stream(settings, _WORDS, row)
    sentence = write_sentence(plan.text, words, hearsay=settings.hearsay)
    labels = {Task.FUSION: plan.label, Task.TEXT: plan.text}
    return Clip(
        id=clip_id,
        split=split,
        transcript=sentence.text,
        labels=labels | {Task(m): part.sentiment for m, part in plan.parts.items()},
        start=start,
        end=round(start + plan.duration, 2),
        moments={Modality.TEXT: sentence.span} | {m: p.burst for m, p in plan.parts.items()},
    )


def _step_seconds(settings: PlantedConfig, modality: Modality) -> float:
    is_audio = modality is Modality.AUDIO
    return settings.audio_step_seconds if is_audio else settings.video_step_seconds


def _make_source(settings: PlantedConfig, plans: list[_Plan], modality: Modality) -> SeriesSource:
    size = settings.audio_size if modality is Modality.AUDIO else settings.video_size
    return SeriesSource(
        name=modality,
        size=size,
        dtype="float32",
        extractor="planted/1",
        read=_make_reader(settings, plans, modality, size),
        feature_names=tuple(f"mixture-{number:02d}" for number in range(size)),
        step_seconds=_step_seconds(settings, modality),
    )


def _make_reader(
    settings: PlantedConfig, plans: list[_Plan], modality: Modality, size: int
) -> Callable[[], Iterator[Float32[np.ndarray, "_ _"]]]:
    def read() -> Iterator[Float32[np.ndarray, "_ _"]]:
        parts = [plan.parts.get(modality) for plan in plans]
        longest = max((part.num_steps for part in parts if part), default=0)
        drift = _make_drift(settings.persistence, longest)
        rotation = _make_rotation(modality, size)
        for row, part in enumerate(parts):
            if part is None:
                yield np.zeros((0, size), np.float32)
                continue
            generator = _stream(settings, _VALUES, row, _SERIES.index(modality))
            steps = _make_steps(
                settings, part, drift[: part.num_steps, : part.num_steps], generator, size
            )
            yield (np.round(steps @ rotation * _ROUNDING) / _ROUNDING).astype(np.float32)

    return read


def _make_steps(
    settings: PlantedConfig,
    part: _PlannedSeries,
    drift: Float[np.ndarray, "T T"],
    generator: np.random.Generator,
    size: int,
) -> Float[np.ndarray, "T D"]:
    """Make a series before its rotation: cue, lure, valence, and directions of mere background."""
    steps = settings.noise * (drift @ generator.standard_normal((part.num_steps, size)))
    begin, end = part.burst
    steps[begin:end, _CUE] += settings.cue
    steps[begin:end, _VALENCE] += settings.gain * part.sentiment
    values = np.clip(settings.spread * generator.standard_normal(len(part.lures)), *_FACTS.scale)
    for (begin, end), value in zip(part.lures, values, strict=True):
        steps[begin:end, _LURE] += settings.cue
        steps[begin:end, _VALENCE] += settings.gain * value
    return steps


def _make_drift(persistence: float, num_steps: int) -> Float[np.ndarray, "T T"]:
    """Return what turns white noise into noise of variance 1 that remembers the step before.

    Row t holds the weights of b_t = p b_(t-1) + sqrt(1 - p^2) e_t, unrolled, with b_0 = e_0.
    """
    steps = np.arange(num_steps)
    lags = steps[:, None] - steps
    drift = np.where(lags >= 0, persistence ** np.maximum(lags, 0), 0.0)
    drift[:, 1:] *= np.sqrt(1 - persistence**2)
    return drift


def _make_rotation(modality: Modality, size: int) -> Float[np.ndarray, "D D"]:
    generator = np.random.Generator(np.random.PCG64([_ROTATION, _SERIES.index(modality), size]))
    rotation, triangle = np.linalg.qr(generator.standard_normal((size, size)))
    return rotation * np.sign(np.diag(triangle))  # QR is unique but for these signs
