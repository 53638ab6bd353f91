"""States of texts in the user's cache: computed once for texts, encoder and depth."""

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from mien.data.store import Series
from mien.data.text_states import compute_states, shape_states
from mien.files.cache import read_or_make, versions_of
from mien.files.folders import FolderKind, staged
from mien.files.hashing import hash_json
from mien.files.source_code import code_fingerprint
from mien.files.temporaries import sweep_folder
from mien.files.user_folders import cache_folder

__all__ = ["LowerLayers", "cached_states", "states_key"]

logger = logging.getLogger(__name__)

_STATES = FolderKind("a cache of states", lambda _: {"meta.json", "values.npy"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LowerLayers:
    """The first layers of a pretrained encoder, which are not trained.

    Attributes:
        source: Folder of the encoder, or its name on a hub.
        layer: After how many layers the states are taken.
        size: Size of a state, d.
        fingerprint: SHA-256 of the encoder's weights.
        revision: Commit of an encoder from a hub; None for a folder.
        keeps_context: Whether states of a context are kept, for the layers above.
    """

    source: Path | str
    layer: int
    size: int
    fingerprint: str
    revision: str | None
    keeps_context: bool = False


def cached_states(
    ids: Series, layers: LowerLayers, rows: Int[np.ndarray, " _"] | None = None
) -> tuple[Series, str]:
    """Return the states of texts and their key; from the cache if they are there.

    An entry of the cache that is not what it should be is computed again.

    Args:
        ids: Token ids of every text, ``(T, 1)``, or ``(T, 2)`` with a context.
        layers: What makes states of them.
        rows: The texts that are read, if not all are; where the states of all are not there,
            others get none.
    """
    key = states_key(ids, layers)
    if rows is not None and not (cache_folder() / "states" / key).exists():
        ids = _only(ids, rows)
        key = states_key(ids, layers)
    made = shape_states(ids.values, ids.offsets, layers.size, keeps_context=layers.keeps_context)
    folder = cache_folder() / "states" / key
    values = read_or_make(
        folder, lambda: _read_states(folder, made.shape), lambda: _write_states(ids, layers, folder)
    )
    return Series(values, made.offsets, has_context=layers.keeps_context), key


def _only(ids: Series, rows: Int[np.ndarray, " _"]) -> Series:
    """Return the same texts, all but some of them empty."""
    is_read = np.isin(np.arange(len(ids)), rows)
    values = ids.values[np.repeat(is_read, ids.lengths)]
    return Series(values, np.concatenate([[0], np.cumsum(ids.lengths * is_read)]))


def states_key(ids: Series, layers: LowerLayers) -> str:
    """Return a name for states, from all that they depend on.

    The token ids stand for the texts, the tokenizer, its prefix and where texts were cut.
    """
    digest = hashlib.sha256()
    for array in (ids.values, ids.offsets):
        digest.update(f"{array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).data)
    parts = {
        "ids": digest.hexdigest(),
        "encoder": [layers.fingerprint, layers.revision],
        "layer": layers.layer,
        "code": code_fingerprint("mien.data.text_states"),
        "versions": versions_of("torch", "transformers"),
    }
    return hash_json(parts)


def _read_states(folder: Path, shape: tuple[int, int]) -> Float[np.ndarray, "_ d"] | None:
    """Return the states in a folder of the cache; None if they are not there, or damaged."""
    if not folder.exists():
        return None
    try:
        values: np.ndarray = np.load(folder / "values.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        values = np.empty(0)
    if values.shape == shape and values.dtype == np.float32:
        return values
    logger.warning("%s: is damaged; its text states are computed again", folder)
    return None


def _write_states(ids: Series, layers: LowerLayers, folder: Path) -> Float[np.ndarray, "_ d"]:
    sweep_folder(folder.parent)
    with staged(folder, _STATES, replace=True) as partial:  # in the place of a damaged one
        values_file = partial / "values.npy"
        compute_states(
            ids.values,
            ids.offsets,
            layers.source,
            layers.layer,
            values_file,
            keeps_context=layers.keeps_context,
        )
        meta = json.dumps({"layer": layers.layer})
        (partial / "meta.json").write_text(meta, encoding="utf-8")
    values: np.ndarray = np.load(folder / "values.npy", mmap_mode="r", allow_pickle=False)
    return values
