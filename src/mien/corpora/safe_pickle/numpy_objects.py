"""What a pickle says about NumPy arrays, types and numbers, understood and never called."""

import math
import re
from collections.abc import Callable

import numpy as np

from mien.corpora.safe_pickle.descriptions import PickledType, describe
from mien.corpora.safe_pickle.lazy_array import (
    MOST_TEXT_BYTES,
    LongText,
    Payload,
    PickledArray,
    decode_fixed,
    text_of,
)
from mien.corpora.safe_pickle.names import Known, Opaque, OpaqueName
from mien.corpora.safe_pickle.reading_context import PickleContext

__all__ = ["NUMPY_CALLS", "set_state"]

_MOST_AXES = 32
_TYPE = re.compile(r"(?P<order>[<>|]?)(?P<kind>b1|[iu][1248]|f[248]|[SU]\d{1,6}|O[48]?)")


def _call_reconstruct(
    context: PickleContext, arguments: tuple[object, ...]
) -> PickledArray | Opaque:
    if arguments and isinstance(arguments[0], OpaqueName):
        return Opaque(arguments[0].name)
    if not arguments or arguments[0] is not Known.NDARRAY:
        kind = describe(arguments[0]) if arguments else "nothing"
        raise context.refused(f"reconstructs {kind}")
    return PickledArray()


def _call_dtype(context: PickleContext, arguments: tuple[object, ...]) -> PickledType | Opaque:
    spec = _short_text(context, arguments[0]) if arguments else None
    match = _TYPE.fullmatch(spec or "")
    if match is None:
        return Opaque(f"numpy.dtype {describe(spec)}")
    return PickledType(spec=match["kind"], order=match["order"] or "<")


def _short_text(context: PickleContext, value: object) -> str | None:
    """Return the text of a type or a byte order, which is a string of bytes in Python 2."""
    is_long = isinstance(value, LongText) or (isinstance(value, Payload) and value.length > 16)
    return None if is_long else text_of(context.file, value)


def _call_scalar(context: PickleContext, arguments: tuple[object, ...]) -> object:
    match arguments:
        case (Opaque() as kind, _):
            return Opaque(kind.name)
        case (PickledType() as kind, data) if isinstance(data, Payload):
            dtype = kind.dtype
        case _:
            raise context.damaged("a NumPy number is not made of a type and bytes")
    if dtype.kind == "O" or data.length != dtype.itemsize or data.length > MOST_TEXT_BYTES:
        raise context.damaged(f"a NumPy value of type {dtype} has {data.length} bytes")
    raw = data.read(context.file, 0, data.length).tobytes()
    if dtype.kind in "US":
        context.charge(4 * len(raw))
        text = decode_fixed(raw, dtype)
        if text is None:
            raise context.damaged("a NumPy text is not Unicode")
        return text
    return np.frombuffer(raw, dtype)[0].item()


def _call_frombuffer(context: PickleContext, arguments: tuple[object, ...]) -> PickledArray:
    match arguments:
        case (_, Opaque() as kind, shape, *_):
            return PickledArray(shape=_check_shape(context, shape), opaque=kind.name)
        case (data, PickledType() as kind, shape, "C" | "F" as order) if isinstance(data, Payload):
            axes = _natural_axes(context, shape, is_fortran=order == "F")
        case (data, PickledType() as kind, shape, "K", tuple() as axes) if isinstance(
            data, Payload
        ):
            axes = _check_axes(context, shape, axes)
        case _:
            raise context.damaged("an array is not made of bytes, a type, a shape and an order")
    stored = _check_shape(context, shape)
    if len(arguments) == 4:
        stored = tuple(stored[axes.index(i)] for i in range(len(axes)))
    array = PickledArray()
    _fill(context, array, kind, stored, axes, data)
    return array


def _natural_axes(context: PickleContext, shape: object, *, is_fortran: bool) -> tuple[int, ...]:
    axes = range(len(_check_shape(context, shape)))
    return tuple(reversed(axes)) if is_fortran else tuple(axes)


def _check_shape(context: PickleContext, shape: object) -> tuple[int, ...]:
    if not isinstance(shape, tuple) or len(shape) > _MOST_AXES:
        raise context.damaged(f"the shape of an array is {describe(shape)}")
    for size in shape:
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise context.damaged(f"an axis of an array is {describe(size)}")
    if math.prod(size for size in shape if size) >= 1 << 56:
        raise context.damaged(f"the shape of an array is {shape}")
    return shape


