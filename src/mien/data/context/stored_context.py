"""The texts of a store, each with the utterances around it as a second segment."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from mien.data.context.neighbours import find_neighbours
from mien.data.context.passages import find_passages
from mien.data.context.turn_speakers import SpeakerMarks
from mien.data.store import Series, Store
from mien.data.text_reader import TextReader
from mien.data.token_cache import read_tokens
from mien.errors import ConfigError

__all__ = ["add_context", "read_speakers"]


def add_context(store: Store, reader: TextReader, own: Series) -> Series:
    """Return the token ids of all texts of a store, with those of their context.

    They are ``(T, 2)``, or ``(T, 3)`` where clips are read in passages.

    Args:
        store: The store.
        reader: What reads its texts.
        own: Token ids of the texts alone, ``(T, 1)``.

    Raises:
        ConfigError: If the order of the clips of a video is not known, or it is to be told who
            speaks and no clip has a speaker.
    """
    if reader.most_in_passage:
        return _join_passages(store, reader, own)
    around = find_neighbours(
        store.clips, own.lengths > 0, before=reader.num_before, after=reader.num_after
    )
    bare = read_tokens(reader, store.clips.transcripts, is_bare=True)
    speakers = read_speakers(store) if reader.context_speakers != "none" else [None] * len(own)
    marks = SpeakerMarks(reader, speakers, reader.context_speakers)
    joined = [np.zeros((0, 2), np.int32)] * len(own)
    places = zip(around.rows.tolist(), around.firsts.tolist(), around.ends.tolist(), strict=True)
    for place, (row, first, end) in enumerate(places):
        before, after = (
            [(other, bare[other][:, 0]) for other in around.rows[span].tolist()]
            for span in (slice(first, place), slice(place + 1, end))
        )
        joined[row] = reader.add_context(own[row], *marks.mark(row, before, after))
    return _make_series(joined, 2)


def _join_passages(store: Store, reader: TextReader, own: Series) -> Series:
    texts = read_tokens(reader, store.clips.transcripts)
    around = find_passages(store.clips, texts.lengths, reader.most_in_passage)
    joined = [np.zeros((0, 3), np.int32)] * len(own)
    together = -1 - np.arange(len(own))  # a clip without a text is by itself
    places = zip(around.rows.tolist(), around.firsts.tolist(), around.ends.tolist(), strict=True)
    for place, (row, first, end) in enumerate(places):
        before, after = (
            [texts[other][:, 0] for other in around.rows[span].tolist()]
            for span in (slice(first, place), slice(place + 1, end))
        )
        joined[row] = reader.add_context(own[row], before, after)
        together[row] = first
    return _make_series(joined, 3, together)


def _make_series(
    joined: Sequence[Int[np.ndarray, "_ _"]],
    width: int,
    together: Int[np.ndarray, " _"] | None = None,
) -> Series:
    lengths = [len(ids) for ids in joined]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    values = np.concatenate([np.zeros((0, width), np.int32), *joined])
    return Series(values, offsets, has_context=True, together=together)


def read_speakers(store: Store) -> list[str | None]:
    """Return who speaks each clip of a store; None where it is not known.

    Raises:
        ConfigError: If it is known of no clip.
    """
    speakers = [clip.speaker for clip in store.clips]
    if not any(name is not None for name in speakers):
        raise ConfigError(
            f"{store.path}: setting text_encoder.context_speakers puts before each utterance who "
            "speaks it, but no clip has a speaker; set text_encoder.context_speakers=none, or "
            "import the clips with a column speaker"
        )
    return speakers
