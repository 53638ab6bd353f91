"""Texts of a batch end to end, without padding, through the layers of a pretrained encoder.

Linear layers, normalisation and dropout see one row of all real tokens; attention alone knows where
a text begins and ends. transformers looks its attention up by name for every layer and hands on
what it is called with, so that the layers themselves stay as they are.

Source: computing on no padding is the packed (variable-length) form of flash attention, Dao et al.
2022, arXiv:2205.14135; on a CPU, where there is none, texts of one length are attended together.
"""

import logging
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor, nn

from mien.tensors import inferring

__all__ = [
    "CLOSE",
    "PACKING",
    "Packing",
    "attend",
    "attend_by_length",
    "attend_padded",
    "cut_by_length",
    "differ_by",
    "draw_short_texts",
    "first_position",
    "make_packable",
    "name_types",
    "pack",
    "run_in_chunks",
    "run_packed",
    "unpack",
]

logger = logging.getLogger(__name__)

#: Argument under which an encoder's layers hand the packing on to their attention.
PACKING = "packing"

_PACKED = "mien_packed"  # name of the attention among those of transformers
#: By how much states of another form of an encoder may differ (``differ_by``) for it to be used.
CLOSE = 1e-4
_CHUNK_COST = 64  # padded tokens that cost as much as one more pass through the layers


class Packing(NamedTuple):
    """Where the real steps of a padded batch are, clips of one length beside each other.

    Attributes:
        places: Place of each real step in the flattened batch, ``row * T + step``.
        groups: How many clips there are of which number of steps, in the order of ``places``.
        shape: B and T of the padded batch.
    """

    places: Int[Tensor, "N"]
    groups: tuple[tuple[int, int], ...]
    shape: tuple[int, int]

    @property
    def steps(self) -> Int[Tensor, "N"]:
        """Step of each real step in its clip."""
        return self.places % self.shape[1]


def pack(mask: Bool[Tensor, "B T"]) -> Packing:
    """Find the real steps of a batch; a clip without one is left out.

    >>> pack(torch.tensor([[True, True], [True, False], [False, False]]))
    Packing(places=tensor([2, 0, 1]), groups=((1, 1), (1, 2)), shape=(3, 2))
    """
    counts = mask.sum(dim=1)
    order = counts.argsort(stable=True)
    rows, steps = mask[order].nonzero(as_tuple=True)
    groups = sorted(Counter(counts.tolist()).items())
    return Packing(
        places=order[rows] * mask.shape[1] + steps,
        groups=tuple((clips, length) for length, clips in groups if length > 0),
        shape=(mask.shape[0], mask.shape[1]),
    )


def unpack(states: Float[Tensor, "N d"], packing: Packing) -> Float[Tensor, "B T d"]:
    """Return the states of a padded batch, zero at padding."""
    num_clips, num_steps = packing.shape
    padded = states.new_zeros(num_clips * num_steps, states.shape[1])
    return padded.index_copy(0, packing.places, states).view(num_clips, num_steps, -1)


def attend(
    query: Float[Tensor, "1 H N d"],
    key: Float[Tensor, "1 H N d"],
    value: Float[Tensor, "1 H N d"],
    packing: Packing,
    *,
    dropout: float = 0.0,
    scaling: float | None = None,
    window: int | None = None,
    bias: Float[Tensor, "H T T"] | None = None,
) -> Float[Tensor, "1 N H d"]:
    """Attend within each clip, in the form that is fastest where the states are.

    Arguments are those of ``attend_by_length``.
    """
    how = attend_by_length if query.device.type == "cpu" else attend_padded
    return how(
        query, key, value, packing, dropout=dropout, scaling=scaling, window=window, bias=bias
    )


def attend_by_length(
    query: Float[Tensor, "1 H N d"],
    key: Float[Tensor, "1 H N d"],
    value: Float[Tensor, "1 H N d"],
    packing: Packing,
    *,
    dropout: float = 0.0,
    scaling: float | None = None,
    window: int | None = None,
    bias: Float[Tensor, "H T T"] | None = None,
) -> Float[Tensor, "1 N H d"]:
    """Attend within each clip, clips of one length at a time: nothing is computed at padding.

    Args:
        query: Queries of all heads at all real steps.
        key: Keys.
        value: Values.
        packing: Which steps belong together.
        dropout: Share of the weights that is dropped.
        scaling: Factor of the products; by default one over the root of d.
        window: Number of steps from which on two steps do not see each other.
        bias: Added to the product of the query of one step and the key of another of its clip.
    """
    heads, _, size = query.shape[1:]
    steps = [clips * length for clips, length in packing.groups]
    parts = (torch.split(tensor[0], steps, dim=1) for tensor in (query, key, value))
    attended = []
    numbers = torch.split(packing.steps, steps)
    for (clips, length), number, *part in zip(packing.groups, numbers, *parts, strict=True):
        q, k, v = (tensor.view(heads, clips, length, size).transpose(0, 1) for tensor in part)
        number = number.view(clips, length)
        near = None if window is None else _near(number.unsqueeze(1), window)
        seen = _join(near, None if bias is None else _pick(bias, number))
        result = F.scaled_dot_product_attention(q, k, v, seen, dropout, scale=scaling)
        attended.append(result.transpose(1, 2).reshape(clips * length, heads, size))
    return torch.cat(attended).unsqueeze(0)


