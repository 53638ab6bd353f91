"""Answers about a recording or a text, with what there is to say of the models that gave them."""

from collections.abc import Iterable, Sequence
from typing import Any

from mien.prediction.answer import Answer
from mien.prediction.answering.companion import Companion, CompanionFacts
from mien.prediction.answering.person_baseline import Person
from mien.prediction.network import Network
from mien.prediction.result import Prediction

__all__ = ["describe_answers"]


def describe_answers(
    network: Network,
    companion: Companion | None,
    person: Person | None,
    answers: Iterable[Answer],
    warnings: Sequence[str],
    **facts: Any,  # noqa: ANN401  # other fields of a prediction
) -> Prediction:
    """Return a prediction.

    Args:
        network: What gave the answers.
        companion: What gave further targets.
        person: Against whom voice and face were read; None if the network knows no baselines.
        answers: About the utterances.
        warnings: What a reader should know of what was predicted.
        facts: Further fields of the prediction, by name.
    """
    known = tuple(answers)
    beside = CompanionFacts() if companion is None else companion.describe(known)
    return Prediction(
        scale=network.sentiment_scale,
        level=network.level,
        targets=(*network.targets, *beside.targets),
        answers=known,
        warnings=(*warnings, *network.limits, *beside.warnings),
        model=network.facts,
        companion=beside.model,
        baseline=None if person is None else person.facts,
        **facts,
    )
