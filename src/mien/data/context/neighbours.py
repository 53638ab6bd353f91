"""Which clips stand before and after each clip, of the same video and the same split."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64

from mien.data.clips.clip_columns import ClipSequence
from mien.data.context.clip_order import are_seconds, order_clips
from mien.errors import ConfigError
from mien.files.reading import show
from mien.types import ID_SEPARATOR

__all__ = ["Neighbours", "find_neighbours"]


class Neighbours(NamedTuple):
    """The clips with a text, in the order of split, video and time, and those around each.

    Attributes:
        rows: Rows of the clips with a text, in that order, ``(C,)``.
        firsts: Place in ``rows`` of the first clip before each that it is read with; its own place
            if there is none.
        ends: Place after the last clip that it is read with; the one after its own if none follows.
    """

    rows: Int64[np.ndarray, " C"]
    firsts: Int64[np.ndarray, " C"]
    ends: Int64[np.ndarray, " C"]


def find_neighbours(
    clips: ClipSequence, has_text: Bool[np.ndarray, " N"], *, before: int, after: int
) -> Neighbours:
    """Find the nearest clips before and after every clip that has a text.

    They are of the same video and the same split, annotated or not; a clip without a text is
    passed over.

    Args:
        clips: All clips of a store.
        has_text: Which of them have a text.
        before: At most so many before each.
        after: At most so many after each.

    Raises:
        ConfigError: If the order of clips of one split and video is not known.
    """
    videos, splits = clips.video_numbers, clips.split_numbers.astype(np.int64)
    places = _place(clips, has_text, videos, splits)
    with_text = np.flatnonzero(has_text)
    keys = (places[with_text], videos[with_text], splits[with_text])
    rows = with_text[np.lexsort(keys)]
    is_first = np.ones(len(rows), dtype=bool)
    is_first[1:] = (np.diff(videos[rows]) != 0) | (np.diff(splits[rows]) != 0)
    own = np.arange(len(rows))
    starts = np.flatnonzero(is_first)
    group = np.cumsum(is_first) - 1
    begin, end = starts[group], np.append(starts[1:], len(rows))[group]
    return Neighbours(
        rows=rows,
        firsts=np.maximum(own - before, begin),
        ends=np.minimum(own + after + 1, end),
    )


def _place(
    clips: ClipSequence,
    has_text: Bool[np.ndarray, " N"],
    videos: Int64[np.ndarray, " N"],
    splits: Int64[np.ndarray, " N"],
) -> Int64[np.ndarray, " N"]:
    """Return the place of every clip in its video; 0 where nothing of it depends on that."""
    places = np.zeros(len(clips), dtype=np.int64)
    starts, names = clips.starts, [name.partition(ID_SEPARATOR)[2] for name in clips.ids]
    with_seconds = are_seconds(names)
    by_video = np.argsort(videos, kind="stable")
    for rows in np.split(by_video, np.flatnonzero(np.diff(videos[by_video])) + 1):
        _, counts = np.unique(splits[rows[has_text[rows]]], return_counts=True)
        if counts.max(initial=0) < 2:
            continue
        own = [names[row] for row in rows.tolist()]
        order = order_clips(own, starts[rows], with_seconds=with_seconds)
        if order is None:
            raise _unknown_order(clips, rows, own)
        places[rows[order]] = np.arange(len(rows))
    return places


def _unknown_order(
    clips: ClipSequence, rows: Int64[np.ndarray, " _"], names: list[str]
) -> ConfigError:
    video = clips.ids[int(rows[0])].partition(ID_SEPARATOR)[0]
    shown = ", ".join(show(name) for name in names[:3])
    return ConfigError(
        "settings text_encoder.context, context_after and passage: the order of the "
        f"{len(names)} clips of video {show(video)} is unknown: their start times are not all "
        "known and different, and their names "
        f"({shown}{', ...' if len(names) > 3 else ''}) do not differ in numbers alone; "
        "give start times, or set all to 0"
    )
