"""What each word, and each moment of voice and face, adds to the likeliest class of a target.

As for the score, a part is taken away and the rest is predicted again: the effect is the difference
of probabilities, so that 0.12 is twelve points.

Source: zeiler2014 (parts of a picture), li2016 (words).
"""

from collections.abc import Callable, Mapping, Sequence

from mien.prediction.answer import WordWeight
from mien.prediction.network import Network
from mien.prediction.occlusion import Occlusion, Remainder
from mien.prediction.target_answers.target_answer import (
    ClassAnswer,
    TargetAnswer,
    TargetMoment,
    TargetWord,
)
from mien.types import Modality, Target, TargetKind

__all__ = ["add_effects"]

_NUM_MOMENTS = 3
#: The smallest effect that is a moment of its own.
_LEAST = 0.01


def add_effects(
    network: Network,
    answers: Mapping[str, TargetAnswer],
    occlusion: Occlusion,
    words: Sequence[WordWeight],
) -> dict[str, TargetAnswer]:
    """Return answers with what words and moments add to the probability of their likeliest class.

    Probabilities without a part have the temperature of the modalities that remain.

    Args:
        network: What predicted the targets.
        answers: What it said of them; those that are no classes stay as they are.
        occlusion: What it predicts without each part.
        words: The words that were left out, in their order.
    """
    classes = [t for t in network.model.targets if t.kind is TargetKind.CLASS]
    return {
        **answers,
        **{t.name: _add(network, t, answers[t.name], occlusion, words) for t in classes},
    }


def _add(
    network: Network,
    target: Target,
    answer: TargetAnswer,
    occlusion: Occlusion,
    words: Sequence[WordWeight],
) -> TargetAnswer:
    measure = _measurer(network, target, answer)
    of_words = tuple(
        TargetWord(
            text=word.text,
            start=word.start,
            end=word.end,
            effect=None if rest is None else measure(rest),
        )
        for word, rest in zip(words, occlusion.words, strict=True)
    )
    moments = [
        TargetMoment(modality=modality, start=own.start, end=own.end, effect=measure(own.rest))
        for modality, windows in occlusion.windows.items()
        for own in windows
    ]
    moments += [
        TargetMoment(
            modality=Modality.TEXT,
            start=word.start,
            end=word.end,
            text=word.text,
            effect=word.effect,
        )
        for word in of_words
        if word.effect is not None
    ]
    return answer.model_copy(update={"words": of_words, "moments": _choose(moments)})


def _measurer(
    network: Network, target: Target, answer: TargetAnswer
) -> Callable[[Remainder], float]:
    """Return what tells how much less likely the likeliest class is without a part."""
    overall = answer.overall
    if not isinstance(overall, ClassAnswer):
        raise TypeError(f"{target.name} is a class, and its answer of the kind {overall.kind}")
    index = target.classes.index(overall.name)
    calibration = network.target_calibration.get(target.name)

    def measure(rest: Remainder) -> float:
        own = rest.values.targets[target.name]
        if calibration is not None:
            own = calibration.of(rest.present).scale(target, own)
        return overall.probabilities[overall.name] - float(own[index])

    return measure


def _choose(moments: Sequence[TargetMoment]) -> tuple[TargetMoment, ...]:
    """Return the moments with the largest effects, at most three of a modality."""
    best: list[TargetMoment] = []
    for modality in Modality:
        large = [m for m in moments if m.modality is modality and abs(m.effect) >= _LEAST]
        best += sorted(large, key=_size)[:_NUM_MOMENTS]
    return tuple(sorted(best, key=_size))


def _size(moment: TargetMoment) -> float:
    return -abs(moment.effect)
