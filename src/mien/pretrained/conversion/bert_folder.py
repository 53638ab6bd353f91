"""A BERT encoder as a folder in Hugging Face's layout: sizes, names of weights, writing.

The files are written here rather than by the libraries that read them, for two reasons: the bytes
depend on the source alone and not on installed versions, so a converted model has a known sha256;
and weights pass one at a time, so a model need not fit in memory twice.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, model_validator

from mien.errors import AssetError
from mien.files.folders import FolderKind, staged
from mien.files.npy import append_array

__all__ = ["BertSizes", "staged_folder", "weight_shapes", "write_bert", "write_tokenizer"]

#: A converted model; it is never replaced.
_CONVERTED = FolderKind(
    "a converted model", lambda _: None, error=AssetError, remedy="remove it first"
)

ReadWeight = Callable[[str], Float[np.ndarray, "..."]]


class BertSizes(BaseModel):
    """What is written down about a BERT encoder; other things in its file are left out.

    Attributes:
        vocab_size: Rows of the table of word embeddings.
        hidden_size: Size of a state, H.
        num_hidden_layers: Layers.
        num_attention_heads: Heads of each layer; they divide ``hidden_size``.
        intermediate_size: Size inside the feed-forward part of a layer.
        max_position_embeddings: Longest sequence.
        type_vocab_size: Kinds of segments.
        hidden_act: Activation of the feed-forward part.
        hidden_dropout_prob: Dropout while training.
        attention_probs_dropout_prob: Dropout of attention weights while training.
        initializer_range: Standard deviation of new weights.
        layer_norm_eps: Added to the variance in layer normalisation.
        pad_token_id: Token that fills up shorter sequences.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    vocab_size: int = Field(ge=1, le=1 << 24)
    hidden_size: int = Field(ge=1, le=1 << 16)
    num_hidden_layers: int = Field(ge=1, le=1000)
    num_attention_heads: int = Field(ge=1, le=1 << 16)
    intermediate_size: int = Field(ge=1, le=1 << 20)
    max_position_embeddings: int = Field(ge=1, le=1 << 20)
    type_vocab_size: int = Field(ge=1, le=1 << 16)
    hidden_act: Literal["gelu", "relu", "tanh"] = "gelu"
    hidden_dropout_prob: float = Field(default=0.1, ge=0, lt=1)
    attention_probs_dropout_prob: float = Field(default=0.1, ge=0, lt=1)
    initializer_range: PositiveFloat = 0.02
    layer_norm_eps: PositiveFloat = 1e-12
    pad_token_id: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _heads_divide_state(self) -> "BertSizes":
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of "
                f"num_attention_heads {self.num_attention_heads}"
            )
        return self


def weight_shapes(
    sizes: BertSizes, *, pooler: Literal["with", "without"]
) -> dict[str, tuple[int, ...]]:
    """Return the weights of a BERT encoder, by the names that transformers gives them."""
    state, inner = sizes.hidden_size, sizes.intermediate_size
    shapes: dict[str, tuple[int, ...]] = {}

    def add_dense(name: str, size: int, input_size: int) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (size, input_size), (size,)

    def add_norm(name: str) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (state,), (state,)

    shapes["embeddings.word_embeddings.weight"] = (sizes.vocab_size, state)
    shapes["embeddings.position_embeddings.weight"] = (sizes.max_position_embeddings, state)
    shapes["embeddings.token_type_embeddings.weight"] = (sizes.type_vocab_size, state)
    add_norm("embeddings.LayerNorm")
    for number in range(sizes.num_hidden_layers):
        layer = f"encoder.layer.{number}"
        for part in ("query", "key", "value"):
            add_dense(f"{layer}.attention.self.{part}", state, state)
        add_dense(f"{layer}.attention.output.dense", state, state)
        add_norm(f"{layer}.attention.output.LayerNorm")
        add_dense(f"{layer}.intermediate.dense", inner, state)
        add_dense(f"{layer}.output.dense", state, inner)
        add_norm(f"{layer}.output.LayerNorm")
    if pooler == "with":
        add_dense("pooler.dense", state, state)
    return shapes


def write_bert(
    folder: Path, sizes: BertSizes, shapes: Mapping[str, tuple[int, ...]], read: ReadWeight
) -> None:
    """Write ``config.json`` and ``model.safetensors``.

    Args:
        folder: Where to.
        sizes: Sizes of the encoder.
        shapes: Shape of each weight, by name.
        read: Returns a weight by its name; it is called once for each, in order.

    Raises:
        ValueError: If a weight does not have the shape that was said.
    """
    config = {"architectures": ["BertModel"], "model_type": "bert", "dtype": "float32"}
    _write_json(folder / "config.json", config | sizes.model_dump(), indent=2)
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in shapes.items():
            weight = read(name)
            if weight.shape != shape:
                raise ValueError(f"{name} has shape {weight.shape}, {shape} was said")
            append_array(file, np.asarray(weight, dtype="<f4"))


def write_tokenizer(folder: Path, tokenizer: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Write ``tokenizer.json`` and ``tokenizer_config.json``."""
    values = {"version": "1.0", "truncation": None, "padding": None} | dict(tokenizer)
    _write_json(folder / "tokenizer.json", values, indent=None)
    _write_json(folder / "tokenizer_config.json", config, indent=2)


def _write_json(path: Path, values: Mapping[str, Any], *, indent: int | None) -> None:
    text = json.dumps(values, ensure_ascii=False, indent=indent) + "\n"
    path.write_text(text, encoding="utf-8", newline="\n")


def staged_folder(path: Path) -> AbstractContextManager[Path]:
    """Give a folder beside ``path`` to write into; it becomes ``path`` if the block succeeds.

    Raises:
        AssetError: If ``path`` exists.
        OutputError: If it cannot be written.
    """
    return staged(path, _CONVERTED, replace=False)
