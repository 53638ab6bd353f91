"""Scores and attention of one utterance to an answer that people can read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from mien.prediction.answer import (
    Answer,
    Moment,
    Score,
    Steps,
    WordWeight,
    find_conflicts,
    name_sentiment,
)
from mien.prediction.network import Judged, Network
from mien.prediction.transcripts import place_words, split_words
from mien.types import Modality, Task, Word

__all__ = ["Shown", "answer"]

_NUM_MOMENTS = 3
#: Moments of the voice and the face are at least so many seconds apart, and reach so far at least.
_APART, _SPAN = 0.5, 0.2
#: A moment must weigh so many times what equal weights would give it.
_LEAST = 1.05

Token = tuple[str, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the network was shown of one utterance.

    Attributes:
        start: Where the utterance begins in the recording, in seconds; None without a recording.
        end: Where it ends.
        transcript: What is said.
        words: Words with times of the recording, as far as they are known.
        tokens: Token of each step of the text, with the characters that it covers; None if the
            steps are the words themselves.
        times: Centre of each step of audio and video, in seconds of the recording.
        absent: Why a modality is not there.
        is_doubtful: Whether scores that rest on the text mean little.
        notes: What a user should know about the text.
    """

    start: float | None = None
    end: float | None = None
    transcript: str = ""
    words: tuple[Word, ...] = ()
    tokens: tuple[Token, ...] | None = None
    times: Mapping[Modality, Float[np.ndarray, " _"]] = field(default_factory=dict)
    absent: Mapping[Modality, str] = field(default_factory=dict)
    is_doubtful: bool = False
    notes: tuple[str, ...] = ()


def answer(network: Network, judged: Judged, shown: Shown) -> Answer:
    """Say what the scores and weights mean."""
    present = [m for m in network.modalities if Task(m) in judged.scores]
    fused = judged.scores[Task.FUSION]
    unimodal = {m: judged.scores[Task(m)] for m in present}
    words = _weigh_words(judged, shown)
    steps = {
        m: Steps(
            times=tuple(float(t) for t in shown.times[m][: len(weights)]),
            weights=tuple(_relative(weights)),
        )
        for m, weights in judged.attention.items()
        if m in shown.times and len(weights)
    }
    return Answer(
        start=shown.start,
        end=shown.end,
        transcript=shown.transcript,
        score=_score(network, Task.FUSION, fused, present),
        unimodal={m: _score(network, Task(m), value, [m]) for m, value in unimodal.items()},
        absent={m: shown.absent[m] for m in network.modalities if m not in present},
        influence={m: fused - value for m, value in judged.without.items()},
        conflicts=find_conflicts(unimodal, network.scale),
        words=words,
        steps=steps,
        moments=(*_heavy_words(words), *(one for m, s in steps.items() for one in _peaks(m, s))),
    )


def _score(network: Network, task: Task, value: float, present: Sequence[Modality]) -> Score:
    low, high = None, None
    if network.calibration is not None:
        low, high = network.calibration.interval(task, value, present, network.scale)
    return Score(value=value, low=low, high=high, words=name_sentiment(value, network.scale))


def _relative(weights: Float[np.ndarray, " T"]) -> list[float]:
    """Return weights as multiples of what equal weights of the same size would be."""
    total = float(np.abs(weights).sum())
    return [float(w) * len(weights) / total if total else 0.0 for w in weights]


def _weigh_words(judged: Judged, shown: Shown) -> tuple[WordWeight, ...]:
    """Return the words of the transcript, each with the mean weight of the tokens read of it."""
    if Modality.TEXT not in judged.attention:
        return ()
    weights = _relative(judged.attention[Modality.TEXT])
    if shown.tokens is None:
        return tuple(
            WordWeight(text=word.text, start=word.start, end=word.end, weight=weight)
            for word, weight in zip(shown.words, weights, strict=False)
        )
    texts = split_words(shown.transcript)
    placed = _times_of(texts, shown.words)
    result, at, token = [], 0, 0
    for text, (start, end) in zip(texts, placed, strict=True):
        begin = shown.transcript.index(text, at)
        at = begin + len(text)
        own = []
        while token < len(weights) and shown.tokens[token][1] < at:
            _, first, last = shown.tokens[token]
            own += [weights[token]] if last > max(first, begin) else []
            token += 1
        weight = float(np.mean(own)) if own else None
        result.append(WordWeight(text=text, start=start, end=end, weight=weight))
    return tuple(result)


def _times_of(
    texts: Sequence[str], words: Sequence[Word]
) -> list[tuple[float | None, float | None]]:
    """Return when each word of the transcript is said, as far as that is known."""
    if not words:
        return [(None, None)] * len(texts)
    if [word.text for word in words] == list(texts):
        return [(word.start, word.end) for word in words]
    return [(word.start, word.end) for word in place_words(texts, words, ())]


def _heavy_words(words: Sequence[WordWeight]) -> list[Moment]:
    weighed = [(word, word.weight) for word in words if word.weight is not None]
    ranked = sorted(weighed, key=lambda pair: -abs(pair[1]))[:_NUM_MOMENTS]
    return [
        Moment(
            modality=Modality.TEXT,
            start=word.start,
            end=word.end,
            text=word.text,
            weight=weight,
        )
        for word, weight in ranked
        if abs(weight) >= _LEAST
    ]


def _peaks(modality: Modality, steps: Steps) -> list[Moment]:
    """Return the heaviest moments of a series that lie apart from each other."""
    times = steps.times
    reach = max(_SPAN, float(np.median(np.diff(times)))) / 2 if len(times) > 1 else 0.0
    found: list[Moment] = []
    centres: list[float] = []
    for step in np.argsort(-np.abs(steps.weights), kind="stable").tolist():
        weight, centre = steps.weights[step], times[step]
        if abs(weight) < _LEAST or len(found) == _NUM_MOMENTS:
            break
        if all(abs(centre - other) >= _APART for other in centres):
            centres.append(centre)
            start, end = max(0.0, centre - reach), centre + reach
            found.append(Moment(modality=modality, start=start, end=end, weight=weight))
    return found
