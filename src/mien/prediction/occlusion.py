"""What each word, and each moment of voice and face, adds to what is predicted of an utterance.

A part is taken away, the rest is predicted again, and the effect is the difference: the multimodal
score less the score without the part, and likewise the probability of a class. Effects are exact,
not estimated, and need not add up to anything, since parts of one message speak together. Attention
does not explain a score: a step to which a network attends need not move it.

Source: zeiler2014 (parts of a picture), li2016 (words); jain2019 for what attention does not say.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Num

from mien.data.context.second_segment import NO_CONTEXT, Context
from mien.errors import ConfigError
from mien.prediction.answer import Window
from mien.prediction.network import ClipSeries, Network, VariantValues
from mien.tensors import Batch, Encoded
from mien.types import Modality

__all__ = [
    "Effects",
    "Occlusion",
    "Part",
    "Remainder",
    "WindowRemainder",
    "leave_out",
    "occlude",
]

#: Seconds of a window of the voice and of the face.
_SECONDS = {Modality.AUDIO: 1.0, Modality.VIDEO: 0.5}
#: Windows of a modality in one utterance; they are wider where there would be more.
_MOST_WINDOWS = 40

Values = Num[np.ndarray, "_ _"]
Times = Float[np.ndarray, " _"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A word, where it stands in the transcript.

    Attributes:
        begin: Its first character.
        end: The character after its last.
        steps: The steps of the text that are made of it; none if it was not read.
    """

    begin: int
    end: int
    steps: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """The effects of the parts of one utterance on its score.

    Attributes:
        words: Of each word; None for one that was not read, or without which nothing remains.
        windows: Of the windows of voice and face, in the order of time.
    """

    words: tuple[float | None, ...] = ()
    windows: Mapping[Modality, tuple[Window, ...]] = field(default_factory=dict)


class Remainder(NamedTuple):
    """What is predicted of an utterance without one of its parts.

    Attributes:
        present: The modalities that remain.
        values: What is predicted from them.
    """

    present: tuple[Modality, ...]
    values: VariantValues


class WindowRemainder(NamedTuple):
    """What is predicted of an utterance without a stretch of its voice or face.

    Attributes:
        start: When the stretch begins, in seconds.
        end: When it ends.
        rest: What is predicted without it.
    """

    start: float
    end: float
    rest: Remainder


@dataclass(frozen=True, slots=True, kw_only=True)
class Occlusion:
    """What is predicted of one utterance without each of its parts.

    Attributes:
        words: Without each word; None for one that was not read, or without which nothing remains.
        windows: Without each stretch of voice and face without which something remains, in the
            order of time.
    """

    words: tuple[Remainder | None, ...] = ()
    windows: Mapping[Modality, tuple[WindowRemainder, ...]] = field(default_factory=dict)

    def effects(self, score: float | None) -> Effects:
        """Return the effects on the multimodal score.

        Args:
            score: The score with all parts; None, and no effects, where no sentiment is predicted.
        """
        if score is None:
            return Effects(words=(None,) * len(self.words))
        return Effects(
            words=tuple(None if rest is None else _effect(score, rest) for rest in self.words),
            windows={
                modality: tuple(
                    Window(start=own.start, end=own.end, effect=_effect(score, own.rest))
                    for own in windows
                )
                for modality, windows in self.windows.items()
            },
        )


def _effect(score: float, rest: Remainder) -> float:
    if rest.values.score is None:
        raise TypeError("sentiment is predicted with a part, and not without it")
    return score - rest.values.score


class _LeftOut(NamedTuple):
    """A window of a series, and what remains without it.

    Attributes:
        start: When the window begins, in seconds.
        end: When it ends.
        remaining: The steps outside of it.
    """

    start: float
    end: float
    remaining: Values


def occlude(
    network: Network,
    series: ClipSeries,
    *,
    transcript: str = "",
    words: Sequence[Part] = (),
    context: Context = NO_CONTEXT,
    times: Mapping[Modality, Times],
    span: tuple[float, float] = (0.0, math.inf),
    encoded: Batch | Encoded | None = None,
) -> Occlusion:
    """Take away one part after the other, and predict what remains: once for all that is predicted.

    A word goes with the punctuation that is attached to it, and the rest of the transcript is read
    anew; of a series with a step for each word, the step goes. A window goes with its steps. If
    nothing of a modality remains, the modality is taken away. The number of variants of an
    utterance is at most that of its words that are read, and 40 windows each of voice and face.

    Args:
        network: What predicted the utterance.
        series: What it was shown.
        transcript: What is said.
        words: The words of the transcript.
        context: What is said around it, which stays.
        times: Centre of each step of audio and video, in seconds.
        span: Where the utterance begins and ends, in seconds; no window reaches beyond.
        encoded: What the network has encoded of it, if it was scored.

    Raises:
        ConfigError: If a step has no time.
    """
    complete = network.complete(series)
    has_steps = network.text is not None or len(words) == len(complete.get(Modality.TEXT, ()))
    read = [part if part.steps and has_steps else None for part in words]
    less = _without_words(network, complete, transcript, read, context)
    windows = {
        m: _without_windows(network, complete, m, times[m], span, encoded)
        for m in (Modality.AUDIO, Modality.VIDEO)
        if m in times and len(complete.get(m, ()))
    }
    return Occlusion(
        words=tuple(_predict(network, complete, Modality.TEXT, less, encoded)), windows=windows
    )


