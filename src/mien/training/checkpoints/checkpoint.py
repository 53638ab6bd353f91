"""Weights, label banks and settings in one file, without pickle: safetensors with a JSON header."""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mien.errors import CheckpointError
from mien.files.atomic import written_beside
from mien.files.reading import HEAD_SIZE, name_kind, open_regular, parse_json, show
from mien.tensors import without_numbers

__all__ = [
    "add_to_header",
    "build_with",
    "check_finite",
    "fits_in",
    "join_states",
    "load_weights",
    "read_header",
    "read_tensors",
    "split_states",
    "write_tensors",
]

_KEY = "mien"
ModuleT = TypeVar("ModuleT", bound=nn.Module)
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
    """Return the error of the system, if that is why a file was not written."""
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
    with _opened(path) as file:
        metadata = file.metadata() or {}
    if _KEY not in metadata:
        raise CheckpointError(f"{path}: is not a checkpoint of mien; it has no header of its own")
    header = parse_json(
        metadata[_KEY], f"{path}: is not a checkpoint of mien: its header", CheckpointError
    )
    if not isinstance(header, dict):
        raise CheckpointError(
            f"{path}: is not a checkpoint of mien: its header is {show(header)}, no mapping"
        )
    return header


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read all tensors of a checkpoint.

    Raises:
        CheckpointError: If the file is not there or is damaged.
    """
    with _opened(path) as file:
        return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # no mapping


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a safetensors file, and raise an error that names what is wrong with it."""
    with open_regular(path, CheckpointError) as file:
        head = file.read(HEAD_SIZE)
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (OSError, SafetensorError) as error:
        kind = name_kind(head)  # of a file that fails alone: a header can begin as others do
        reason = show(str(error), most=200)
        what = f"not safetensors but {kind}" if kind else f"damaged or not safetensors ({reason})"
        raise CheckpointError(f"{path}: is {what}") from error


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
        CheckpointError: If a tensor is missing, left over, or has another shape or kind of numbers.
    """
    own = module.state_dict()
    _check_fit(own, state, where)
    try:
        module.load_state_dict({key: state[key].to(tensor.dtype) for key, tensor in own.items()})
    except CheckpointError as error:  # of a module that looks at what it is given
        raise CheckpointError(f"{where}: {error}") from None


def build_with(build: Callable[[], ModuleT], state: Mapping[str, Tensor], where: str) -> ModuleT:
    """Build a module and load its weights, which must fit it exactly and be finite.

    Nothing is allocated for a module that the weights do not fit, whatever its settings ask for.

    Args:
        build: Builds it; is called twice.
        state: The weights.
        where: Named in errors.

    Raises:
        CheckpointError: As ``load_weights``, and if a weight is not finite.
    """
    check_finite(state, where)
    with without_numbers():
        _check_fit(build().state_dict(), state, where)
    module = build()
    load_weights(module, state, where)
    return module


def check_finite(state: Mapping[str, Tensor], where: str) -> None:
    """Check that weights are numbers.

    Raises:
        CheckpointError: If one is NaN or infinite.
    """
    for key, tensor in state.items():
        values = tensor if tensor.element_size() > 1 else tensor.float()
        if not torch.isfinite(values).all():
            raise CheckpointError(
                f"{where}: {show(key)} holds values that are not finite, so it predicts nothing; "
                "train it again, or get the file again"
            )


def fits_in(own: Tensor, other: Tensor) -> bool:
    """Return whether ``other`` has the shape of ``own``, and numbers of the same kind."""
    kinds = {(t.is_floating_point(), t.is_complex()) for t in (own, other)}
    return own.shape == other.shape and len(kinds) == 1


def _check_fit(own: Mapping[str, Tensor], state: Mapping[str, Tensor], where: str) -> None:
    missing, extra = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    if missing or extra:
        name, what = (missing[0], "lacks") if missing else (extra[0], "has")
        raise CheckpointError(
            f"{where}: {what} {show(name)}, so it does not fit the model of these settings"
        )
    for key, tensor in own.items():
        if tensor.shape != state[key].shape:
            raise CheckpointError(
                f"{where}: {key!r} is {tuple(state[key].shape)}, the model of these settings has "
                f"{tuple(tensor.shape)}"
            )
        if not fits_in(tensor, state[key]):
            raise CheckpointError(
                f"{where}: {key!r} is of {state[key].dtype}, the model of these settings has "
                f"{tensor.dtype}"
            )
