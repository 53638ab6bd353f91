"""Weights, label banks and settings in one file, without pickle: safetensors with a JSON header."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mien.errors import CheckpointError
from mien.files import written_beside

__all__ = [
    "add_to_header",
    "join_states",
    "load_weights",
    "read_header",
    "read_tensors",
    "split_states",
    "write_tensors",
]

_KEY = "mien"
_OS_ERROR = re.compile(r"\(os error (\d+)\)")  # how Rust names an error of the system


def write_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write tensors and a JSON header as one safetensors file, beside ``path`` and renamed.

    Raises:
        OutputError: If it cannot be written.
    """
    ready = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
    metadata = {_KEY: json.dumps(dict(header))}
    with written_beside(path) as file:
        try:
            save_file(ready, file, metadata=metadata)
        except SafetensorError as error:
            raise _as_os_error(error, file) from error


def _as_os_error(error: SafetensorError, path: Path) -> OSError | SafetensorError:
    """Return what the system said, if that is why a file was not written."""
    number = _OS_ERROR.search(str(error))
    if number is None:
        return error
    return OSError(int(number[1]), os.strerror(int(number[1])), str(path))


def add_to_header(path: Path, facts: Mapping[str, Any]) -> None:
    """Write further facts into the header of a checkpoint; the tensors stay as they are."""
    write_tensors(path, read_tensors(path), {**read_header(path), **facts})


def read_header(path: Path) -> dict[str, Any]:
    """Read the JSON header alone.

    Raises:
        CheckpointError: If the file is not there, is damaged, or is not a checkpoint of mien.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except FileNotFoundError:
        raise CheckpointError(f"{path}: is not there") from None
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: is damaged or not safetensors ({error})") from error
    try:
        header = json.loads(metadata[_KEY])
    except (KeyError, ValueError):
        raise CheckpointError(f"{path}: is not a checkpoint of mien") from None
    if not isinstance(header, dict):
        raise CheckpointError(f"{path}: is not a checkpoint of mien")
    return header


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read all tensors of a checkpoint.

    Raises:
        CheckpointError: If the file is not there or is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # no mapping
    except FileNotFoundError:
        raise CheckpointError(f"{path}: is not there") from None
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: is damaged or not safetensors ({error})") from error


def join_states(modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """Return the parameters and buffers of several modules under ``NAME/...``."""
    return {
        f"{n}/{key}": t for n, module in modules.items() for key, t in module.state_dict().items()
    }


def split_states(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Return the tensors that were joined under ``name``."""
    return {k.removeprefix(f"{name}/"): t for k, t in tensors.items() if k.startswith(f"{name}/")}


def load_weights(module: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Load a state that must fit ``module`` exactly.

    Raises:
        CheckpointError: If a tensor is missing, left over, or has another shape.
    """
    own = module.state_dict()
    missing, extra = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    if missing or extra:
        name, what = (missing[0], "lacks") if missing else (extra[0], "has")
        raise CheckpointError(
            f"{where}: {what} {name!r}, so it does not fit the model of these settings"
        )
    for key, tensor in own.items():
        if tensor.shape != state[key].shape:
            raise CheckpointError(
                f"{where}: {key!r} is {tuple(state[key].shape)}, the model of these settings has "
                f"{tuple(tensor.shape)}"
            )
    module.load_state_dict({key: state[key].to(tensor.dtype) for key, tensor in own.items()})
