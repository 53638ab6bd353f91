"""Passages: the clips of a video that are read together, one behind the other."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int, Int64

from mien.data.clips.clip_columns import ClipSequence
from mien.data.context.neighbours import Neighbours, find_neighbours
from mien.data.context.second_segment import NO_CONTEXT, Context

__all__ = ["cut_passages", "find_passages", "join_passage", "surround_in_passages"]

_Tokens = Int[np.ndarray, " _"]


def cut_passages(lengths: Int64[np.ndarray, " C"], most: int) -> Int64[np.ndarray, " _"]:
    """Cut texts that follow each other into passages, and return where each begins.

    There are as few passages as can be, and their lengths are as like each other as can be.

    Args:
        lengths: Tokens of each text.
        most: Most tokens of a passage; a text that is longer is a passage by itself.

    >>> cut_passages(np.array([4, 4, 4, 4, 9]), 9).tolist()
    [0, 2, 4]
    """
    starts = _fill(lengths, most)
    low, high = 1, most  # the least limit with so many passages makes the longest one shortest
    while low < high:
        middle = (low + high) // 2
        if len(_fill(lengths, middle)) > len(starts):
            low = middle + 1
        else:
            high = middle
    return np.array(_fill(lengths, high), dtype=np.int64)


def _fill(lengths: Int64[np.ndarray, " C"], most: int) -> list[int]:
    """Return where passages begin, each of as many texts as it has room for."""
    starts: list[int] = []
    total = 0
    for row, length in enumerate(lengths.tolist()):
        if not starts or total + length > most:
            starts.append(row)
            total = 0
        total += length
    return starts


def find_passages(clips: ClipSequence, lengths: Int64[np.ndarray, " N"], most: int) -> Neighbours:
    """Find the clips that every clip with a text is read together with.

    They are of the same video and the same split, annotated or not.

    Args:
        clips: All clips of a store.
        lengths: Tokens of the text of each; 0 if it has none.
        most: Most tokens of a passage.

    Returns:
        Of every clip the first clip of its passage, and the place after the last one.

    Raises:
        ConfigError: If the order of clips of one split and video is not known.
    """
    videos = find_neighbours(clips, lengths > 0, before=len(clips), after=len(clips))
    firsts, ends = videos.firsts.copy(), videos.ends.copy()
    for start in np.unique(videos.firsts).tolist():
        end = int(videos.ends[start])
        cuts = cut_passages(lengths[videos.rows[start:end]], most)
        bounds = np.append(cuts, end - start) + start
        for first, last in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            firsts[first:last], ends[first:last] = first, last
    return Neighbours(videos.rows, firsts, ends)


def surround_in_passages(
    texts: Sequence[str], lengths: Int64[np.ndarray, " N"], most: int
) -> list[Context]:
    """Return what is said around each of some texts in its passage.

    A text without tokens is passed over.

    Args:
        texts: The texts, in the order of time.
        lengths: Tokens of each.
        most: Most tokens of a passage.

    >>> surround_in_passages(["one", " ", "two", "three"], np.array([3, 0, 3, 3]), 6)[0]
    Context(before=(), after=('two',))
    """
    contexts = [NO_CONTEXT] * len(texts)
    spoken = np.flatnonzero(lengths)
    for rows in np.split(spoken, cut_passages(lengths[spoken], most)[1:]):
        passage = tuple(texts[row] for row in rows.tolist())
        for place, row in enumerate(rows.tolist()):
            contexts[row] = Context(before=passage[:place], after=passage[place + 1 :])
    return contexts


def join_passage(
    own: Int[np.ndarray, "T 1"], before: Sequence[_Tokens], after: Sequence[_Tokens], *, most: int
) -> Int[np.ndarray, "U 3"]:
    """Put the passage of a text behind its tokens.

    Beside each token is its place in the passage, and 0 if it is one of the text, else 1. The texts
    of a passage follow each other with the encoder's marks around each. If they are too long
    together, as where a text has become longer since passages were cut, what is farthest from the
    text is left out; each side has half of the room, and what the other one leaves.

    Args:
        own: Token ids of the text, with the marks around it; without a step, nothing is added.
        before: Those of the texts before it, in the order of time, with marks.
        after: Those of the texts after it.
        most: Most tokens of the passage; those of the text itself are never left out.
    """
    left, right = (
        np.concatenate([own[:0, 0], *(side if len(own) else ())]) for side in (before, after)
    )
    num_around = max(0, most - len(own))
    num_left = min(len(left), max(num_around // 2, num_around - len(right)))
    left, right = left[len(left) - num_left :], right[: num_around - num_left]
    ids = np.concatenate([own[:, 0], left, right])
    places = np.concatenate(
        [
            np.arange(len(own)) + len(left),
            np.arange(len(left)),
            np.arange(len(right)) + len(left) + len(own),
        ]
    )
    is_context = np.arange(len(ids)) >= len(own)
    return np.stack([ids, places, is_context], axis=1).astype(own.dtype)