def attend_padded(
    query: Float[Tensor, "1 H N d"],
    key: Float[Tensor, "1 H N d"],
    value: Float[Tensor, "1 H N d"],
    packing: Packing,
    *,
    dropout: float = 0.0,
    scaling: float | None = None,
    window: int | None = None,
    bias: Float[Tensor, "H T T"] | None = None,
) -> Float[Tensor, "1 N H d"]:
    """Attend within each clip, all clips at once, padded for the length of this operation.

    It is what a device with thousands of cores does faster than many small operations; what is
    padded is a small share of a layer's work. Arguments are those of ``attend_by_length``.
    """
    num_clips, num_steps = packing.shape
    heads, _, size = query.shape[1:]
    real = torch.zeros(num_clips * num_steps, dtype=torch.bool, device=query.device)
    real = real.index_fill(0, packing.places, value=True).view(num_clips, 1, 1, num_steps)
    mask = real | ~real.any(dim=3, keepdim=True)  # a softmax over nothing would be NaN
    if window is not None:
        mask = mask & _near(torch.arange(num_steps, device=query.device), window)
    q, k, v = (
        unpack(tensor[0].transpose(0, 1).flatten(1), packing)
        .view(num_clips, num_steps, heads, size)
        .transpose(1, 2)
        for tensor in (query, key, value)
    )
    seen = _join(mask, bias)
    result = F.scaled_dot_product_attention(q, k, v, seen, dropout, scale=scaling)
    return result.transpose(1, 2).flatten(0, 1)[packing.places].unsqueeze(0)


def _join(
    mask: Bool[Tensor, "*B _ T"] | None, bias: Float[Tensor, "*C T T"] | None
) -> Tensor | None:
    """Return what is added to products, minus infinity where nothing may be seen; or the mask."""
    if mask is None or bias is None:
        return mask if bias is None else bias
    return torch.where(mask, bias, float("-inf"))


def _pick(bias: Float[Tensor, "H _ _"], steps: Int[Tensor, "C T"]) -> Float[Tensor, "*C H T T"]:
    """Return the bias between the steps of each clip; one for all where these are the first."""
    length = steps.shape[1]
    if bool((steps == torch.arange(length, device=steps.device)).all()):
        return bias[:, :length, :length]
    return bias[:, steps.unsqueeze(2), steps.unsqueeze(1)].transpose(0, 1)


def _near(steps: Int[Tensor, "*B T"], window: int) -> Bool[Tensor, "*B T T"]:
    """Return which steps see each other."""
    return (steps.unsqueeze(-1) - steps.unsqueeze(-2)).abs() < window


