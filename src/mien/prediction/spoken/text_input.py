"""A text to what a network reads of it, and what a user should know about that."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Num

from mien.data.context.second_segment import NO_CONTEXT, Context
from mien.data.text_reader import TokenisedText
from mien.prediction.answer import Answer, Score
from mien.prediction.explain import Token
from mien.prediction.network import Network
from mien.prediction.spoken.language import Doubt, find_doubt, name_language
from mien.prediction.spoken.transcripts import find_words
from mien.prediction.target_answers.answer_targets import widen_targets
from mien.types import Modality, Scale, Target

__all__ = ["TextRead", "count_notes", "read_text", "widen"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRead:
    """What a network reads of a text.

    Attributes:
        values: Token ids or states, ``(T, 1)`` or ``(T, d)``; without a step if nothing is read.
        tokens: Token of each step, with the characters that it covers; None if the steps of the
            text are words.
        unreadable: Why nothing of it is read; empty if it is.
        is_doubtful: Whether scores that rest on it mean little.
        notes: What a user should know about it.
    """

    values: Num[np.ndarray, "_ _"]
    tokens: tuple[Token, ...] | None
    unreadable: str = ""
    is_doubtful: bool = False
    notes: tuple[str, ...] = ()


def read_text(
    network: Network, text: str, context: Context = NO_CONTEXT, *, spoken: str = ""
) -> TextRead:
    """Read a text, and what is said around it, unless the network cannot read the text.

    Args:
        network: What reads it.
        text: Any text.
        context: What is said around it.
        spoken: ISO 639-1 code of the language in which it was heard; empty if that is not known.
    """
    reader = network.text
    is_text = Modality.TEXT in network.modalities and bool(text.strip())
    tokenised = reader.analyse(text) if is_text and reader is not None else None
    doubt = _find_doubt(network, text, tokenised, spoken) if is_text else None
    unreadable = doubt.reason if doubt is not None and not doubt.is_readable else ""
    if unreadable:
        tokenised = None
    notes = []
    if unreadable:
        notes.append(f"{unreadable}; it is left out")
    elif doubt is not None:
        notes.append(f"{doubt.reason}; do not rely on scores that rest on it")
    if reader is not None and tokenised is not None and not tokenised.fits:
        notes.append(_count_unread(text, tokenised.num_characters, reader.max_tokens))
    tokens: tuple[Token, ...] | None = None
    if reader is not None:
        tokens = () if tokenised is None else tokenised.tokens
    return TextRead(
        values=_read_values(network, tokenised, context),
        tokens=tokens,
        unreadable=unreadable,
        is_doubtful=doubt is not None and not unreadable,
        notes=tuple(notes),
    )


def _read_values(
    network: Network, tokenised: TokenisedText | None, context: Context
) -> Num[np.ndarray, "_ _"]:
    if network.text is None or tokenised is None:
        return network.read_text("")
    return network.text.read_ids([tokenised.ids], context)[0]


def _find_doubt(
    network: Network, text: str, tokenised: TokenisedText | None, spoken: str
) -> Doubt | None:
    doubt = find_doubt(text, network.language)
    if doubt is None and spoken and spoken != network.language:
        languages = name_language(spoken), name_language(network.language)
        reason = "the speech is {} and the model reads {}".format(*languages)
        doubt = Doubt(reason=reason, is_readable=True)
    if (
        doubt is None
        and network.text is not None
        and tokenised is not None
        and not tokenised.is_known
    ):
        reason = f"no word of the text is in the vocabulary of {network.text.name}"
        return Doubt(reason=reason, is_readable=False)
    return doubt


def _count_unread(text: str, num_read: int, max_tokens: int) -> str:
    words = find_words(text)
    num_unread = sum(end > num_read for _, end in words)
    return (
        f"the last {num_unread} of {len(words)} words are not read, since the model reads at most "
        f"{max_tokens} tokens at a time"
    )


def count_notes(notes: Sequence[Sequence[str]], what: str) -> tuple[str, ...]:
    """Return each note once, with the number of texts that it is about if there are several.

    >>> count_notes([("odd",), ()], "parts"), count_notes([("odd",)], "parts")
    (('1 of 2 parts: odd',), ('odd',))
    """
    counted = Counter(note for of_text in notes for note in of_text)
    if len(notes) == 1:
        return tuple(counted)
    return tuple(f"{num} of {len(notes)} {what}: {note}" for note, num in counted.items())


def widen(answer: Answer, scale: Scale, targets: Sequence[Target] = ()) -> Answer:
    """Return an answer whose scores that rest on the text may lie anywhere on the scale.

    The text then disagrees with nothing. Of targets nothing is ruled out.
    """
    unimodal = {
        m: _widen(score, scale) if m is Modality.TEXT else score
        for m, score in answer.unimodal.items()
    }
    conflicts = tuple(pair for pair in answer.conflicts if Modality.TEXT not in pair)
    return answer.model_copy(
        update={
            "score": None if answer.score is None else _widen(answer.score, scale),
            "unimodal": unimodal,
            "conflicts": conflicts,
            "targets": widen_targets(answer.targets, targets),
        }
    )


def _widen(score: Score, scale: Scale) -> Score:
    if score.low is None:
        return score
    return score.model_copy(update={"low": scale.low, "high": scale.high})
