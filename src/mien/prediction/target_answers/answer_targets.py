"""What a network returns of its targets, to answers with sets and intervals."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from mien.errors import list_some
from mien.evaluation.probabilities.target_calibration import TargetCalibration, ValueCalibration
from mien.evaluation.target_metrics.target_values import PRESENT
from mien.prediction.target_answers.target_answer import (
    ClassAnswer,
    IntensitiesAnswer,
    LabelsAnswer,
    Level,
    ScoreAnswer,
    TargetAnswer,
    TargetFacts,
    TargetValue,
    name_labels,
    name_set,
    rank,
)
from mien.types import Modality, Target, TargetKind, Task

__all__ = ["answer_targets", "describe", "describe_limits", "describe_targets", "widen_targets"]

#: Classes that a note names; of more it counts the rest.
_MOST_NAMED = 6

TaskValues = Mapping[Task, Float[np.ndarray, " K"]]


def answer_targets(
    targets: Sequence[Target],
    calibration: Mapping[str, TargetCalibration],
    values: Mapping[str, TaskValues],
    present: Sequence[Modality],
) -> dict[str, TargetAnswer]:
    """Return what is predicted of each target in an utterance.

    Args:
        targets: What is predicted.
        calibration: What validation clips say of it; of a target without, there are no sets.
        values: What the network returned, by target and task: probabilities, and values cut to
            the scale. If one modality is present, its values are those of the multimodal task.
        present: The modalities that are there.
    """
    return {
        target.name: _answer(target, calibration.get(target.name), values[target.name], present)
        for target in targets
    }


def _answer(
    target: Target,
    calibration: TargetCalibration | None,
    values: TaskValues,
    present: Sequence[Modality],
) -> TargetAnswer:
    def known(modalities: Sequence[Modality]) -> ValueCalibration | None:
        return None if calibration is None else calibration.of(modalities)

    return TargetAnswer(
        overall=describe(target, values[Task.FUSION], known(present)),
        unimodal={
            m: describe(target, values[Task(m)], known([m])) for m in present if Task(m) in values
        },
    )


def describe(
    target: Target, values: Float[np.ndarray, " K"], calibration: ValueCalibration | None
) -> TargetValue:
    """Return what K values of a target mean, with a set or intervals if there is a calibration."""
    if target.kind is TargetKind.CLASS:
        return _describe_class(target, values, calibration)
    if target.kind is TargetKind.LABELS:
        return _describe_labels(target, values, calibration)
    low, high = target.bounds
    ends: list[tuple[float | None, float | None]] = [(None, None)] * target.size
    if calibration is not None:
        widths = calibration.half_widths(target)
        pairs = zip(values.tolist(), widths.tolist(), strict=True)
        ends = [(max(low, value - width), min(high, value + width)) for value, width in pairs]
    if target.kind is TargetKind.SCORE:
        return ScoreAnswer(value=float(values[0]), low=ends[0][0], high=ends[0][1])
    rows = zip(target.classes, values.tolist(), ends, strict=True)
    return IntensitiesAnswer(
        levels={name: Level(value=value, low=own[0], high=own[1]) for name, value, own in rows}
    )


def _describe_class(
    target: Target, values: Float[np.ndarray, " K"], calibration: ValueCalibration | None
) -> ClassAnswer:
    name = target.classes[int(values.argmax())]
    if calibration is None:
        return ClassAnswer(name=name, probabilities=_named(target, values), words=name)
    probabilities = _named(target, calibration.scale(target, values))
    is_possible = dict(zip(target.classes, calibration.sets(target, values).tolist(), strict=True))
    possible = tuple(each for each in rank(probabilities) if is_possible[each])
    words = name_set(possible, target.size)
    return ClassAnswer(name=name, probabilities=probabilities, possible=possible, words=words)


def _describe_labels(
    target: Target, values: Float[np.ndarray, " K"], calibration: ValueCalibration | None
) -> LabelsAnswer:
    if calibration is None:
        there = [name for name, value in _named(target, values).items() if value >= PRESENT]
        words = name_labels(there, (), target.size)
        return LabelsAnswer(probabilities=_named(target, values), words=words)
    probabilities = _named(target, calibration.scale(target, values))
    ways = dict(zip(target.classes, calibration.possible(target, values).tolist(), strict=True))
    certain = tuple(name for name in target.classes if ways[name] == [False, True])
    possible = tuple(name for name in rank(probabilities) if ways[name] == [True, True])
    words = name_labels(certain, possible, target.size)
    return LabelsAnswer(
        probabilities=probabilities, certain=certain, possible=possible, words=words
    )


def _named(target: Target, values: Float[np.ndarray, " K"]) -> dict[str, float]:
    return dict(zip(target.classes, values.tolist(), strict=True))


def describe_targets(
    targets: Sequence[Target], calibration: Mapping[str, TargetCalibration]
) -> tuple[TargetFacts, ...]:
    """Return what the targets of a model are, with the level of their sets and intervals."""
    return tuple(
        TargetFacts(
            name=target.name,
            kind=target.kind,
            classes=target.classes,
            scale=target.scale,
            level=calibration[target.name].level if target.name in calibration else None,
        )
        for target in targets
    )


def describe_limits(
    targets: Sequence[Target], calibration: Mapping[str, TargetCalibration]
) -> tuple[str, ...]:
    """Return what a reader of answers about these targets should know, in sentences."""
    without = [target.name for target in targets if target.name not in calibration]
    limits = []
    if without:
        limits.append(
            f"{', '.join(without)}: without sets or intervals, which the model was not calibrated "
            "for when it was trained"
        )
    for name in (target.name for target in targets if target.name in calibration):
        by_modalities = calibration[name].by_modalities.values()
        measured = [set(known.unseen) for known in by_modalities if known.num_clips]
        unseen = sorted(set.intersection(*measured)) if measured else []
        if unseen:
            shown = list_some(unseen, _MOST_NAMED, word="or")
            them = "it" if len(unseen) == 1 else "them"
            limits.append(
                f"{name}: no validation clip was {shown}, so that sets without {them} were not "
                "tested"
            )
    return tuple(limits)


def widen_targets(
    answers: Mapping[str, TargetAnswer], facts: Sequence[Target]
) -> dict[str, TargetAnswer]:
    """Return answers in which what rests on the text rules nothing out."""
    kinds = {target.name: target for target in facts}
    return {
        name: answer.model_copy(
            update={
                "overall": _widen(answer.overall, kinds[name]),
                "unimodal": {
                    m: _widen(value, kinds[name]) if m is Modality.TEXT else value
                    for m, value in answer.unimodal.items()
                },
            }
        )
        for name, answer in answers.items()
    }


def _widen(value: TargetValue, target: Target) -> TargetValue:
    """Return a value with the widest set or interval, if it has any."""
    if isinstance(value, ClassAnswer):
        if value.possible is None:
            return value
        every = tuple(rank(value.probabilities))
        words = name_set(every, target.size)
        return value.model_copy(update={"possible": every, "words": words})
    if isinstance(value, LabelsAnswer):
        if value.possible is None:
            return value
        every = tuple(rank(value.probabilities))
        update = {"certain": (), "possible": every, "words": name_labels((), every, target.size)}
        return value.model_copy(update=update)
    low, high = target.bounds
    if isinstance(value, ScoreAnswer):
        is_known = value.low is not None
        return value.model_copy(update={"low": low, "high": high}) if is_known else value
    levels = {
        name: level if level.low is None else level.model_copy(update={"low": low, "high": high})
        for name, level in value.levels.items()
    }
    return value.model_copy(update={"levels": levels})
