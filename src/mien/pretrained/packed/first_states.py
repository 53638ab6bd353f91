"""The state of each text's first token alone: the last layer computes nothing else for it.

Its query meets the keys and values of all tokens of its text; what follows the attention sees one
row per text. It serves a model that reads nothing else of a text, ``cls`` without attention.
"""

from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from mien.pretrained.packed.packing import (
    CLOSE,
    PACKING,
    Packing,
    differ_by,
    draw_short_texts,
    first_position,
    name_types,
    pack,
    run_packed,
    unpack,
)
from mien.tensors import PaddedSeries, inferring

__all__ = ["can_end_in_first", "first_state", "run_to_first"]


def first_state(encoder: nn.Module, series: PaddedSeries) -> Float[Tensor, "B d"]:
    """Return the first state of each clip, from any encoder that gives the states of a series.

    One with a method ``first`` need not compute the others in full.
    """
    first = getattr(encoder, "first", None)
    states: Tensor = encoder(series)[:, 0] if first is None else first(series)
    return states


def can_end_in_first(backbone: nn.Module, *, is_cut: bool = False) -> bool:
    """Return whether ``run_to_first`` gives the states that a packable encoder's own layers give.

    It is tried on three short texts.

    Args:
        backbone: The encoder.
        is_cut: Whether it is the upper part of one, which reads states.
    """
    ids, mask = draw_short_texts(backbone)
    packing = pack(mask)
    given = ids.flatten()[packing.places]
    if is_cut:
        size = int(cast("Any", backbone).config.hidden_size)
        given = (given[:, None] * torch.arange(1, size + 1, device=given.device)).sin()
    try:
        with inferring(backbone):
            expected = run_packed(backbone, given, packing)[_firsts(packing)]
            computed = run_to_first(backbone, given, packing)[_rows(packing)]
    except (AttributeError, TypeError):  # an encoder that is put together in another way
        return False
    return differ_by(computed, expected) <= CLOSE


def run_to_first(
    backbone: nn.Module,
    values: Int[Tensor, "N"] | Float[Tensor, "N d"],
    packing: Packing,
    types: Int[Tensor, "N"] | None = None,
) -> Float[Tensor, "B d"]:
    """Return the state of the first token of each text; zero for one without a token.

    Args:
        backbone: An encoder for which ``can_end_in_first`` holds.
        values: The tokens of a batch, in the order of the packing, or states given in their place.
        packing: Which tokens belong together.
        types: Segment of each token, if there are two.
    """
    encoder = cast("Any", backbone)
    states = values.unsqueeze(0)
    if not values.is_floating_point():
        positions = (packing.steps + first_position(backbone)).unsqueeze(0)
        named = name_types(backbone, None if types is None else types.unsqueeze(0))
        states = encoder.embeddings(input_ids=states, position_ids=positions, **named)
        if hasattr(encoder, "embeddings_project"):
            states = encoder.embeddings_project(states)
    *below, last = encoder.encoder.layer
    for layer in below:
        states = layer(states, None, **{PACKING: packing})
    first = _run_last(last, states.squeeze(0), packing)
    placed = first.new_zeros(packing.shape[0], first.shape[1])
    return placed.index_copy(0, _rows(packing), first)


def _run_last(
    layer: Any,  # noqa: ANN401  # of any encoder with the parts of BERT
    states: Float[Tensor, "N d"],
    packing: Packing,
) -> Float[Tensor, "C d"]:
    """Return the first states of the texts that have one, in the order of the packing."""
    attention, rows = layer.attention.self, _rows(packing)
    heads = attention.num_attention_heads
    first = states[_firsts(packing)]
    shape = len(rows), packing.shape[1], heads, -1
    query = attention.query(first).view(len(rows), 1, heads, -1).transpose(1, 2)
    key, value = (
        unpack(linear(states), packing)[rows].view(*shape).transpose(1, 2)
        for linear in (attention.key, attention.value)
    )
    mask = torch.zeros(packing.shape, dtype=torch.bool, device=states.device)
    mask = mask.flatten().index_fill(0, packing.places, value=True).view(packing.shape)[rows]
    attended = F.scaled_dot_product_attention(
        query,
        key,
        value,
        mask[:, None, None],
        attention.dropout.p if attention.training else 0.0,
        scale=attention.scaling,
    )
    joined = layer.attention.output(attended.transpose(1, 2).flatten(1), first)
    result: Tensor = layer.output(layer.intermediate(joined), joined)
    return result


def _firsts(packing: Packing) -> Int[Tensor, "C"]:
    """Return the places, among all real steps, of the first ones."""
    lengths = torch.tensor([length for clips, length in packing.groups for _ in range(clips)])
    return (lengths.cumsum(0) - lengths).to(packing.places.device)


def _rows(packing: Packing) -> Int[Tensor, "C"]:
    """Return which texts of the batch have a step, in the order of the packing."""
    return packing.places[_firsts(packing)] // packing.shape[1]
