"""Utterances through a network, in batches, and what it says of each."""

from collections.abc import Iterable, Sequence

from mien.prediction.answer import Answer
from mien.prediction.answering.companion import Companion
from mien.prediction.explain import UtteranceInput, explain
from mien.prediction.network import ClipSeries, Network
from mien.prediction.recording import PredictionListener
from mien.prediction.spoken.text_input import widen

__all__ = ["BATCH", "answer_batch", "answer_utterances"]

#: Utterances that go through the network together.
BATCH = 8


def answer_utterances(
    network: Network,
    inputs: Iterable[tuple[ClipSeries, UtteranceInput]],
    num_utterances: int,
    listener: PredictionListener | None,
    companion: Companion | None = None,
) -> tuple[list[Answer], list[tuple[str, ...]]]:
    """Return the answers about utterances that hold something, and the notes on all."""
    answers: list[Answer] = []
    notes: list[tuple[str, ...]] = []
    waiting: list[tuple[ClipSeries, UtteranceInput]] = []
    for number, (series, utterance) in enumerate(inputs, start=1):
        notes.append(utterance.notes)
        if any(len(values) for values in series.values()):
            waiting.append((series, utterance))
        if len(waiting) == BATCH or number == num_utterances:
            answers += answer_batch(network, waiting, companion)
            waiting = []
        if listener is not None:
            listener.on_answer(number, utterance.end or 0.0)
    return answers, notes


def answer_batch(
    network: Network,
    batch: Sequence[tuple[ClipSeries, UtteranceInput]],
    companion: Companion | None = None,
) -> list[Answer]:
    """Return the answers about utterances, each of which holds something.

    Args:
        network: What answers.
        batch: What it reads of each.
        companion: What answers further targets.
    """
    if not batch:
        return []
    scored = network.score_clips([series for series, _ in batch])
    answers = []
    for scores, (series, utterance) in zip(scored, batch, strict=True):
        answer = explain(network, scores, utterance, series)
        if utterance.is_doubtful:
            answer = widen(answer, network.scale, network.model.targets)
        answers.append(answer)
    return answers if companion is None else companion.answer(answers, batch)