def make_packable(backbone: nn.Module) -> bool:
    """Prepare an encoder for ``run_packed``, if it computes the same in that form.

    Encoders of this package take a packing. One of transformers is tried on three short texts; if
    it cannot be packed it is left as it was.

    Returns:
        Whether it can be packed.
    """
    if getattr(backbone, "takes_packing", False):
        return True
    if not getattr(backbone, "_supports_attention_backend", False):
        return False
    _register()
    encoder = cast("Any", backbone)
    before = encoder.config._attn_implementation  # noqa: SLF001  # as a model's layers read it
    encoder.set_attn_implementation(_PACKED)
    try:
        reason = _compare(encoder)
    except (IndexError, RuntimeError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
    if reason:
        encoder.set_attn_implementation(before)
        logger.info("%s computes its padding too (%s)", type(backbone).__name__, reason)
    return not reason


def _compare(backbone: Any) -> str:  # noqa: ANN401  # of any class of transformers
    """Return how an encoder's packed form differs from the padded one; nothing if it does not."""
    ids, mask = draw_short_texts(backbone)
    packing = pack(mask)
    with inferring(backbone):
        padded = backbone(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        packed = unpack(run_packed(backbone, ids.flatten()[packing.places], packing), packing)
    difference = differ_by(packed[mask], padded[mask])
    return "" if difference <= CLOSE else f"packed, its states differ by {difference:.1g}"


def differ_by(states: Float[Tensor, "*B d"], expected: Float[Tensor, "*B d"]) -> float:
    """Return by how much states differ from those that are expected, in units of their size."""
    return float((states - expected).abs().max() / expected.abs().max())


def draw_short_texts(
    backbone: Any,  # noqa: ANN401
) -> tuple[Int[Tensor, "3 T"], Bool[Tensor, "3 T"]]:
    """Return token ids and mask of three short texts, to try two forms of an encoder on."""
    config = backbone.config
    device = next(backbone.parameters()).device
    window = getattr(config, "sliding_window", None)
    lengths = torch.tensor([2, 9, 5 if window is None else window + 5], device=device)
    mask = torch.arange(int(lengths.max()), device=device) < lengths.unsqueeze(1)
    ids = (torch.arange(mask.numel(), device=device) * 7919 + 11).view(mask.shape)
    ids = ids % config.vocab_size
    return ids.masked_fill(ids == (config.pad_token_id or 0), config.vocab_size - 1), mask


def run_packed(
    backbone: nn.Module,
    values: Int[Tensor, "N"] | Float[Tensor, "N d"],
    packing: Packing,
    types: Int[Tensor, "N"] | None = None,
) -> Float[Tensor, "N d"]:
    """Return the states of all real tokens of a batch, from an encoder made packable.

    Args:
        backbone: The encoder.
        values: Its tokens, in the order of the packing, or states that are given in their place.
        packing: Which tokens belong together.
        types: Segment of each token, if there are two.
    """
    read = "inputs_embeds" if values.is_floating_point() else "input_ids"
    states: Tensor = backbone(
        **{read: values.unsqueeze(0)},
        position_ids=(packing.steps + first_position(backbone)).unsqueeze(0),
        **{PACKING: packing},
        **name_types(backbone, None if types is None else types.unsqueeze(0)),
    ).last_hidden_state
    return states.squeeze(0)


def name_types(backbone: nn.Module, types: Int[Tensor, "*B"] | None) -> dict[str, Tensor]:
    """Return the segment of each token as an encoder's argument; none if it tells no segments."""
    if types is None:
        return {}
    num_types: int = getattr(cast("Any", backbone).config, "type_vocab_size", None) or 0
    return {"token_type_ids": types} if num_types > 1 else {}


def first_position(backbone: nn.Module) -> int:
    """Return the number of a text's first position: RoBERTa and its kin count behind the padding's.

    It is how transformers numbers them where it is not given positions.
    """
    embeddings: Any = getattr(backbone, "embeddings", None)
    if hasattr(embeddings, "create_position_ids_from_input_ids"):
        return int(embeddings.padding_idx) + 1
    return 0


@cache
def _register() -> None:
    """Make the packed attention known to transformers, with the mask of its ordinary one."""
    from transformers import AttentionInterface  # takes seconds
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    def attend_packed(
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        *,
        dropout: float = 0.0,
        scaling: float | None = None,
        packing: Packing | None = None,
        **others: Any,  # noqa: ANN401  # what a model's layers hand on
    ) -> tuple[Tensor, None]:
        """Attend as ``scaled_dot_product_attention`` does, within each text of a packed row."""
        if packing is None:
            attended: tuple[Tensor, None] = sdpa_attention_forward(
                module,
                query,
                key,
                value,
                attention_mask,
                dropout=dropout,
                scaling=scaling,
                **others,
            )
            return attended
        if others.get("position_bias") is not None or key.shape[1] != query.shape[1]:
            raise TypeError("its attention has biases, or heads that share keys")
        window = others.get("sliding_window")
        return attend(
            query, key, value, packing, dropout=dropout, scaling=scaling, window=window
        ), None

    AttentionInterface.register(_PACKED, attend_packed)
    AttentionMaskInterface.register(_PACKED, sdpa_mask)


def cut_by_length(lengths: list[int]) -> list[int]:
    """Return of how many clips, by ascending lengths, each chunk is that is padded for itself.

    Longer chunks are padded more, and each costs a pass through the layers; this cut is cheapest.

    >>> cut_by_length([5, 5, 6, 90])
    [3, 1]
    """
    cheapest, first = [0], [0]
    for end in range(1, len(lengths) + 1):
        costs = [
            cheapest[start] + (end - start) * lengths[end - 1] + _CHUNK_COST for start in range(end)
        ]
        cheapest.append(min(costs))
        first.append(costs.index(cheapest[-1]))
    sizes: list[int] = []
    end = len(lengths)
    while end:
        sizes.append(end - first[end])
        end = first[end]
    return sizes[::-1]


def run_in_chunks(
    run: Callable[[Num[Tensor, "B T *D"], Bool[Tensor, "B T"]], Float[Tensor, "B T d"]],
    values: Num[Tensor, "B T *D"],
    mask: Bool[Tensor, "B T"],
) -> Float[Tensor, "B T d"]:
    """Run layers on clips of like length at a time, for an encoder that cannot be packed.

    Args:
        run: The layers, from values and mask to states.
        values: What they read.
        mask: True at real steps.
    """
    num_steps = mask.shape[1]
    ends = (mask * torch.arange(1, num_steps + 1, device=mask.device)).amax(dim=1)
    order = ends.argsort(stable=True)
    lengths = ends[order].clamp(min=1).tolist()
    states, done = [], 0
    for rows in torch.split(order, cut_by_length(lengths)):
        done += len(rows)
        longest = lengths[done - 1]
        part = run(values[rows, :longest], mask[rows, :longest])
        states.append(F.pad(part, (0, 0, 0, num_steps - longest)))
    return torch.cat(states)[order.argsort()]
