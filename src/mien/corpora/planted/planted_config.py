"""The settings of the planted corpus, and the random numbers that it is drawn from."""

from enum import IntEnum
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from mien.config import Settings
from mien.corpora import KNOWN
from mien.corpora.planted.bursts import Position
from mien.types import Split, TargetKind

__all__ = [
    "FACTS",
    "EmotionSettings",
    "PlantedConfig",
    "RandomStream",
    "draw_from",
    "split_sizes",
]

#: Scale, language and metrics of the planted corpus.
FACTS = KNOWN["planted"]


class RandomStream(IntEnum):
    """What random numbers are drawn for; each has its own, so that no setting disturbs another."""

    LABELS = 0
    BURSTS = 1
    WORDS = 2
    VALUES = 3
    ROTATION = 4
    VIDEOS = 5
    EMOTIONS = 6
    VOTES = 7


class EmotionSettings(Settings):
    """What clips have besides sentiment, made from an arousal that every modality also has.

    Attributes:
        kinds: Which targets there are: ``class`` is ``emotion``, ``score`` is ``arousal``,
            ``labels`` are ``feelings``, ``intensities`` are ``strengths``.
        num_classes: Emotions: the first of happy, angry, sad, neutral, surprised, calm.
        raters: Raters who vote for the class of a clip; without any, its shares are annotated.
        single: Whether the class with the most votes is annotated in the place of the shares.
        slips: Share of the votes that are for any class at random.
        unannotated: Share of clips without a score, and share without labels or intensities; all
            clips have classes.
        gain: How far a burst stands out in arousal per point.
    """

    kinds: tuple[TargetKind, ...] = Field(
        default=(TargetKind.CLASS, TargetKind.SCORE), min_length=1
    )
    num_classes: int = Field(default=4, ge=2, le=6)
    raters: int = Field(default=5, ge=0, le=1000)
    single: bool = False
    slips: float = Field(default=0.05, ge=0, lt=1)
    unannotated: float = Field(default=0.3, ge=0, lt=1)
    gain: float = Field(default=2.0, ge=0)

    @model_validator(mode="after")
    def _fits(self) -> "EmotionSettings":
        if len(set(self.kinds)) < len(self.kinds):
            raise ValueError("kinds has one of them twice")
        if self.single and not self.raters:
            raise ValueError("single needs raters, of whose votes the most count")
        return self


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
        emotions: What clips have besides sentiment; nothing, if it is not set.
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
    emotions: EmotionSettings | None = None

    @model_validator(mode="after")
    def _fits(self) -> "PlantedConfig":
        if self.train + self.valid >= 1:
            raise ValueError("train and valid together must leave a share for test")
        if not all(split_sizes(self).values()):
            raise ValueError("num_clips, train and valid must leave a clip for every split")
        if self.shortest_seconds > self.longest_seconds:
            raise ValueError("shortest_seconds must not be above longest_seconds")
        if self.burst_low > self.burst_high:
            raise ValueError("burst_low must not be above burst_high")
        if self.emotions is not None and min(self.audio_size, self.video_size) < 4:
            raise ValueError("audio_size and video_size must be at least 4 with emotions")
        return self


def split_sizes(settings: PlantedConfig) -> dict[Split, int]:
    """Return the number of clips of each split."""
    train = round(settings.num_clips * settings.train)
    valid = round(settings.num_clips * settings.valid)
    return {"train": train, "valid": valid, "test": settings.num_clips - train - valid}


def draw_from(
    settings: PlantedConfig, stream: RandomStream, row: int, extra: int = 0
) -> np.random.Generator:
    """Return the generator of one stream.

    Args:
        settings: How the corpus is made; its seed counts.
        stream: What is drawn.
        row: Number of the clip, or of the video.
        extra: Tells streams of one clip apart.
    """
    return np.random.Generator(np.random.PCG64([settings.seed, stream, row, extra]))
