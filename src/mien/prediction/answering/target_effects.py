"""What each moment of voice and face adds to the probability of the likeliest class of a target.

As for the score, a stretch is taken away and the rest is predicted again: the effect is the
difference of probabilities, so that 0.12 is twelve points. Classes that rest on words as well are
left out, whose effects on them are not measured.

Source: zeiler2014 (parts of a picture).
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float, Num

from mien.prediction.explain import UtteranceInput
from mien.prediction.network import ClipScores, ClipSeries, Network
from mien.prediction.occlusion import leave_out_windows
from mien.prediction.target_answers.target_answer import ClassAnswer, TargetAnswer, TargetMoment
from mien.types import Modality, Target, TargetKind

__all__ = ["add_moments"]

_NUM_MOMENTS = 3
#: The smallest effect that is a moment of its own.
_LEAST = 0.01

#: A stretch, the modalities that remain without it, and the values of the targets then.
_Variant = tuple[TargetMoment, Sequence[Modality], Mapping[str, Float[np.ndarray, " K"]]]


def add_moments(
    network: Network,
    answers: Mapping[str, TargetAnswer],
    scores: ClipScores,
    utterance: UtteranceInput,
    series: ClipSeries,
) -> dict[str, TargetAnswer]:
    """Return answers with the moments that moved the probability of their likeliest class most.

    Windows are those of ``measure_effects``. If nothing of a modality remains, the modality is
    taken away, and temperatures are those of what is left.

    Args:
        network: What predicted the targets.
        answers: What it said of them.
        scores: What it returned of the utterance.
        utterance: What the utterance is: its times.
        series: What the network read of it.

    Raises:
        ConfigError: If a step has no time.
    """
    classes = [t for t in network.model.targets if t.kind is TargetKind.CLASS]
    if not classes or Modality.TEXT in scores.present:
        return dict(answers)
    complete = network.complete(series)
    variants = [
        variant
        for modality in (Modality.AUDIO, Modality.VIDEO)
        if modality in scores.present and modality in utterance.times
        for variant in _leave_out(network, complete, modality, scores, utterance)
    ]
    chosen = {target.name: _choose(network, target, answers, variants) for target in classes}
    return {
        name: answer.model_copy(update={"moments": chosen[name]}) if name in chosen else answer
        for name, answer in answers.items()
    }


def _leave_out(
    network: Network,
    complete: Mapping[Modality, Num[np.ndarray, "_ _"]],
    modality: Modality,
    scores: ClipScores,
    utterance: UtteranceInput,
) -> Iterator[_Variant]:
    """Give every stretch of a modality without which something remains to be read."""
    span = (utterance.start or 0.0, np.inf if utterance.end is None else utterance.end)
    windows = leave_out_windows(modality, complete[modality], utterance.times[modality], span)
    others = [m for m in scores.present if m is not modality]
    windows = [window for window in windows if others or len(window.remaining)]
    remaining = [window.remaining for window in windows]
    values = network.target_variants(complete, modality, remaining, scores.encoded)
    for window, own in zip(windows, values, strict=True):
        moment = TargetMoment(modality=modality, start=window.start, end=window.end, effect=0.0)
        yield moment, scores.present if len(window.remaining) else others, own


def _choose(
    network: Network,
    target: Target,
    answers: Mapping[str, TargetAnswer],
    variants: Sequence[_Variant],
) -> tuple[TargetMoment, ...]:
    """Return the moments with the largest effects on a target, at most three of a modality."""
    overall = answers[target.name].overall
    if not isinstance(overall, ClassAnswer):
        raise TypeError(f"{target.name} is a class, and its answer of the kind {overall.kind}")
    index, calibration = target.classes.index(overall.name), network.target_calibration
    moments = []
    for moment, present, values in variants:
        own = values[target.name]
        if target.name in calibration:
            own = calibration[target.name].of(present).scale(target, own)
        effect = overall.probabilities[overall.name] - float(own[index])
        moments.append(moment.model_copy(update={"effect": effect}))
    best: list[TargetMoment] = []
    for modality in Modality:
        large = [m for m in moments if m.modality is modality and abs(m.effect) >= _LEAST]
        best += sorted(large, key=_size)[:_NUM_MOMENTS]
    return tuple(sorted(best, key=_size))


def _size(moment: TargetMoment) -> float:
    return -abs(moment.effect)
