"""Scores and attention of one utterance to an answer that people can read."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from mien.data.context.second_segment import NO_CONTEXT, Context
from mien.prediction.answer import (
    Answer,
    Moment,
    Score,
    Steps,
    WordWeight,
    find_conflicts,
    name_sentiment,
)
from mien.prediction.answering.target_effects import add_effects
from mien.prediction.network import ClipScores, ClipSeries, Network
from mien.prediction.occlusion import Effects, Occlusion, Part, occlude
from mien.prediction.spoken.transcripts import place_words, split_words
from mien.prediction.target_answers.answer_targets import answer_targets
from mien.reports.text import clock_tenths
from mien.types import MODALITY_NAMES, Modality, Scale, TargetKind, Task, Word

__all__ = ["UtteranceInput", "explain", "find_parts", "occlude_utterance"]

_NUM_MOMENTS = 3
#: The smallest effect that is a moment of its own: a share of the end of the scale.
_LEAST = 0.01
#: Among so many steps or more, one with more than this share of the attention has nearly all.
_LEAST_STEPS, _NEARLY_ALL = 5, 0.9

Token = tuple[str, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class UtteranceInput:
    """What is known of one utterance beside the series that a network reads.

    Attributes:
        start: Where the utterance begins in the recording, in seconds; None without a recording.
        end: Where it ends.
        transcript: What is said.
        words: Words with times of the recording, as far as they are known.
        tokens: Token of each step of the text, with the characters that it covers; None if the
            steps are the words themselves.
        times: Centre of each step of audio and video, in seconds of the recording.
        absent: Why a modality is not there.
        context: What is said around it, as far as the network reads it.
        is_doubtful: Whether scores that rest on the text mean little.
        notes: What a user should know about the text.
        confidence: How sure the recogniser is of the words; None if they were not recognised.
    """

    start: float | None = None
    end: float | None = None
    transcript: str = ""
    words: tuple[Word, ...] = ()
    tokens: tuple[Token, ...] | None = None
    times: Mapping[Modality, Float[np.ndarray, " _"]] = field(default_factory=dict)
    absent: Mapping[Modality, str] = field(default_factory=dict)
    context: Context = NO_CONTEXT
    is_doubtful: bool = False
    notes: tuple[str, ...] = ()
    confidence: float | None = None


def explain(
    network: Network, scores: ClipScores, utterance: UtteranceInput, series: ClipSeries
) -> Answer:
    """Return what scores and weights of an utterance mean, and what moved its score.

    Args:
        network: What scored it.
        scores: Its scores and weights.
        utterance: What it is: its words and times.
        series: What the network read of it.
    """
    present = [m for m in network.modalities if m in scores.present]
    fused = scores.scores.get(Task.FUSION)
    unimodal = {
        m: _score(network, Task(m), scores.scores[Task(m)], [m])
        for m in present
        if Task(m) in scores.scores
    }
    parts = find_parts(utterance) if Modality.TEXT in present else []
    occlusion = occlude_utterance(network, scores, utterance, series, parts)
    effects = occlusion.effects(fused)
    targets = answer_targets(
        network.model.targets, network.target_calibration, scores.targets, present
    )
    words = _describe_words(scores, parts, effects)
    steps = {
        m: _describe_steps(scores, utterance, effects, m) for m in present if m in utterance.times
    }
    steps = {m: described for m, described in steps.items() if described.times}
    return Answer(
        start=utterance.start,
        end=utterance.end,
        transcript=utterance.transcript,
        score=None if fused is None else _score(network, Task.FUSION, fused, present),
        unimodal=unimodal,
        targets=add_effects(network, targets, occlusion, [word for word, _ in parts]),
        absent={m: utterance.absent[m] for m in network.modalities if m not in present},
        influence={m: (fused or 0.0) - value for m, value in scores.without.items()},
        conflicts=find_conflicts(unimodal),
        words=words,
        steps=steps,
        moments=_rank(words, steps, network.scale),
        notes=(*_count_context(network, utterance, present), *_notice(scores, utterance, steps)),
        confidence=utterance.confidence,
    )


def occlude_utterance(
    network: Network,
    scores: ClipScores,
    utterance: UtteranceInput,
    series: ClipSeries,
    parts: Sequence[tuple[WordWeight, Part]],
) -> Occlusion:
    """Return what is predicted of an utterance without each of its words and moments.

    There is nothing where neither sentiment nor classes are predicted.

    Args:
        network: What predicts.
        scores: What it returned of the utterance.
        utterance: What it is: its words and times.
        series: What the network read of it.
        parts: Its words, from ``find_parts``; none where the text is not read.

    Raises:
        ConfigError: If a step has no time.
    """
    has_classes = any(target.kind is TargetKind.CLASS for target in network.model.targets)
    if Task.FUSION not in scores.scores and not has_classes:
        return Occlusion(words=(None,) * len(parts))
    return occlude(
        network,
        series,
        transcript=utterance.transcript,
        words=[part for _, part in parts],
        context=utterance.context,
        times=utterance.times,
        span=(utterance.start or 0.0, np.inf if utterance.end is None else utterance.end),
        encoded=scores.encoded,
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


def find_parts(utterance: UtteranceInput) -> list[tuple[WordWeight, Part]]:
    """Return the words of the transcript, still without a weight, and the steps of each."""
    if utterance.tokens is None:
        return [
            (
                WordWeight(text=text, start=start, end=end, weight=None),
                Part(begin=0, end=0, steps=(step,)),
            )
            for step, (text, start, end) in enumerate(utterance.words)
        ]
    texts = split_words(utterance.transcript)
    result, at, token = [], 0, 0
    for text, (start, end) in zip(texts, _times_of(texts, utterance.words), strict=True):
        begin = utterance.transcript.index(text, at)
        at = begin + len(text)
        own = []
        while token < len(utterance.tokens) and utterance.tokens[token][1] < at:
            _, first, last = utterance.tokens[token]
            own += [token] if last > max(first, begin) else []
            token += 1
        word = WordWeight(text=text, start=start, end=end, weight=None)
        result.append((word, Part(begin=begin, end=at, steps=tuple(own))))
    return result


def _describe_words(
    scores: ClipScores, parts: Sequence[tuple[WordWeight, Part]], effects: Effects
) -> tuple[WordWeight, ...]:
    """Return the words, each with its effect and the mean weight of its steps."""
    weights = _relative(scores.attention.get(Modality.TEXT, np.zeros(0)))
    result = []
    for (word, part), effect in zip(parts, effects.words, strict=True):
        own = [weights[step] for step in part.steps if step < len(weights)]
        weight = float(np.mean(own)) if own else None
        result.append(word.model_copy(update={"weight": weight, "effect": effect}))
    return tuple(result)


def _describe_steps(
    scores: ClipScores, utterance: UtteranceInput, effects: Effects, modality: Modality
) -> Steps:
    weights = _relative(scores.attention.get(modality, np.zeros(0)))
    times = utterance.times[modality]
    return Steps(
        times=tuple(float(t) for t in (times[: len(weights)] if weights else times)),
        weights=tuple(weights[: len(times)]),
        windows=effects.windows.get(modality, ()),
    )


def _times_of(
    texts: Sequence[str], words: Sequence[Word]
) -> list[tuple[float | None, float | None]]:
    """Return when each word of the transcript is said, as far as that is known."""
    if not words:
        return [(None, None)] * len(texts)
    if [word.text for word in words] == list(texts):
        return [(word.start, word.end) for word in words]
    return [(word.start, word.end) for word in place_words(texts, words, ())]


def _rank(
    words: Sequence[WordWeight], steps: Mapping[Modality, Steps], scale: Scale
) -> tuple[Moment, ...]:
    """Return the moments with the largest effects, at most three of a modality."""
    moments = {m: _weigh_windows(m, item) for m, item in steps.items()}
    moments[Modality.TEXT] = [Moment(modality=Modality.TEXT, **item.model_dump()) for item in words]
    least = _LEAST * max(abs(scale.low), abs(scale.high))
    best: list[Moment] = []
    for modality in Modality:
        large = [m for m in moments.get(modality, ()) if abs(m.effect or 0.0) >= least]
        best += sorted(large, key=_size)[:_NUM_MOMENTS]
    return tuple(sorted(best, key=_size))


def _size(moment: Moment) -> float:
    return -abs(moment.effect or 0.0)


def _weigh_windows(modality: Modality, steps: Steps) -> list[Moment]:
    """Return the windows of a series, each with the mean weight of its steps."""
    times, weights = np.array(steps.times), np.array(steps.weights)
    moments = []
    for window in steps.windows:
        inside = (times >= window.start) & (times < window.end)
        weight = float(weights[inside].mean()) if len(weights) and inside.any() else None
        moments.append(Moment(modality=modality, weight=weight, **window.model_dump()))
    return moments


def _count_context(
    network: Network, utterance: UtteranceInput, present: Sequence[Modality]
) -> Iterator[str]:
    """Tell with how many utterances around it the text was read, by a network that reads such."""
    if network.text is None or not network.text.reads_context or Modality.TEXT not in present:
        return
    sides = {"before": len(utterance.context.before), "after": len(utterance.context.after)}
    counted = " and ".join(f"{num} {side} it" for side, num in sides.items() if num)
    if counted:
        settings = network.config.text_encoder
        counted += (
            f", in a passage of at most {settings.passage} tokens"
            if settings.passage
            else f", at most {settings.context_tokens} tokens of them"
        )
        if network.config.text_encoder.context_speakers != "none":
            counted += "; without who speaks, which was told in training"
    yield f"utterances with which the text was read: {counted or 'none'}"


def _notice(
    scores: ClipScores, utterance: UtteranceInput, steps: Mapping[Modality, Steps]
) -> Iterator[str]:
    """Warn where the attention to a modality lies on a single step."""
    for modality, weights in scores.attention.items():
        total = float(np.abs(weights).sum())
        if len(weights) < _LEAST_STEPS or not total:
            continue
        step = int(np.argmax(np.abs(weights)))
        share = float(np.abs(weights[step])) / total
        if share <= _NEARLY_ALL:
            continue
        where = _name_step(modality, step, utterance, steps)
        if where:
            yield (
                f"the {MODALITY_NAMES[modality]} score rests mainly on one {where}, which has "
                f"{100 * share:.0f} % of the attention"
            )


def _name_step(
    modality: Modality, step: int, utterance: UtteranceInput, steps: Mapping[Modality, Steps]
) -> str:
    """Return which word or moment a step is; empty if that is not known."""
    if modality in steps and step < len(steps[modality].times):
        return f"moment ({clock_tenths(steps[modality].times[step])})"
    if modality is Modality.TEXT:
        words = [word.text for word, part in find_parts(utterance) if step in part.steps]
        return f'word ("{words[0]}")' if words else ""
    return ""
