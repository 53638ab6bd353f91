"""MPNet encoders, built from their files by this package: transformers takes seconds to import.

They are BERT's but for two things: there are no segments, and a bias that depends on how far two
tokens are apart is added to every product of a query and a key, the same in all layers. Parameters
have the names that transformers gives them, and states, gradients and dropout are the same.

Source: song2020; the bias is that of raffel2020.
"""

import math
from typing import Final, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn

from mien.pretrained.conversion.bert_folder import BertSizes
from mien.pretrained.direct.bert import BertInner, BertResidual, EncoderOutput
from mien.pretrained.packed.packing import Packing, attend
from mien.tensors import is_traced

__all__ = ["MpnetEncoder", "MpnetSizes"]

#: The token that fills up shorter texts; positions count from the one behind it.
_PADDING: Final = 1
_BUCKETS: Final = 32  # distances that are told apart, half of them backwards
_FARTHEST: Final = 128  # from this distance on, all are alike


class MpnetSizes(BertSizes):
    """What is written down about an MPNet encoder, as in ``BertSizes``.

    Attributes:
        relative_attention_num_buckets: Distances that are told apart.
    """

    type_vocab_size: Literal[1] = 1
    pad_token_id: Literal[1] = _PADDING
    max_position_embeddings: int = Field(default=512, ge=_PADDING + 2, le=1 << 20)
    relative_attention_num_buckets: Literal[32] = _BUCKETS


class MpnetSelfAttention(nn.Module):
    """Queries, keys and values of all heads, what is attended to, and its output."""

    def __init__(self, sizes: MpnetSizes) -> None:
        super().__init__()
        state = sizes.hidden_size
        self.q, self.k, self.v, self.o = (nn.Linear(state, state) for _ in range(4))
        self.dropout = nn.Dropout(sizes.attention_probs_dropout_prob)
        self.num_attention_heads = sizes.num_attention_heads

    def forward(
        self,
        states: Float[Tensor, "B N d"],
        bias: Float[Tensor, "_ H T T"],
        packing: Packing | None,
    ) -> Float[Tensor, "B N d"]:
        """Attend within each text."""
        heads = (*states.shape[:-1], self.num_attention_heads, -1)
        query, key, value = (
            part(states).view(heads).transpose(1, 2) for part in (self.q, self.k, self.v)
        )
        dropout = self.dropout.p if self.training else 0.0
        if packing is not None:
            attended = attend(query, key, value, packing, dropout=dropout, bias=bias[0])
        else:
            attended = F.scaled_dot_product_attention(query, key, value, bias, dropout).transpose(
                1, 2
            )
        projected: Tensor = self.o(attended.reshape(states.shape))
        return projected


class MpnetAttention(nn.Module):
    """The attention of a layer, added to what was there, and normalised."""

    def __init__(self, sizes: MpnetSizes) -> None:
        super().__init__()
        self.attn = MpnetSelfAttention(sizes)
        self.LayerNorm = nn.LayerNorm(sizes.hidden_size, eps=sizes.layer_norm_eps)
        self.dropout = nn.Dropout(sizes.hidden_dropout_prob)

    def forward(
        self,
        states: Float[Tensor, "B N d"],
        bias: Float[Tensor, "_ H T T"],
        packing: Packing | None,
    ) -> Float[Tensor, "B N d"]:
        """Return the states after attention."""
        attended: Tensor = self.LayerNorm(self.dropout(self.attn(states, bias, packing)) + states)
        return attended


class MpnetLayer(nn.Module):
    """One layer: attention, then a feed-forward part."""

    def __init__(self, sizes: MpnetSizes) -> None:
        super().__init__()
        self.attention = MpnetAttention(sizes)
        self.intermediate = BertInner(sizes)
        self.output = BertResidual(sizes, sizes.intermediate_size)

    def forward(
        self,
        states: Float[Tensor, "B N d"],
        bias: Float[Tensor, "_ H T T"],
        *,
        packing: Packing | None = None,
    ) -> Float[Tensor, "B N d"]:
        """Return the states of the next layer.

        Args:
            states: Those of a padded batch, or of all real tokens of one in one row.
            bias: What is added to the products of queries and keys; minus infinity at padding.
            packing: Where the real tokens belong, if they are in one row.
        """
        attended = self.attention(states, bias, packing)
        above: Tensor = self.output(self.intermediate(attended), attended)
        return above