def leave_out(transcript: str, part: Part) -> str:
    """Return a transcript without one of its words.

    >>> leave_out("A slow, honest film.", Part(begin=2, end=7, steps=(2, 3)))
    'A honest film.'
    """
    return " ".join((transcript[: part.begin] + transcript[part.end :]).split())


def _without_words(
    network: Network,
    complete: Mapping[Modality, Values],
    transcript: str,
    parts: Sequence[Part | None],
    context: Context,
) -> list[Values | None]:
    """Return what remains of the text without each word; None for one that was not read."""
    if network.text is None:
        text = complete.get(Modality.TEXT)
        return [
            None if part is None or text is None else np.delete(text, part.steps, axis=0)
            for part in parts
        ]
    remaining = [leave_out(transcript, part) for part in parts if part is not None]
    values = iter(network.read_texts(remaining, context) if remaining else ())
    return [None if part is None else next(values) for part in parts]


def _predict(
    network: Network,
    complete: Mapping[Modality, Values],
    modality: Modality,
    variants: Sequence[Values | None],
    encoded: Batch | Encoded | None,
) -> Iterator[Remainder | None]:
    """Give what is predicted of each variant; None where nothing remains."""
    others = tuple(m for m, values in complete.items() if m is not modality and len(values))
    everything = tuple(m for m in complete if m is modality or m in others)
    possible = [v if v is not None and (len(v) or others) else None for v in variants]
    given = [v for v in possible if v is not None]
    values = iter(network.predict_variants(complete, modality, given, encoded) if given else ())
    for variant in possible:
        if variant is None:
            yield None
        else:
            yield Remainder(everything if len(variant) else others, next(values))


def _without_windows(
    network: Network,
    complete: Mapping[Modality, Values],
    modality: Modality,
    times: Times,
    span: tuple[float, float],
    encoded: Batch | Encoded | None,
) -> tuple[WindowRemainder, ...]:
    windows = _leave_out_windows(modality, complete[modality], times, span)
    less = [window.remaining for window in windows]
    remainders = _predict(network, complete, modality, less, encoded)
    return tuple(
        WindowRemainder(window.start, window.end, rest)
        for window, rest in zip(windows, remainders, strict=True)
        if rest is not None
    )


def _leave_out_windows(
    modality: Modality, values: Values, times: Times, span: tuple[float, float]
) -> list[_LeftOut]:
    """Return the windows of a series of voice or face, each with what remains without it.

    Args:
        modality: Whose series it is.
        values: The series.
        times: Centre of each step, in seconds.
        span: Where the utterance begins and ends, in seconds; no window reaches beyond.

    Raises:
        ConfigError: If a step has no time, or none that is finite.
    """
    if len(times) < len(values):
        raise ConfigError(
            f"{modality}: has {len(values)} steps, but times of {len(times)}; give the centre of "
            "every step in seconds"
        )
    if not np.isfinite(times).all():
        raise ConfigError(f"{modality}: has times that are not finite; give them in seconds")
    windows = _windows(times[: len(values)], _SECONDS[modality], span)
    return [_LeftOut(start, end, values[~inside]) for start, end, inside in windows]


def _windows(
    times: Times, seconds: float, span: tuple[float, float]
) -> Iterator[tuple[float, float, Bool[np.ndarray, " _"]]]:
    """Cut a series into windows of equal length, and give those with a step in them."""
    half = float(np.median(np.diff(times))) / 2 if len(times) > 1 else seconds / 2
    first = max(float(times[0]) - half, min(span[0], float(times[0])))
    last = min(float(times[-1]) + half, max(span[1], float(times[-1])))
    count = min(max(math.ceil((last - first) / seconds - 1e-6), 1), _MOST_WINDOWS)
    edges = np.linspace(first, last, count + 1)
    window = np.clip(np.searchsorted(edges, times, side="right") - 1, 0, count - 1)
    for k in range(count):
        inside = window == k
        if inside.any():
            yield float(edges[k]), float(edges[k + 1]), inside
