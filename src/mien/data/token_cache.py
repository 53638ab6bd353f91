"""Token ids of transcripts: made part by part, and those of many kept in the user's cache."""

import hashlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from mien.data.clips.clip_columns import Texts
from mien.data.store import Series
from mien.data.text_reader import TextReader
from mien.errors import AssetError
from mien.files.cache import read_or_make, versions_of
from mien.files.folders import FolderKind, staged
from mien.files.hashing import hash_json
from mien.files.npy import save_array
from mien.files.temporaries import sweep_folder
from mien.files.user_folders import cache_folder

__all__ = ["MANY", "read_tokens"]

logger = logging.getLogger(__name__)

#: Bytes of transcripts from which on their tokens are kept; those of fewer are there in a second.
MANY = 1 << 20

_PART = 4096  # texts at once: a tokenizer keeps much more of each than its ids
_FILES = ("values.npy", "offsets.npy")
_TOKENS = FolderKind("a cache of tokens", lambda _: set(_FILES))


def read_tokens(reader: TextReader, transcripts: Texts, *, is_bare: bool = False) -> Series:
    """Return the token ids of all transcripts of a store, ``(T, 1)`` each.

    Those of many are made once per texts and tokenizer and kept in the user's cache, under a key
    of both; an entry of the cache that is not what it should be is made again.

    Args:
        reader: What reads them.
        transcripts: All transcripts.
        is_bare: Whether they are uncut, and without prefix and marks.
    """
    tokenise = reader.tokenise_bare if is_bare else reader.tokenise
    if int(transcripts.num_bytes.sum()) < MANY:
        return _tokenise(tokenise, transcripts)
    try:
        tokenizer = reader.tokenizer_json()
    except AssetError:  # nothing tells whether it is the same the next time
        return _tokenise(tokenise, transcripts)
    digest = hashlib.sha256()
    for array in (transcripts.data, transcripts.offsets):
        digest.update(f"{array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).data)
    parts = {
        "texts": digest.hexdigest(),
        "tokenizer": hashlib.sha256(tokenizer.encode()).hexdigest(),
        **({"form": "bare"} if is_bare else {"prefix": reader.prefix}),
        "versions": versions_of("tokenizers", "transformers"),
    }
    folder = cache_folder() / "tokens" / hash_json(parts)

    def make() -> Series:
        logger.info("tokenising once: %d transcripts", len(transcripts))
        made = _tokenise(tokenise, transcripts)
        sweep_folder(folder.parent)
        with staged(folder, _TOKENS, replace=True) as partial:  # in the place of a damaged one
            for name, array in zip(_FILES, (made.values, made.offsets), strict=True):
                with (partial / name).open("wb") as file:
                    save_array(file, array)
        return made

    return read_or_make(folder, lambda: _read(folder, len(transcripts)), make)


def _tokenise(tokenise: Callable[[Sequence[str]], Series], transcripts: Texts) -> Series:
    parts = [
        tokenise(list(transcripts[start : start + _PART]))
        for start in range(0, max(len(transcripts), 1), _PART)
    ]
    lengths = np.concatenate([part.lengths for part in parts])
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Series(np.concatenate([part.values for part in parts]), offsets)


def _read(folder: Path, num: int) -> Series | None:
    """Return the ids in a folder of the cache; None if they are not there, or damaged."""
    if not folder.exists():
        return None
    try:
        values, offsets = (
            np.load(folder / name, mmap_mode="r", allow_pickle=False) for name in _FILES
        )
        is_right = (values.dtype, offsets.dtype) == (np.int32, np.int64) and (
            values.shape == (int(offsets[-1]), 1) and offsets.shape == (num + 1,)
        )
    except (OSError, ValueError, EOFError, IndexError):
        is_right = False
    if is_right:
        return Series(values, np.array(offsets))
    logger.warning("%s: is damaged; its texts are tokenised again", folder)
    return None
