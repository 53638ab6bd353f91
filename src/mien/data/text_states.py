"""States of texts after the first layers of a pretrained encoder, computed ahead."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mien.files.npy import append_array, write_header
from mien.pretrained.text_encoder import (
    TokenEncoder,
    load_bottom,
    load_settings,
    mark_context,
)
from mien.tensors import PaddedSeries, pad

__all__ = ["StatesShape", "compute_states", "shape_states", "states_of"]

logger = logging.getLogger(__name__)

_CHUNK = 64  # texts encoded at once


class StatesShape(NamedTuple):
    """How the states of texts lie end to end.

    Attributes:
        shape: Of all of them: steps, and values of a step.
        offsets: Where each text begins, and where the last one ends.
    """

    shape: tuple[int, int]
    offsets: Int[np.ndarray, " _"]


def shape_states(
    values: Int[np.ndarray, "_ _"],
    offsets: Int[np.ndarray, " _"],
    size: int,
    *,
    keeps_context: bool = False,
) -> StatesShape:
    """Return how the states of texts lie; of a context there are none unless they are kept.

    Args:
        values: Token ids of all texts, end to end, ``(S, 1)``; ``(S, 2)`` with a context.
        offsets: Where each text begins, and where the last one ends.
        size: Size of a state.
        keeps_context: Whether states of a context are kept; then one value more in each step says
            which they are.
    """
    if values.shape[1] == 1 or keeps_context:
        return StatesShape((len(values), size + keeps_context), offsets)
    own = np.concatenate([[0], np.cumsum(values[:, -1] == 0)]).astype(np.int64)[offsets]
    return StatesShape((int(own[-1]), size), own)


@torch.no_grad()
def compute_states(
    values: Int[np.ndarray, "_ _"],
    offsets: Int[np.ndarray, "_"],
    source: Path | str,
    layer: int,
    path: Path,
    *,
    keeps_context: bool = False,
) -> None:
    """Write the states of all texts after ``layer`` layers, end to end, as one NumPy file.

    Args:
        values: Token ids of all texts, end to end, as for ``shape_states``.
        offsets: Where each text begins, and where the last one ends.
        source: Folder of the encoder, or its name on a hub.
        layer: Layers after which the states are taken.
        path: The file, in the shape that ``shape_states`` gives, float32.
        keeps_context: As for ``shape_states``.
    """
    bottom = load_bottom(source, layer)
    size = int(load_settings(source).hidden_size)
    shape, places = shape_states(values, offsets, size, keeps_context=keeps_context)
    lengths = np.diff(offsets)
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] > 0]
    logger.info("computing text states once: %d clips", len(order))
    with path.open("wb") as file:  # not mapped: on a full disk that would end the process
        first = write_header(file, "float32", shape)
        for start in range(0, len(order), _CHUNK):
            rows = order[start : start + _CHUNK].tolist()
            ids = [values[offsets[row] : offsets[row + 1]] for row in rows]
            chunk = states_of(bottom, ids, keeps_context=keeps_context)
            for row, states in zip(rows, chunk, strict=True):
                file.seek(first + int(places[row]) * shape[1] * np.float32().itemsize)
                append_array(file, states.numpy())


def states_of(
    bottom: TokenEncoder, ids: Sequence[Int[np.ndarray, "_ _"]], *, keeps_context: bool = False
) -> list[Float[Tensor, "_ _"]]:
    """Return the states of some texts, each ``(T, d)``.

    Args:
        bottom: The encoder.
        ids: Token ids of each text, ``(T, 1)``, or ``(T, 2)`` with a context.
        keeps_context: As for ``shape_states``.
    """
    device = next(bottom.parameters()).device
    has_context = ids[0].shape[1] > 1
    padded = pad([torch.from_numpy(np.array(numbers)) for numbers in ids], has_context=has_context)
    series = PaddedSeries(*(part.to(device) for part in padded))
    states = bottom(series)
    if not has_context:
        return [states[i, : len(numbers)] for i, numbers in enumerate(ids)]
    if keeps_context:
        states = mark_context(states, series)
        return [states[i, : len(numbers)] for i, numbers in enumerate(ids)]
    return [states[i, : int((numbers[:, -1] == 0).sum())] for i, numbers in enumerate(ids)]