def _check_axes(context: PickleContext, shape: object, axes: tuple[object, ...]) -> tuple[int, ...]:
    count = len(_check_shape(context, shape))
    numbers = [axis for axis in axes[: count + 1] if type(axis) is int]
    if sorted(numbers) != list(range(count)) or len(axes) != count:
        raise context.damaged("the order of an array's axes is not a permutation")
    return tuple(numbers)


def _fill(
    context: PickleContext,
    array: PickledArray,
    kind: PickledType,
    stored: tuple[int, ...],
    axes: tuple[int, ...],
    data: Payload,
) -> None:
    dtype = kind.dtype
    wanted = math.prod(stored) * dtype.itemsize
    if dtype.kind == "O" or wanted != data.length:
        raise context.damaged(
            f"an array of {dtype} with shape {stored} needs {wanted} bytes, {data.length} are there"
        )
    array.shape = tuple(stored[axis] for axis in axes)
    array.dtype, array.stored, array.axes, array.payload = dtype, stored, axes, data
    array.is_built = True


def set_state(context: PickleContext, target: object, state: object) -> None:
    """Do what BUILD asks for: say what a type or an array is.

    Raises:
        CorpusError: If ``target`` is something else, or the state makes no sense.
    """
    if isinstance(target, Opaque):
        return
    if not isinstance(target, PickledArray | PickledType):
        raise context.refused(f"sets the state of {describe(target)}")
    if target.is_built or (isinstance(target, PickledArray) and target.opaque):
        raise context.damaged(f"the state of {describe(target)} is set twice")
    if not isinstance(state, tuple):
        raise context.damaged(f"the state of {describe(target)} is {describe(state)}")
    if isinstance(target, PickledType):
        _build_type(context, target, state)
    else:
        _build_array(context, target, state)


def _build_type(context: PickleContext, target: PickledType, state: tuple[object, ...]) -> None:
    match state:
        case (int(), order, None, None, None, int() as size, int(), int()):
            text = _short_text(context, order)
        case _:
            raise context.refused(f"has values of type {target.spec!r} with parts or metadata")
    plain = target.spec[0] in "SOb" or target.spec in ("i1", "u1")
    if text not in ("<", ">", "|") or (text == "|" and not plain):
        raise context.damaged(f"the byte order of type {target.spec!r} is {describe(order)}")
    if size not in (-1, target.dtype.itemsize):
        raise context.damaged(f"values of type {target.spec!r} have {size} bytes")
    target.order, target.is_built = text, True


def _build_array(context: PickleContext, target: PickledArray, state: tuple[object, ...]) -> None:
    match state:
        case (int(), shape, Opaque() as kind, int(), _):
            target.shape, target.opaque = _check_shape(context, shape), kind.name
            return
        case (int(), shape, PickledType() as kind, int() as fortran, data):
            shape = _check_shape(context, shape)
        case _:
            raise context.damaged("the state of an array is not a shape, a type and its bytes")
    if isinstance(data, Payload):
        axes = _natural_axes(context, shape, is_fortran=bool(fortran))
        stored = tuple(reversed(shape)) if fortran else shape
        _fill(context, target, kind, stored, axes, data)
    elif isinstance(data, list | tuple) and kind.dtype.kind == "O":
        _fill_objects(context, target, shape, data)
    else:
        raise context.damaged(f"the bytes of an array are {describe(data)}")


def _fill_objects(
    context: PickleContext,
    target: PickledArray,
    shape: tuple[int, ...],
    data: list[object] | tuple[object, ...],
) -> None:
    if math.prod(shape) != len(data):
        raise context.damaged(f"an array with shape {shape} has {len(data)} values")
    context.charge(64 * len(data))
    target.shape, target.items, target.is_built = shape, tuple(data), True


#: What each name does when it is called.
NUMPY_CALLS: dict[Known, Callable[[PickleContext, tuple[object, ...]], object]] = {
    Known.RECONSTRUCT: _call_reconstruct,
    Known.DTYPE: _call_dtype,
    Known.SCALAR: _call_scalar,
    Known.FROMBUFFER: _call_frombuffer,
}
