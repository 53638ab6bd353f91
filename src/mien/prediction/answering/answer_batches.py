"""Utterances through a network, in batches, and what it says of each."""

from collections.abc import Iterable, Sequence

from mien.prediction.answer import Answer
from mien.prediction.answering.companion import Companion
from mien.prediction.answering.person_baseline import Person
from mien.prediction.explain import UtteranceInput, explain
from mien.prediction.network import ClipSeries, Network
from mien.prediction.spoken.text_input import widen

__all__ = ["BATCH", "answer_batch", "answer_utterances"]

#: Utterances that go through the network together.
BATCH = 8


def answer_utterances(
    network: Network,
    inputs: Iterable[tuple[ClipSeries, UtteranceInput]],
    num_utterances: int,
    companion: Companion | None = None,
    person: Person | None = None,
) -> tuple[list[Answer], list[tuple[str, ...]]]:
    """Return the answers about utterances that hold something, and the notes on all.

    Args:
        network: What answers.
        inputs: The utterances, with their features as the extractors made them.
        num_utterances: How many there are.
        companion: What answers further targets, which reads everybody alike.
        person: Against whom the network reads voice and face; None if it knows no baselines.
    """
    answers: list[Answer] = []
    notes: list[tuple[str, ...]] = []
    waiting: list[tuple[ClipSeries, UtteranceInput]] = []
    read: list[ClipSeries] = []
    for number, (series, utterance) in enumerate(inputs, start=1):
        notes.append(utterance.notes)
        if any(len(values) for values in series.values()):
            waiting.append((series, utterance))
            read.append(series if person is None else person.read(series, number - 1))
        if len(waiting) == BATCH or number == num_utterances:
            answers += answer_batch(network, waiting, companion, read)
            waiting, read = [], []
    return answers, notes


def answer_batch(
    network: Network,
    batch: Sequence[tuple[ClipSeries, UtteranceInput]],
    companion: Companion | None = None,
    read: Sequence[ClipSeries] | None = None,
) -> list[Answer]:
    """Return the answers about utterances, each of which holds something.

    Args:
        network: What answers.
        batch: Each with its features as the extractors made them.
        companion: What answers further targets.
        read: The features as the network reads them, against a person; None for the same.
    """
    if not batch:
        return []
    read = [series for series, _ in batch] if read is None else read
    answers = []
    for scores, series, (_, utterance) in zip(network.score_clips(read), read, batch, strict=True):
        answer = explain(network, scores, utterance, series)
        if utterance.is_doubtful:
            answer = widen(answer, network.scale, network.model.targets)
        answers.append(answer)
    return answers if companion is None else companion.answer(answers, batch)
