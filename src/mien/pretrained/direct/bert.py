"""BERT encoders, built from their files by this package: transformers takes seconds to import.

Parameters have the names that transformers gives them, so that checkpoints fit either form, and
states, gradients and dropout are the same. ``encoder_files`` finds the folders that hold one.

Source: devlin2019.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from mien.pretrained.conversion.bert_folder import BertSizes
from mien.pretrained.packed.packing import Packing, attend
from mien.tensors import is_traced

__all__ = [
    "BertEncoder",
    "BertInner",
    "BertLayer",
    "BertResidual",
    "EncoderOutput",
    "attention_mask_of",
]

_ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "relu": F.relu,
    "tanh": torch.tanh,
}


class EncoderOutput(NamedTuple):
    """What an encoder returns, by the name that transformers has for it.

    Attributes:
        last_hidden_state: States of the last layer.
    """

    last_hidden_state: Float[Tensor, "B T d"]


class BertSelfAttention(nn.Module):
    """Queries, keys and values of all heads, and what is attended to."""

    def __init__(self, sizes: BertSizes) -> None:
        super().__init__()
        state = sizes.hidden_size
        self.query, self.key, self.value = (nn.Linear(state, state) for _ in range(3))
        self.dropout = nn.Dropout(sizes.attention_probs_dropout_prob)
        self.num_attention_heads = sizes.num_attention_heads
        self.scaling = (state // sizes.num_attention_heads) ** -0.5

    def forward(
        self,
        states: Float[Tensor, "B T d"],
        mask: Bool[Tensor, "B 1 T T"] | None,
        packing: Packing | None,
    ) -> Float[Tensor, "B T d"]:
        """Attend within each text."""
        heads = (*states.shape[:-1], self.num_attention_heads, -1)
        query, key, value = (
            part(states).view(heads).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        dropout = self.dropout.p if self.training else 0.0
        if packing is not None:
            attended = attend(query, key, value, packing, dropout=dropout, scaling=self.scaling)
        else:
            attended = F.scaled_dot_product_attention(
                query, key, value, mask, dropout, scale=self.scaling
            ).transpose(1, 2)
        return attended.reshape(states.shape)


class BertResidual(nn.Module):
    """A linear layer whose dropped-out output is added to what was there, and normalised."""

    def __init__(self, sizes: BertSizes, input_size: int) -> None:
        super().__init__()
        self.dense = nn.Linear(input_size, sizes.hidden_size)
        self.LayerNorm = nn.LayerNorm(sizes.hidden_size, eps=sizes.layer_norm_eps)
        self.dropout = nn.Dropout(sizes.hidden_dropout_prob)

    def forward(
        self, states: Float[Tensor, "*B _"], before: Float[Tensor, "*B d"]
    ) -> Float[Tensor, "*B d"]:
        """Return the states of the next part of a layer."""
        added: Tensor = self.LayerNorm(self.dropout(self.dense(states)) + before)
        return added


class BertAttention(nn.Module):
    """The attention of a layer, with its output."""

    def __init__(self, sizes: BertSizes) -> None:
        super().__init__()
        self.self = BertSelfAttention(sizes)
        self.output = BertResidual(sizes, sizes.hidden_size)

    def forward(
        self,
        states: Float[Tensor, "B T d"],
        mask: Bool[Tensor, "B 1 T T"] | None,
        packing: Packing | None,
    ) -> Float[Tensor, "B T d"]:
        """Return the states after attention."""
        attended: Tensor = self.output(self.self(states, mask, packing), states)
        return attended


class BertInner(nn.Module):
    """The first half of the feed-forward part of a layer."""

    def __init__(self, sizes: BertSizes) -> None:
        super().__init__()
        self.dense = nn.Linear(sizes.hidden_size, sizes.intermediate_size)
        self.activation = _ACTIVATIONS[sizes.hidden_act]

    def forward(self, states: Float[Tensor, "*B d"]) -> Float[Tensor, "*B i"]:
        """Return the inner states."""
        return self.activation(self.dense(states))


class BertLayer(nn.Module):
    """One layer: attention, then a feed-forward part.

    Args:
        sizes: Sizes of the encoder.
    """

    def __init__(self, sizes: BertSizes) -> None:
        super().__init__()
        self.attention = BertAttention(sizes)
        self.intermediate = BertInner(sizes)
        self.output = BertResidual(sizes, sizes.intermediate_size)

    def forward(
        self,
        states: Float[Tensor, "B T d"],
        mask: Bool[Tensor, "B 1 T T"] | None = None,
        *,
        packing: Packing | None = None,
    ) -> Float[Tensor, "B T d"]:
        """Return the states of the next layer.

        Args:
            states: Those of a padded batch, or of all real tokens of one in one row.
            mask: What each step may attend to; None for everything.
            packing: Where the real tokens belong, if they are in one row.
        """
        attended = self.attention(states, mask, packing)
        above: Tensor = self.output(self.intermediate(attended), attended)
        return above


class BertEmbeddings(nn.Module):
    """Tokens and their positions to the states that the first layer reads."""

    def __init__(self, sizes: BertSizes) -> None:
        super().__init__()
        state = sizes.hidden_size
        self.word_embeddings = nn.Embedding(sizes.vocab_size, state, padding_idx=sizes.pad_token_id)
        self.position_embeddings = nn.Embedding(sizes.max_position_embeddings, state)
        self.token_type_embeddings = nn.Embedding(sizes.type_vocab_size, state)
        self.LayerNorm = nn.LayerNorm(state, eps=sizes.layer_norm_eps)
        self.dropout = nn.Dropout(sizes.hidden_dropout_prob)

    def forward(
        self,
        input_ids: Int[Tensor, "B T"],
        position_ids: Int[Tensor, "_ T"],
        token_type_ids: Int[Tensor, "B T"] | None = None,
    ) -> Float[Tensor, "B T d"]:
        """Return the states below the first layer; by default all tokens are of the first type."""
        types = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        kinds = self.token_type_embeddings(types)
        words = self.word_embeddings(input_ids)
        states = words + kinds + self.position_embeddings(position_ids)
        dropped: Tensor = self.dropout(self.LayerNorm(states))
        return dropped


class BertLayers(nn.Module):
    """The layers, under the name that they have in files."""

    def __init__(self, sizes: BertSizes) -> None:
        super().__init__()
        self.layer = nn.ModuleList(BertLayer(sizes) for _ in range(sizes.num_hidden_layers))


class BertEncoder(nn.Module):
    """A BERT encoder without its pooler: token ids to states.

    It is called as models of transformers are, and takes a packing.

    Args:
        sizes: Its sizes, which it has as ``config``.
    """

    takes_packing = True

    def __init__(self, sizes: BertSizes) -> None:
        super().__init__()
        self.config = sizes
        self.embeddings = BertEmbeddings(sizes)
        self.encoder = BertLayers(sizes)

    def forward(
        self,
        input_ids: Int[Tensor, "B T"] | None = None,
        attention_mask: Int[Tensor, "B T"] | None = None,
        position_ids: Int[Tensor, "_ T"] | None = None,
        inputs_embeds: Float[Tensor, "B T d"] | None = None,
        packing: Packing | None = None,
        token_type_ids: Int[Tensor, "B T"] | None = None,
    ) -> EncoderOutput:
        """Return the states; those at padding have no meaning.

        Args:
            input_ids: Token ids; None if states are given.
            attention_mask: 1 at real tokens; None if all are.
            position_ids: Position of each token; by default counted from 0.
            inputs_embeds: States to go on from in place of token ids: what the first layer reads.
            packing: Where the tokens belong, if all of a batch are in one row.
            token_type_ids: Segment of each token, 0 or 1; by default all are of the first.

        Raises:
            ValueError: If there are more tokens than positions, or neither ids nor states.
        """
        mask = None if attention_mask is None else attention_mask_of(attention_mask.bool())
        states = inputs_embeds
        if states is None:
            states = self._embed(input_ids, position_ids, token_type_ids)
        for layer in self.encoder.layer:
            states = layer(states, mask, packing=packing)
        return EncoderOutput(states)

    def _embed(
        self,
        input_ids: Int[Tensor, "B T"] | None,
        position_ids: Int[Tensor, "_ T"] | None,
        token_type_ids: Int[Tensor, "B T"] | None,
    ) -> Float[Tensor, "B T d"]:
        if input_ids is None:
            raise ValueError("neither token ids nor states are given")
        steps = input_ids.shape[1]
        if position_ids is None:
            if steps > self.config.max_position_embeddings:
                raise ValueError(
                    f"{steps} tokens, the encoder has {self.config.max_position_embeddings} "
                    "positions"
                )
            position_ids = torch.arange(steps, device=input_ids.device).unsqueeze(0)
        states: Tensor = self.embeddings(input_ids, position_ids, token_type_ids)
        return states


def attention_mask_of(mask: Bool[Tensor, "B T"]) -> Bool[Tensor, "B 1 T T"] | None:
    """Return what each step may attend to; None where that is everything.

    A traced graph is for all masks, so that it always has one.
    """
    if not is_traced() and bool(mask.all()):
        return None
    return mask[:, None, None, :].expand(-1, 1, mask.shape[1], -1)
