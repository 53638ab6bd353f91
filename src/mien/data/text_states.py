"""States of texts after the first layers of a pretrained encoder, computed ahead."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mien.files.npy import append_array, write_header
from mien.pretrained.text_encoder import TokenEncoder, load_bottom, load_settings
from mien.tensors import PaddedSeries, pad

__all__ = ["compute_states", "states_of"]

logger = logging.getLogger(__name__)

_CHUNK = 64  # texts encoded at once


@torch.no_grad()
def compute_states(
    values: Int[np.ndarray, "_ 1"],
    offsets: Int[np.ndarray, "_"],
    source: Path | str,
    layer: int,
    path: Path,
) -> None:
    """Write the states of all texts after ``layer`` layers, end to end, as one NumPy file.

    Args:
        values: Token ids of all texts, end to end.
        offsets: Where each text begins, and where the last one ends.
        source: Folder of the encoder, or its name on a hub.
        layer: Layers after which the states are taken.
        path: The file, ``(steps, size of a state)``, float32.
    """
    bottom = load_bottom(source, layer)
    shape = (len(values), int(load_settings(source).hidden_size))
    lengths = np.diff(offsets)
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] > 0]
    logger.info("computing text states once: %d clips", len(order))
    with path.open("wb") as file:  # not mapped: on a full disk that would end the process
        first = write_header(file, "float32", shape)
        for start in range(0, len(order), _CHUNK):
            rows = order[start : start + _CHUNK].tolist()
            ids = [values[offsets[row] : offsets[row + 1]] for row in rows]
            for row, states in zip(rows, states_of(bottom, ids), strict=True):
                file.seek(first + int(offsets[row]) * shape[1] * np.float32().itemsize)
                append_array(file, states.numpy())


def states_of(
    bottom: TokenEncoder, ids: Sequence[Int[np.ndarray, "_ 1"]]
) -> list[Float[Tensor, "_ d"]]:
    """Return the states of some texts, each ``(T, d)``, from their token ids, each ``(T, 1)``."""
    device = next(bottom.parameters()).device
    padded = pad([torch.from_numpy(np.array(numbers)) for numbers in ids])
    states = bottom(PaddedSeries(*(part.to(device) for part in padded)))
    return [states[i, : len(numbers)] for i, numbers in enumerate(ids)]