class MpnetEmbeddings(nn.Module):
    """Tokens and their positions to the states that the first layer reads."""

    def __init__(self, sizes: MpnetSizes) -> None:
        super().__init__()
        state = sizes.hidden_size
        self.padding_idx = _PADDING
        self.word_embeddings = nn.Embedding(sizes.vocab_size, state, padding_idx=_PADDING)
        self.position_embeddings = nn.Embedding(
            sizes.max_position_embeddings, state, padding_idx=_PADDING
        )
        self.LayerNorm = nn.LayerNorm(state, eps=sizes.layer_norm_eps)
        self.dropout = nn.Dropout(sizes.hidden_dropout_prob)

    def create_position_ids_from_input_ids(
        self, input_ids: Int[Tensor, "B T"]
    ) -> Int[Tensor, "B T"]:
        """Return the position of each token; padding is no token, and has the padding's."""
        is_token = (input_ids != self.padding_idx).long()
        return is_token.cumsum(dim=1) * is_token + self.padding_idx

    def forward(
        self, input_ids: Int[Tensor, "B T"], position_ids: Int[Tensor, "_ T"] | None = None
    ) -> Float[Tensor, "B T d"]:
        """Return the states below the first layer."""
        if position_ids is None:
            position_ids = self.create_position_ids_from_input_ids(input_ids)
        states = self.word_embeddings(input_ids) + self.position_embeddings(position_ids)
        dropped: Tensor = self.dropout(self.LayerNorm(states))
        return dropped


class MpnetLayers(nn.Module):
    """The layers and what they share, under the names that they have in files."""

    def __init__(self, sizes: MpnetSizes) -> None:
        super().__init__()
        self.layer = nn.ModuleList(MpnetLayer(sizes) for _ in range(sizes.num_hidden_layers))
        self.relative_attention_bias = nn.Embedding(_BUCKETS, sizes.num_attention_heads)

    def bias(self, steps: int) -> Float[Tensor, "1 H T T"]:
        """Return what is added to the product of the query of one step and the key of another."""
        numbers = torch.arange(steps, device=self.relative_attention_bias.weight.device)
        buckets = _find_buckets(numbers[None, :] - numbers[:, None])
        values: Tensor = self.relative_attention_bias(buckets)  # (T, T, H)
        return values.permute(2, 0, 1).unsqueeze(0)


def _find_buckets(apart: Int[Tensor, "T S"]) -> Int[Tensor, "T S"]:
    """Return the number of each distance: near ones have their own, far ones share by logarithm.

    >>> _find_buckets(torch.tensor([[0, -3, 3, -300, 300]]))
    tensor([[ 0,  3, 19, 15, 31]])
    """
    half = _BUCKETS // 2
    near = half // 2
    distance = apart.abs()
    scale = (half - near) / math.log(_FARTHEST / near)
    far = near + (torch.log(distance.float() / near) * scale).clamp(min=0).long()
    number = torch.where(distance < near, distance, far.clamp(max=half - 1))
    return number + half * (apart > 0).long()


class MpnetEncoder(nn.Module):
    """An MPNet encoder without its pooler: token ids to states.

    It is called as models of transformers are, and takes a packing.

    Args:
        sizes: Its sizes, which it has as ``config``.
    """

    takes_packing = True

    def __init__(self, sizes: MpnetSizes) -> None:
        super().__init__()
        self.config = sizes
        self.embeddings = MpnetEmbeddings(sizes)
        self.encoder = MpnetLayers(sizes)

    def forward(
        self,
        input_ids: Int[Tensor, "B N"] | None = None,
        attention_mask: Int[Tensor, "B T"] | None = None,
        position_ids: Int[Tensor, "_ N"] | None = None,
        inputs_embeds: Float[Tensor, "B N d"] | None = None,
        packing: Packing | None = None,
    ) -> EncoderOutput:
        """Return the states; those at padding have no meaning.

        Args:
            input_ids: Token ids; None if states are given.
            attention_mask: 1 at real tokens; None if all are.
            position_ids: Position of each token; by default counted from the one behind padding's.
            inputs_embeds: States to go on from in place of token ids: what the first layer reads.
            packing: Where the tokens belong, if all of a batch are in one row.

        Raises:
            ValueError: If there are more tokens than positions, or neither ids nor states.
        """
        states = inputs_embeds
        if states is None:
            states = self._embed(input_ids, position_ids)
        steps = states.shape[1] if packing is None else packing.shape[1]
        bias = _hide(self.encoder.bias(steps), attention_mask)
        for layer in self.encoder.layer:
            states = layer(states, bias, packing=packing)
        return EncoderOutput(states)

    def _embed(
        self, input_ids: Int[Tensor, "B N"] | None, position_ids: Int[Tensor, "_ N"] | None
    ) -> Float[Tensor, "B N d"]:
        if input_ids is None:
            raise ValueError("neither token ids nor states are given")
        most = self.config.max_position_embeddings - _PADDING - 1
        if position_ids is None and input_ids.shape[1] > most:
            raise ValueError(f"{input_ids.shape[1]} tokens, the encoder has {most} positions")
        states: Tensor = self.embeddings(input_ids, position_ids)
        return states


def _hide(
    bias: Float[Tensor, "1 H T T"], mask: Int[Tensor, "B T"] | None
) -> Float[Tensor, "_ H T T"]:
    """Return the bias with minus infinity where a step may not attend to.

    A traced graph is for all masks, so that it always has them.
    """
    if mask is None or (not is_traced() and bool(mask.all())):
        return bias
    allowed: Bool[Tensor, "B 1 1 T"] = mask.bool()[:, None, None, :]
    return bias.masked_fill(~allowed, float("-inf"))
