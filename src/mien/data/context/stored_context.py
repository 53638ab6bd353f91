"""The texts of a store, each with the utterances around it as a second segment."""

import numpy as np

from mien.data.context.neighbours import find_neighbours
from mien.data.store import Series, Store
from mien.data.text_reader import TextReader
from mien.data.token_cache import read_tokens

__all__ = ["add_context"]


def add_context(store: Store, reader: TextReader, own: Series) -> Series:
    """Return the token ids of all texts of a store, ``(T, 2)``, with those of their context.

    Args:
        store: The store.
        reader: What reads its texts.
        own: Token ids of the texts alone, ``(T, 1)``.

    Raises:
        ConfigError: If the order of the clips of a video is not known.
    """
    around = find_neighbours(
        store.clips, own.lengths > 0, before=reader.num_before, after=reader.num_after
    )
    bare = read_tokens(reader, store.clips.transcripts, is_bare=True)
    joined = [np.zeros((0, 2), np.int32)] * len(own)
    places = zip(around.rows.tolist(), around.firsts.tolist(), around.ends.tolist(), strict=True)
    for place, (row, first, end) in enumerate(places):
        before, after = (
            [bare[other][:, 0] for other in around.rows[span].tolist()]
            for span in (slice(first, place), slice(place + 1, end))
        )
        joined[row] = reader.add_context(own[row], before, after)
    lengths = [len(ids) for ids in joined]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    values = np.concatenate([np.zeros((0, 2), np.int32), *joined])
    return Series(values, offsets, has_context=True)
