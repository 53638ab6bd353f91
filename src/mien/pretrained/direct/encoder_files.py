"""Which encoders are read by this package, and their weights.

A folder is read here if its ``config.json`` says ``model_type`` ``bert`` or ``mpnet`` and nothing
that only transformers computes, and its weights are one ``model.safetensors``; all other encoders
are transformers' own.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import safe_open
from torch import nn

from mien.errors import AssetError
from mien.files.reading import parse_json, read_limited, require_regular
from mien.pretrained.conversion.bert_folder import BertSizes
from mien.pretrained.direct.bert import BertEncoder
from mien.pretrained.direct.mpnet import MpnetEncoder, MpnetSizes
from mien.tensors import without_numbers

__all__ = ["load_encoder", "read_sizes"]

_LARGEST_CONFIG = 1_000_000  # bytes
#: Settings of others than plain encoders, with the value that leaves one plain.
_PLAIN: Mapping[str, Any] = {
    "is_decoder": False,
    "add_cross_attention": False,
    "is_encoder_decoder": False,
    "position_embedding_type": "absolute",
    "quantization_config": None,
}
#: Sizes of an encoder by its ``model_type``.
_KINDS: Mapping[str, type[BertSizes]] = {"bert": BertSizes, "mpnet": MpnetSizes}
#: What the files of models with a head have before the names of the encoder's weights.
_PREFIXES = ("", "bert.", "mpnet.")
#: Earlier names of a norm's parameters, as in files converted from TensorFlow.
_EARLIER = {"weight": "gamma", "bias": "beta"}


def read_sizes(source: Path | str) -> BertSizes | None:
    """Return the sizes of an encoder that is read here; None if it is for transformers to read.

    Args:
        source: A folder, or a name on a hub, which transformers resolves.

    Raises:
        AssetError: If a file of the folder is not a regular one.
    """
    if isinstance(source, str) or not (source / "model.safetensors").exists():
        return None
    require_regular(source, AssetError)
    try:
        text = read_limited(source / "config.json", AssetError, most=_LARGEST_CONFIG)
        config = parse_json(text, source, AssetError)
    except AssetError:
        return None  # transformers reports what is wrong with it
    kind = _KINDS.get(str(config.get("model_type"))) if isinstance(config, dict) else None
    if kind is None or any(config.get(name, value) != value for name, value in _PLAIN.items()):
        return None
    try:
        return kind.model_validate(config)
    except ValidationError:
        return None  # other activations, for example


def load_encoder(folder: Path, sizes: BertSizes) -> BertEncoder | MpnetEncoder:
    """Load an encoder in float32, which drops nothing until it is set to train.

    Raises:
        SafetensorError: If the file is damaged.
        KeyError: If it lacks weights.
        ValueError: If weights have another shape.
    """
    with without_numbers():
        encoder = MpnetEncoder(sizes) if isinstance(sizes, MpnetSizes) else BertEncoder(sizes)
    _fill(encoder, folder)
    return encoder.eval()


def _fill(module: nn.Module, folder: Path) -> None:
    """Give a module its weights."""
    expected = {name: tensor.shape for name, tensor in module.state_dict().items()}
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        there = frozenset(file.keys())
        names = {name: _find_name(there, name) for name in expected}
        lacking = [name for name, at in names.items() if at is None]
        if lacking:
            raise KeyError(lacking)
        weights = {name: file.get_tensor(at) for name, at in names.items() if at is not None}
    for name, weight in weights.items():
        if weight.shape != expected[name]:
            raise ValueError(
                f"{name} has shape {tuple(weight.shape)}, config.json says {tuple(expected[name])}"
            )
    module.load_state_dict({name: weight.float() for name, weight in weights.items()}, assign=True)


def _find_name(there: Collection[str], name: str) -> str | None:
    """Return the name of a weight in a file; None if it is not there."""
    module, _, parameter = name.rpartition(".")
    earlier = f"{module}.{_EARLIER[parameter]}" if module.endswith("LayerNorm") else name
    candidates = (prefix + own for prefix in _PREFIXES for own in (name, earlier))
    return next((candidate for candidate in candidates if candidate in there), None)
