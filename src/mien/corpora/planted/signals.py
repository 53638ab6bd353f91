"""The series of voice and face of planted clips: a burst that carries a sentiment, among lures.

    x_t = R (b_t + z_t)
    z_t = c e_cue  + g y e_valence     in the burst
          c e_lure + g u e_valence     in a lure
          0                            elsewhere

b is a background that drifts slowly and is strong in every direction, y the modality's own
sentiment, u a value drawn for the lure alone, c and g how far a burst stands out, R a fixed
rotation. Only the direction of the cue tells the burst from the lures. Averaged over the clip, or
read at its end, the sentiment drowns in the background and the lures. Noise, length and place of
the bursts are settings, so that it can be seen when an attention stops finding them. With emotions
bursts and lures carry an arousal as well, in a direction of its own, as they do a sentiment.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from mien.corpora.planted.bursts import place_bursts
from mien.corpora.planted.planted_config import FACTS, PlantedConfig, RandomStream, draw_from
from mien.types import Modality, SeriesSource

__all__ = ["SERIES", "PlannedSeries", "make_rotation", "make_series", "plan_series"]

#: The modalities that are series.
SERIES = (Modality.AUDIO, Modality.VIDEO)
_CUE, _LURE, _VALENCE, _AROUSAL = 0, 1, 2, 3
_LURES_AROUSAL = 2  # what tells its random numbers apart from those of the values
_ROUNDING = 1024  # values are multiples of 1/1024: libraries that sum in another order agree


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedSeries:
    """What one clip says in one modality: nothing is left to chance but the background.

    Attributes:
        sentiment: What the burst carries.
        num_steps: Length of the series.
        burst: Its half-open range of steps.
        lures: The same of each lure.
        arousal: What the burst carries besides.
    """

    sentiment: float
    num_steps: int
    burst: tuple[int, int]
    lures: tuple[tuple[int, int], ...]
    arousal: float = 0.0


def plan_series(
    settings: PlantedConfig,
    modality: Modality,
    sentiment: float,
    duration: float,
    generator: np.random.Generator,
) -> PlannedSeries:
    """Place the burst and the lures apart from one another; lures without room are left out.

    Args:
        settings: How many and how long they are.
        modality: Audio or video, which differ in their steps.
        sentiment: What the burst carries.
        duration: Seconds of the clip.
        generator: Draws lengths and places.
    """
    num_steps = max(1, int(duration / _step_seconds(settings, modality)))
    shares = generator.uniform(settings.burst_low, settings.burst_high, 1 + settings.num_lures)
    lengths = [min(num_steps, max(1, round(num_steps * float(share)))) for share in shares]
    burst, *lures = place_bursts(lengths, num_steps, settings.burst_position, generator)
    return PlannedSeries(sentiment=sentiment, num_steps=num_steps, burst=burst, lures=tuple(lures))


def _step_seconds(settings: PlantedConfig, modality: Modality) -> float:
    is_audio = modality is Modality.AUDIO
    return settings.audio_step_seconds if is_audio else settings.video_step_seconds


def make_series(
    settings: PlantedConfig, modality: Modality, planned: Sequence[PlannedSeries | None]
) -> SeriesSource:
    """Return the series of a modality, which is made clip by clip while it is read.

    Args:
        settings: How the values are made.
        modality: Audio or video.
        planned: The series of each clip; None where a clip has none.
    """
    size = settings.audio_size if modality is Modality.AUDIO else settings.video_size
    return SeriesSource(
        name=modality,
        size=size,
        dtype="float32",
        extractor="planted/1",
        read=_make_reader(settings, modality, planned, size),
        feature_names=tuple(f"mixture-{number:02d}" for number in range(size)),
        step_seconds=_step_seconds(settings, modality),
    )


def _make_reader(
    settings: PlantedConfig,
    modality: Modality,
    planned: Sequence[PlannedSeries | None],
    size: int,
) -> Callable[[], Iterator[Float32[np.ndarray, "_ _"]]]:
    def read() -> Iterator[Float32[np.ndarray, "_ _"]]:
        longest = max((plan.num_steps for plan in planned if plan), default=0)
        drift = _make_drift(settings.persistence, longest)
        rotation = make_rotation(modality, size)
        for row, plan in enumerate(planned):
            if plan is None:
                yield np.zeros((0, size), np.float32)
                continue
            generator = draw_from(settings, RandomStream.VALUES, row, SERIES.index(modality))
            steps = _make_steps(
                settings, plan, drift[: plan.num_steps, : plan.num_steps], generator, size
            )
            if settings.emotions is not None:
                arousals = draw_from(
                    settings, RandomStream.VALUES, row, SERIES.index(modality) + _LURES_AROUSAL
                )
                _add_arousal(settings, settings.emotions.gain, plan, steps, arousals)
            yield (np.round(steps @ rotation * _ROUNDING) / _ROUNDING).astype(np.float32)

    return read


def _make_steps(
    settings: PlantedConfig,
    plan: PlannedSeries,
    drift: Float[np.ndarray, "T T"],
    generator: np.random.Generator,
    size: int,
) -> Float[np.ndarray, "T D"]:
    """Make a series before its rotation: cue, lure, valence, and directions of mere background."""
    steps = settings.noise * (drift @ generator.standard_normal((plan.num_steps, size)))
    begin, end = plan.burst
    steps[begin:end, _CUE] += settings.cue
    steps[begin:end, _VALENCE] += settings.gain * plan.sentiment
    for (begin, end), value in zip(plan.lures, _draw_lures(settings, plan, generator), strict=True):
        steps[begin:end, _LURE] += settings.cue
        steps[begin:end, _VALENCE] += settings.gain * value
    return steps


def _draw_lures(
    settings: PlantedConfig, plan: PlannedSeries, generator: np.random.Generator
) -> Float[np.ndarray, "_"]:
    """Draw the values that lures carry."""
    drawn = settings.spread * generator.standard_normal(len(plan.lures))
    values: Float[np.ndarray, _] = FACTS.scale.clip(drawn)
    return values


def _add_arousal(
    settings: PlantedConfig,
    gain: float,
    plan: PlannedSeries,
    steps: Float[np.ndarray, "T D"],
    generator: np.random.Generator,
) -> None:
    """Add to a series before its rotation what burst and lures have of arousal."""
    lures = _draw_lures(settings, plan, generator)
    for (begin, end), value in zip((plan.burst, *plan.lures), (plan.arousal, *lures), strict=True):
        steps[begin:end, _AROUSAL] += gain * value


def _make_drift(persistence: float, num_steps: int) -> Float[np.ndarray, "T T"]:
    """Return what turns white noise into noise of variance 1 that remembers the step before.

    Row t holds the weights of b_t = p b_(t-1) + sqrt(1 - p^2) e_t, unrolled, with b_0 = e_0.
    """
    steps = np.arange(num_steps)
    lags = steps[:, None] - steps
    drift = np.where(lags >= 0, persistence ** np.maximum(lags, 0), 0.0)
    drift[:, 1:] *= np.sqrt(1 - persistence**2)
    return drift


def make_rotation(modality: Modality, size: int) -> Float[np.ndarray, "D D"]:
    """Return R, the fixed rotation of the features of a modality; it has no seed."""
    generator = np.random.Generator(
        np.random.PCG64([RandomStream.ROTATION, SERIES.index(modality), size])
    )
    rotation, triangle = np.linalg.qr(generator.standard_normal((size, size)))
    return rotation * np.sign(np.diag(triangle))  # QR is unique but for these signs
