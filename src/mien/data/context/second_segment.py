"""The second segment of a text: the tokens of the utterances around it, the nearest of them."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

__all__ = ["NO_CONTEXT", "Context", "SegmentMarks", "add_segment", "surround"]


class Context(NamedTuple):
    """What is said around an utterance, in the order of time.

    Attributes:
        before: The utterances before it.
        after: Those after it.
    """

    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Return whether anything is said around it."""
        return bool(self.before or self.after)


NO_CONTEXT = Context()


def surround(texts: Sequence[str], before: int, after: int) -> list[Context]:
    """Return what is said around each of some texts, which follow each other.

    A text without words is passed over.

    Args:
        texts: The texts, in the order of time.
        before: At most so many before each.
        after: At most so many after each.

    >>> surround(["one", " ", "two", "three"], 1, 0)[2:]
    [Context(before=('one',), after=()), Context(before=('two',), after=())]
    """
    spoken = [row for row, text in enumerate(texts) if text.strip()]
    contexts = []
    for row in range(len(texts)):
        first, last = bisect_left(spoken, row), bisect_right(spoken, row)
        sides = spoken[max(0, first - before) : first], spoken[last : last + after]
        contexts.append(Context(*(tuple(texts[other] for other in side) for side in sides)))
    return contexts


class SegmentMarks(NamedTuple):
    """The marks of an encoder around the second of two texts.

    Attributes:
        first: What follows the mark that ends the first text.
        last: What ends the second one; also between the utterances of a context.
        type: The type that the encoder's tokenizer gives to the tokens of the second one.
    """

    first: tuple[int, ...]
    last: tuple[int, ...]
    type: int


Tokens = Int[np.ndarray, " _"]


def add_segment(
    own: Int[np.ndarray, "T 1"],
    before: Sequence[Tokens],
    after: Sequence[Tokens],
    *,
    marks: SegmentMarks,
    most: int,
    reads_both_sides: bool,
) -> Int[np.ndarray, "U 2"]:
    """Put a context behind the tokens of a text.

    Beside each token is 0, or 1 and the type of a second text's tokens if it is one of the context.

    Utterances of the context have the encoder's end mark between them. Where a model reads both
    sides, an end mark stands for the text itself. If the context is too long, what is farthest from
    the text is left out; each side has half of the room, and what the other one leaves.

    Args:
        own: Token ids of the text, with the marks around it; without a step, nothing is added.
        before: Token ids of the utterances before it, in the order of time, without marks.
        after: Of those after it.
        marks: What stands around a second segment.
        most: Most tokens of the context, with the marks between utterances.
        reads_both_sides: Whether a model reads what comes before and what comes after.
    """
    end = np.array(marks.last, dtype=own.dtype)
    middle = end if reads_both_sides else end[:0]
    left, right = _join(before, end), _join(after, end)
    left = np.concatenate([left, middle]) if len(left) else left
    right = np.concatenate([middle, right]) if len(right) else right
    num_left = min(len(left), max(most // 2, most - len(right)))
    num_right = min(len(right), most - num_left)
    context = np.concatenate([left[len(left) - num_left :], right[:num_right]])
    first = np.pad(own, ((0, 0), (0, 1)))
    if not len(context) or not len(own):
        return first
    segment = np.concatenate([np.array(marks.first, dtype=own.dtype), context, end])
    second = np.stack([segment, np.full_like(segment, 1 + marks.type)], axis=1)
    return np.concatenate([first, second])


def _join(texts: Sequence[Tokens], end: Tokens) -> Tokens:
    """Return texts one behind the other, with the end mark between them."""
    parts = [part for text in texts for part in (end, text)][1:]
    return np.concatenate(parts) if parts else end[:0]
