"""What a pickle says about NumPy arrays, types and numbers, understood and never called."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mien.corpora.safe_pickle.feature_file import FeatureFile
from mien.corpora.safe_pickle.lazy_array import (
    MOST_TEXT_BYTES,
    Latin1Bytes,
    LongText,
    MemoryBytes,
    Payload,
    PickledArray,
    decode_fixed,
    text_of,
)
from mien.corpora.safe_pickle.names import Known, Opaque, OpaqueName
from mien.errors import CorpusError

__all__ = [
    "CALLS",
    "Desk",
    "PickledSet",
    "PickledType",
    "advise",
    "describe",
    "put_items",
    "set_state",
]

#: Estimated bytes of all values outside arrays; the published files need a tenth of it.
_MOST_MEMORY = 400 << 20
_MOST_AXES = 32
#: Longest text and largest number that are the key of a dict.
_LONGEST_KEY, _LARGEST_KEY = 4096, 1 << 31


_TYPE = re.compile(r"(?P<order>[<>|]?)(?P<kind>b1|[iu][1248]|f[248]|[SU]\d{1,6}|O[48]?)")


@dataclass(slots=True, eq=False)
class PickledType:
    """A NumPy type that the file is putting together.

    Attributes:
        spec: Kind and size, as in ``f4``.
        order: Byte order: ``<``, ``>``, or ``|`` if there is none.
        is_built: Whether the byte order has been said.
    """

    spec: str
    order: str
    is_built: bool = False

    @property
    def dtype(self) -> np.dtype:
        """The type."""
        return np.dtype(object) if self.spec[0] == "O" else np.dtype(self.order + self.spec)


class PickledSet:
    """A set; its items are not kept, since nothing here needs one."""


class Desk:
    """What all parts of the reader share: the file, the memory still allowed, and the errors.

    Args:
        file: The file that is read.
    """

    def __init__(self, file: FeatureFile) -> None:
        self.file = file
        self.memory = _MOST_MEMORY

    def damaged(self, what: str) -> CorpusError:
        """Return the error for a file that makes no sense."""
        return CorpusError(
            f"{self.file.path}: is damaged at byte {self.file.position - 1}: {what}; get it again"
        )

    def refused(self, what: str) -> CorpusError:
        """Return the error for a file that wants more than arrays and plain containers."""
        return CorpusError(
            f"{self.file.path}: {what}, which is neither a NumPy array nor a plain container; "
            "nothing of it was run; get the file from a source that you trust"
        )

    def charge(self, count: int) -> None:
        """Count bytes of memory before they are used.

        Raises:
            CorpusError: If there are too many.
        """
        self.memory -= count
        if self.memory < 0:
            raise CorpusError(
                f"{self.file.path}: would fill more than {_MOST_MEMORY >> 20} MB with small "
                "values; save the features as NumPy arrays"
            )


def describe(value: object) -> str:
    """Say in a few words what a value is; containers are not looked into.

    >>> describe([1, 2]), describe("happy"), describe(None)
    ('a list of 2', "'happy'", 'None')
    """
    if isinstance(value, str):
        return repr(value if len(value) <= 80 else value[:77] + "...")
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    if isinstance(value, Opaque | OpaqueName):
        kind = "object" if isinstance(value, Opaque) else "name"
        return f"the {kind} {value.name[:120]!r}"
    if isinstance(value, list | tuple | dict):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, PickledArray):
        return f"an array of {value.opaque or value.dtype} with shape {value.shape}"
    if isinstance(value, Known):
        return f"the name {value.value!r}"
    kinds = {LongText: "a long text", PickledType: "a NumPy type", PickledSet: "a set"}
    return kinds.get(type(value), "a string of bytes")


def advise(value: object) -> str:
    """Return what to do about a value that is not understood, to follow a sentence.

    >>> advise(Opaque("torch._utils._rebuild_tensor_v2"))
    '; save tensors as NumPy arrays: tensor.numpy()'
    """
    name = value.opaque if isinstance(value, PickledArray) else getattr(value, "name", "")
    if not isinstance(value, Opaque | OpaqueName | PickledArray) or not name:
        return ""
    root = name.partition(".")[0]
    if root == "torch":
        return "; save tensors as NumPy arrays: tensor.numpy()"
    if root == "pandas":
        return "; save columns as NumPy arrays: column.to_numpy()"
    return "; save it as a NumPy array"


def _call_reconstruct(desk: Desk, arguments: tuple[object, ...]) -> PickledArray | Opaque:
    if arguments and isinstance(arguments[0], OpaqueName):
        return Opaque(arguments[0].name)
    if not arguments or arguments[0] is not Known.NDARRAY:
        found = describe(arguments[0]) if arguments else "nothing"
        raise desk.refused(f"reconstructs {found}")
    return PickledArray()


def _call_dtype(desk: Desk, arguments: tuple[object, ...]) -> PickledType | Opaque:
    spec = _short_text(desk, arguments[0]) if arguments else None
    match = _TYPE.fullmatch(spec or "")
    if match is None:
        return Opaque(f"numpy.dtype {describe(spec)}")
    return PickledType(spec=match["kind"], order=match["order"] or "<")


def _short_text(desk: Desk, value: object) -> str | None:
    """Return the text of a type or a byte order, which is a string of bytes in Python 2."""
    is_long = isinstance(value, LongText) or (isinstance(value, Payload) and value.length > 16)
    return None if is_long else text_of(desk.file, value)


def _call_scalar(desk: Desk, arguments: tuple[object, ...]) -> object:
    match arguments:
        case (Opaque() as kind, _):
            return Opaque(kind.name)
        case (PickledType() as kind, data) if isinstance(data, Payload):
            dtype = kind.dtype
        case _:
            raise desk.damaged("a NumPy number is not made of a type and bytes")
    if dtype.kind == "O" or data.length != dtype.itemsize or data.length > MOST_TEXT_BYTES:
        raise desk.damaged(f"a NumPy value of type {dtype} has {data.length} bytes")
    raw = data.read(desk.file, 0, data.length).tobytes()
    if dtype.kind in "US":
        desk.charge(4 * len(raw))
        text = decode_fixed(raw, dtype)
        if text is None:
            raise desk.damaged("a NumPy text is not Unicode")
        return text
    return np.frombuffer(raw, dtype)[0].item()


def _call_frombuffer(desk: Desk, arguments: tuple[object, ...]) -> PickledArray:
    match arguments:
        case (_, Opaque() as kind, shape, *_):
            return PickledArray(shape=_check_shape(desk, shape), opaque=kind.name)
        case (data, PickledType() as kind, shape, "C" | "F" as order) if isinstance(data, Payload):
            axes = _natural_axes(desk, shape, is_fortran=order == "F")
        case (data, PickledType() as kind, shape, "K", tuple() as axes) if isinstance(
            data, Payload
        ):
            axes = _check_axes(desk, shape, axes)
        case _:
            raise desk.damaged("an array is not made of bytes, a type, a shape and an order")
    stored = _check_shape(desk, shape)
    if len(arguments) == 4:
        stored = tuple(stored[axes.index(i)] for i in range(len(axes)))
    array = PickledArray()
    _fill(desk, array, kind, stored, axes, data)
    return array


def _natural_axes(desk: Desk, shape: object, *, is_fortran: bool) -> tuple[int, ...]:
    axes = range(len(_check_shape(desk, shape)))
    return tuple(reversed(axes)) if is_fortran else tuple(axes)


def _check_shape(desk: Desk, shape: object) -> tuple[int, ...]:
    if not isinstance(shape, tuple) or len(shape) > _MOST_AXES:
        raise desk.damaged(f"the shape of an array is {describe(shape)}")
    for size in shape:
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise desk.damaged(f"an axis of an array is {describe(size)}")
    if math.prod(size for size in shape if size) >= 1 << 56:
        raise desk.damaged(f"the shape of an array is {shape}")
    return shape


def _check_axes(desk: Desk, shape: object, axes: tuple[object, ...]) -> tuple[int, ...]:
    count = len(_check_shape(desk, shape))
    numbers = [axis for axis in axes[: count + 1] if type(axis) is int]
    if sorted(numbers) != list(range(count)) or len(axes) != count:
        raise desk.damaged("the order of an array's axes is not a permutation")
    return tuple(numbers)


def _fill(
    desk: Desk,
    array: PickledArray,
    kind: PickledType,
    stored: tuple[int, ...],
    axes: tuple[int, ...],
    data: Payload,
) -> None:
    dtype = kind.dtype
    wanted = math.prod(stored) * dtype.itemsize
    if dtype.kind == "O" or wanted != data.length:
        raise desk.damaged(
            f"an array of {dtype} with shape {stored} needs {wanted} bytes, {data.length} are there"
        )
    array.shape = tuple(stored[axis] for axis in axes)
    array.dtype, array.stored, array.axes, array.payload = dtype, stored, axes, data
    array.is_built = True


def _call_encode(desk: Desk, arguments: tuple[object, ...]) -> Payload:
    match arguments:
        case (str() | LongText() as text, "latin1" | "latin-1"):
            pass
        case _:
            raise desk.refused("calls the name 'encode' on something but Latin-1 text")
    if isinstance(text, LongText):
        if text.encoded is None:
            text.encoded = Latin1Bytes.scan(desk.file, text.offset, text.length)
            desk.charge(400)
        return text.encoded
    try:
        data = text.encode("latin-1")
    except UnicodeEncodeError as error:
        raise desk.damaged(f"bytes are not Latin-1 text ({error.reason})") from error
    desk.charge(len(data))
    return MemoryBytes(data=data)


def _call_dict(desk: Desk, arguments: tuple[object, ...]) -> dict[str | int, object]:
    """Make a dict of nothing, of another, or of pairs, as an ``OrderedDict`` is written."""
    values: dict[str | int, object] = {}
    match arguments:
        case ():
            return values
        case (dict() as given,):
            pairs: list[tuple[object, ...]] = list(given.items())
        case (list() | tuple() as given,) if all(_is_pair(one) for one in given):
            pairs = [tuple(one) for one in given]
        case _:
            raise desk.damaged("a dict is made of something but pairs")
    put_items(desk, values, pairs)
    return values


def _is_pair(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2


def put_items(
    desk: Desk, target: dict[str | int, object], pairs: Sequence[Sequence[object]]
) -> None:
    """Put keys and values into a dict: those whose keys are texts, or numbers that are not large.

    Nothing else is a key of anything that is used, so it is left out. Large numbers can be chosen
    so that a dict of them takes quadratic time.

    Raises:
        CorpusError: If a key cannot be one.
    """
    desk.charge(100 * len(pairs))
    for key, value in pairs:
        if isinstance(key, Payload) and key.length <= _LONGEST_KEY:
            text = text_of(desk.file, key)
            if text is not None:
                target[text] = value
        elif isinstance(key, str) or (isinstance(key, int) and abs(key) <= _LARGEST_KEY):
            target[key] = value
        elif isinstance(key, list | dict) and not isinstance(key, Opaque):
            raise desk.damaged(f"a key is {describe(key)}, which can be none")


def _call_defaultdict(desk: Desk, arguments: tuple[object, ...]) -> dict[str | int, object]:
    return _call_dict(desk, arguments[1:])


def _call_list(desk: Desk, arguments: tuple[object, ...]) -> list[object]:
    match arguments:
        case ():
            return []
        case (list() | tuple() as given,):
            desk.charge(9 * len(given))
            return list(given)
    raise desk.damaged("a list is made of something but values")


def _call_tuple(desk: Desk, arguments: tuple[object, ...]) -> tuple[object, ...]:
    return tuple(_call_list(desk, arguments))


def _call_set(desk: Desk, arguments: tuple[object, ...]) -> PickledSet:  # noqa: ARG001  # as all
    return PickledSet()


def _call_bytes(desk: Desk, arguments: tuple[object, ...]) -> Payload:
    if arguments:
        raise desk.refused("calls the name 'bytes' with arguments")
    return MemoryBytes(data=b"")


def set_state(desk: Desk, target: object, state: object) -> None:
    """Do what BUILD asks for: say what a type or an array is.

    Raises:
        CorpusError: If ``target`` is something else, or the state makes no sense.
    """
    if isinstance(target, Opaque):
        return
    if not isinstance(target, PickledArray | PickledType):
        raise desk.refused(f"sets the state of {describe(target)}")
    if target.is_built or (isinstance(target, PickledArray) and target.opaque):
        raise desk.damaged(f"the state of {describe(target)} is set twice")
    if not isinstance(state, tuple):
        raise desk.damaged(f"the state of {describe(target)} is {describe(state)}")
    if isinstance(target, PickledType):
        _build_type(desk, target, state)
    else:
        _build_array(desk, target, state)


def _build_type(desk: Desk, target: PickledType, state: tuple[object, ...]) -> None:
    match state:
        case (int(), order, None, None, None, int() as size, int(), int()):
            text = _short_text(desk, order)
        case _:
            raise desk.refused(f"has values of type {target.spec!r} with parts or metadata")
    plain = target.spec[0] in "SOb" or target.spec in ("i1", "u1")
    if text not in ("<", ">", "|") or (text == "|" and not plain):
        raise desk.damaged(f"the byte order of type {target.spec!r} is {describe(order)}")
    if size not in (-1, target.dtype.itemsize):
        raise desk.damaged(f"values of type {target.spec!r} have {size} bytes")
    target.order, target.is_built = text, True


def _build_array(desk: Desk, target: PickledArray, state: tuple[object, ...]) -> None:
    match state:
        case (int(), shape, Opaque() as kind, int(), _):
            target.shape, target.opaque = _check_shape(desk, shape), kind.name
            return
        case (int(), shape, PickledType() as kind, int() as fortran, data):
            shape = _check_shape(desk, shape)
        case _:
            raise desk.damaged("the state of an array is not a shape, a type and its bytes")
    if isinstance(data, Payload):
        axes = _natural_axes(desk, shape, is_fortran=bool(fortran))
        stored = tuple(reversed(shape)) if fortran else shape
        _fill(desk, target, kind, stored, axes, data)
    elif isinstance(data, list | tuple) and kind.dtype.kind == "O":
        _fill_objects(desk, target, shape, data)
    else:
        raise desk.damaged(f"the bytes of an array are {describe(data)}")


def _fill_objects(
    desk: Desk,
    target: PickledArray,
    shape: tuple[int, ...],
    data: list[object] | tuple[object, ...],
) -> None:
    if math.prod(shape) != len(data):
        raise desk.damaged(f"an array with shape {shape} has {len(data)} values")
    desk.charge(64 * len(data))
    target.shape, target.items, target.is_built = shape, tuple(data), True


#: What each name does when it is called.
CALLS: dict[Known, Callable[[Desk, tuple[object, ...]], object]] = {
    Known.RECONSTRUCT: _call_reconstruct,
    Known.DTYPE: _call_dtype,
    Known.SCALAR: _call_scalar,
    Known.FROMBUFFER: _call_frombuffer,
    Known.ENCODE: _call_encode,
    Known.BYTES: _call_bytes,
    Known.DICT: _call_dict,
    Known.DEFAULTDICT: _call_defaultdict,
    Known.LIST: _call_list,
    Known.TUPLE: _call_tuple,
    Known.SET: _call_set,
}
