"""A reader of pickles that calls nothing: plain containers and NumPy arrays, and no other thing.

A pickle is a program for a small stack machine. This is such a machine with the instructions that
build Python's plain values. The few functions by which NumPy's arrays, types and scalars are put
together are known by name and never called: what they would do is written down here. Whatever else
a file names or asks for is refused when it is met, so nothing of a file ever runs.

The bytes of arrays stay in the file (``mien.corpora.pickled_array``). What is held in memory
is counted, and a file that asks for too much is refused.
"""

import math
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np

from mien.corpora.pickled_array import (
    FeatureFile,
    FileBytes,
    Latin1Bytes,
    MemoryBytes,
    Payload,
    PickledArray,
    decode_text,
)
from mien.errors import CorpusError

__all__ = ["LongText", "describe", "load_closed", "text_of"]

#: Estimated bytes of all values outside arrays; the published files need about 20 MB.
_MOST_MEMORY = 400 << 20
_MOST_MARKS = 100
_MOST_AXES = 32
_SHORT_TEXT = 4096
_MOST_TEXT = 1 << 20
_CONTAINER = 200
_VALUE = 48


class _Known(Enum):
    """The names that a file may use."""

    NDARRAY = "ndarray"
    DTYPE = "dtype"
    RECONSTRUCT = "_reconstruct"
    SCALAR = "scalar"
    FROMBUFFER = "_frombuffer"
    ENCODE = "encode"
    BYTES = "bytes"


_GLOBALS: dict[tuple[str, str], _Known] = {
    ("numpy", "ndarray"): _Known.NDARRAY,
    ("numpy", "dtype"): _Known.DTYPE,
    ("numpy.core.multiarray", "_reconstruct"): _Known.RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _Known.RECONSTRUCT,
    ("numpy.core.multiarray", "scalar"): _Known.SCALAR,
    ("numpy._core.multiarray", "scalar"): _Known.SCALAR,
    ("numpy.core.numeric", "_frombuffer"): _Known.FROMBUFFER,
    ("numpy._core.numeric", "_frombuffer"): _Known.FROMBUFFER,
    ("_codecs", "encode"): _Known.ENCODE,
    ("__builtin__", "bytes"): _Known.BYTES,
    ("builtins", "bytes"): _Known.BYTES,
}

_TYPE = re.compile(r"(?P<order>[<>|]?)(?P<kind>b1|[iu][1248]|f[248]|[SU]\d{1,9}|O[48]?)")

_REFUSED = {
    ord("i"): "makes an object (INST)",
    ord("o"): "makes an object (OBJ)",
    0x81: "makes an object (NEWOBJ)",
    0x92: "makes an object (NEWOBJ_EX)",
    0x82: "uses an extension code (EXT1)",
    0x83: "uses an extension code (EXT2)",
    0x84: "uses an extension code (EXT4)",
    ord("P"): "uses a persistent id (PERSID)",
    ord("Q"): "uses a persistent id (BINPERSID)",
    0x97: "keeps arrays outside the file (NEXT_BUFFER)",
    0x98: "keeps arrays outside the file (READONLY_BUFFER)",
}


@dataclass(slots=True, eq=False)
class LongText:
    """A long text that stays in the file, in UTF-8.

    Attributes:
        offset: Where it begins.
        length: Its length in bytes.
        encoded: The bytes that it stands for, once the file has asked for them.
    """

    offset: int
    length: int
    encoded: Latin1Bytes | None = None


@dataclass(slots=True, eq=False)
class _PickledType:
    """A NumPy type that the file is putting together."""

    spec: str
    order: str
    is_built: bool = False

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(object) if self.spec[0] == "O" else np.dtype(self.order + self.spec)


class _Set:
    """A set; its items are not kept, since nothing here needs one."""


def load_closed(file: FeatureFile) -> object:
    """Read the value that is pickled in a file, from its beginning to its end.

    Returns:
        ``None``, ``bool``, ``int``, ``float``, ``str``, ``list``, ``tuple`` and ``dict`` as they
        are; ``LongText`` for long texts; ``FileBytes`` and its like for bytes and for the texts of
        Python 2; ``PickledArray`` for arrays.

    Raises:
        CorpusError: If it is no pickle of protocol 2 to 5, is damaged, asks for more than memory
            should hold, or needs anything but plain values and NumPy arrays.
    """
    return _Machine(file).run()


def text_of(file: FeatureFile, value: object) -> str | None:
    """Return a text of the file, or None if ``value`` is no text or has more than 1 MB."""
    if isinstance(value, str):
        return value
    if isinstance(value, LongText):
        payload: Payload = FileBytes(offset=value.offset, length=value.length)
    elif isinstance(value, Payload):
        payload = value
    else:
        return None
    if payload.length > _MOST_TEXT:
        return None
    return decode_text(payload.read(file, 0, payload.length).tobytes())


def describe(value: object) -> str:
    """Say in a few words what a value is; containers are not looked into.

    >>> describe([1, 2]), describe("happy"), describe(None)
    ('a list of 2', "'happy'", 'None')
    """
    if isinstance(value, str):
        return repr(value if len(value) <= 80 else value[:77] + "...")
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    if isinstance(value, list | tuple | dict):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, PickledArray):
        return f"an array of {value.dtype} with shape {value.shape}"
    if isinstance(value, _Known):
        return f"the name {value.value!r}"
    kinds = {LongText: "a long text", _PickledType: "a NumPy type", _Set: "a set"}
    return kinds.get(type(value), "a string of bytes")


class _Machine:
    """The stack machine, for one file."""

    def __init__(self, file: FeatureFile) -> None:
        self.file = file
        self.stack: list[object] = []
        self.marks: list[int] = []
        self.memo: dict[int, object] = {}
        self.memory = _MOST_MEMORY

    def run(self) -> object:
        self._begin()
        while (code := self.file.take(1)[0]) != ord("."):
            action = _ACTIONS.get(code)
            if action is None:
                raise self._refuse_code(code)
            self.charge(16)
            action(self)
        if len(self.stack) != 1 or self.marks:
            raise self.damaged(f"{len(self.stack)} values are left at its end, not one")
        if self.file.position != self.file.size:
            raise self.damaged(f"{self.file.size - self.file.position} bytes follow its end")
        return self.stack[0]

    def _begin(self) -> None:
        if not self.file.size:
            raise CorpusError(f"{self.file.path}: is empty; get the file again")
        head = self.file.read_at(0, min(4, self.file.size)).tobytes()
        if head[0] == 0x80:
            return
        if head[0] in b"(}]cl" and head[1:2] in (b"d", b"l", b"q", b"r", b"("):
            found = "is pickled with protocol 0 or 1"
        else:
            found = f"is not a pickle: it begins with {head!r}"
        raise CorpusError(
            f"{self.file.path}: {found}, wanted is protocol 2 to 5; unpack it if it is an archive, "
            "or save it again with a newer protocol"
        )

    def _refuse_code(self, code: int) -> CorpusError:
        if code not in _REFUSED:
            return self.damaged(f"{code:#04x} is no instruction that arrays or containers need")
        name = f" of {'.'.join(_read_names(self))!r}" if code == ord("i") else ""
        return self.refused(_REFUSED[code] + name)

    def damaged(self, what: str) -> CorpusError:
        return CorpusError(
            f"{self.file.path}: is damaged at byte {self.file.position - 1}: {what}; get it again"
        )

    def refused(self, what: str) -> CorpusError:
        return CorpusError(
            f"{self.file.path}: {what}, which is neither a NumPy array nor a plain container; "
            "nothing of it was run; get the file from a source that you trust"
        )

    def charge(self, count: int) -> None:
        self.memory -= count
        if self.memory < 0:
            raise CorpusError(
                f"{self.file.path}: would fill more than {_MOST_MEMORY >> 20} MB with small "
                "values; save the features as NumPy arrays"
            )

    def push(self, value: object, weight: int) -> None:
        self.charge(weight)
        self.stack.append(value)

    def pop(self) -> object:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise self.damaged("a value is missing")
        return self.stack.pop()

    def pop_to_mark(self) -> list[object]:
        if not self.marks:
            raise self.damaged("a mark is missing")
        begin = self.marks.pop()
        values = self.stack[begin:]
        del self.stack[begin:]
        return values

    def top(self) -> object:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise self.damaged("a value is missing")
        return self.stack[-1]

    def take_int(self, size: int, *, is_signed: bool = False) -> int:
        return int.from_bytes(self.file.take(size), "little", signed=is_signed)


def _check_protocol(machine: _Machine) -> None:
    protocol = machine.take_int(1)
    if not 2 <= protocol <= 5:
        raise CorpusError(
            f"{machine.file.path}: pickle protocol is {protocol}, must be 2 to 5; save it again"
        )


def _check_frame(machine: _Machine) -> None:
    size, left = machine.take_int(8), machine.file.size - machine.file.position
    if size > left:
        raise machine.damaged(f"a frame of {size} bytes begins, {left} are left")


def _mark(machine: _Machine) -> None:
    if len(machine.marks) >= _MOST_MARKS:
        raise machine.damaged(f"values are nested deeper than {_MOST_MARKS} levels")
    machine.marks.append(len(machine.stack))


def _tuple(machine: _Machine) -> None:
    values = tuple(machine.pop_to_mark())
    machine.push(values, _CONTAINER + 8 * len(values))


def _short_tuple(size: int) -> Callable[[_Machine], None]:
    def make(machine: _Machine) -> None:
        values = [machine.pop() for _ in range(size)]
        machine.push(tuple(reversed(values)), _CONTAINER)

    return make


def _append(machine: _Machine) -> None:
    _extend(machine, [machine.pop()])


def _extend(machine: _Machine, values: list[object]) -> None:
    target = machine.top()
    if not isinstance(target, list):
        raise machine.damaged(f"values are put into {describe(target)}, wanted is a list")
    machine.charge(8 * len(values))
    target.extend(values)


def _set_item(machine: _Machine) -> None:
    value, key = machine.pop(), machine.pop()
    _update(machine, [key, value])


def _update(machine: _Machine, values: list[object]) -> None:
    target = machine.top()
    if not isinstance(target, dict) or len(values) % 2:
        raise machine.damaged(f"keys and values are put into {describe(target)}")
    machine.charge(50 * len(values))
    for key, value in zip(values[::2], values[1::2], strict=True):
        if isinstance(key, Payload) and key.length <= _SHORT_TEXT:
            target[text_of(machine.file, key)] = value
        elif isinstance(key, str | int):
            target[key] = value
        else:
            raise machine.damaged(f"a key is {describe(key)}, must be a text or a number")


def _add_items(machine: _Machine) -> None:
    machine.pop_to_mark()
    if not isinstance(machine.top(), _Set):
        raise machine.damaged(f"items are put into {describe(machine.top())}, wanted is a set")


def _frozen_set(machine: _Machine) -> None:
    machine.pop_to_mark()
    machine.push(_Set(), _VALUE)


def _integer(size: int, *, is_signed: bool = False) -> Callable[[_Machine], None]:
    return lambda machine: machine.push(machine.take_int(size, is_signed=is_signed), _VALUE)


def _long(size_size: int) -> Callable[[_Machine], None]:
    def read(machine: _Machine) -> None:
        size = machine.take_int(size_size, is_signed=size_size == 4)
        if not 0 <= size <= 16:
            raise machine.damaged(f"an integer has {size} bytes, must have at most 16")
        machine.push(machine.take_int(size, is_signed=True), _VALUE)

    return read


def _float(machine: _Machine) -> None:
    machine.push(struct.unpack(">d", machine.file.take(8))[0], _VALUE)


def _text(size_size: int) -> Callable[[_Machine], None]:
    def read(machine: _Machine) -> None:
        size = machine.take_int(size_size)
        if size > _SHORT_TEXT:
            machine.push(LongText(machine.file.skip(size), size), 2 * _VALUE)
            return
        try:
            machine.push(machine.file.take(size).decode("utf-8"), _VALUE + 4 * size)
        except UnicodeDecodeError as error:
            raise machine.damaged(f"a text is not UTF-8 ({error.reason})") from error

    return read


def _bytes(size_size: int) -> Callable[[_Machine], None]:
    def read(machine: _Machine) -> None:
        size = machine.take_int(size_size)
        machine.push(FileBytes(offset=machine.file.skip(size), length=size), 3 * _VALUE)

    return read


def _put(machine: _Machine, number: int) -> None:
    machine.charge(100)
    machine.memo[number] = machine.top()


def _get(machine: _Machine, number: int) -> None:
    if number not in machine.memo:
        raise machine.damaged(f"value {number} is used before it is there")
    machine.stack.append(machine.memo[number])


def _global(machine: _Machine) -> None:
    module, name = _read_names(machine)
    machine.push(_look_up(machine, module, name), 0)


def _stack_global(machine: _Machine) -> None:
    name, module = text_of(machine.file, machine.pop()), text_of(machine.file, machine.pop())
    if module is None or name is None:
        raise machine.damaged("a name is not a text")
    machine.push(_look_up(machine, module, name), 0)


def _read_names(machine: _Machine) -> tuple[str, str]:
    return _read_line(machine), _read_line(machine)


def _read_line(machine: _Machine) -> str:
    line = bytearray()
    while (byte := machine.file.take(1)) != b"\n":
        line += byte
        if len(line) > 256:
            raise machine.damaged("a name has more than 256 bytes")
    return decode_text(bytes(line))


def _look_up(machine: _Machine, module: str, name: str) -> _Known:
    known = _GLOBALS.get((module, name))
    if known is None:
        raise machine.refused(f"refers to {describe(f'{module}.{name}')}")
    return known


def _reduce(machine: _Machine) -> None:
    arguments, function = machine.pop(), machine.pop()
    if not isinstance(function, _Known) or function not in _CALLS:
        raise machine.refused(f"calls {describe(function)}")
    if not isinstance(arguments, tuple):
        raise machine.damaged(f"the arguments of a call are {describe(arguments)}")
    machine.push(_CALLS[function](machine, arguments), _CONTAINER)


def _call_reconstruct(machine: _Machine, arguments: tuple[object, ...]) -> PickledArray:
    if not arguments or arguments[0] is not _Known.NDARRAY:
        found = describe(arguments[0]) if arguments else "nothing"
        raise machine.refused(f"reconstructs {found}")
    return PickledArray()


def _call_dtype(machine: _Machine, arguments: tuple[object, ...]) -> _PickledType:
    spec = text_of(machine.file, arguments[0]) if arguments else None
    match = _TYPE.fullmatch(spec or "")
    if match is None or match["kind"][1:].strip("0") == "" != match["kind"][1:]:
        raise machine.refused(f"has values of type {describe(spec)}")
    return _PickledType(spec=match["kind"], order=match["order"] or "<")


def _call_scalar(machine: _Machine, arguments: tuple[object, ...]) -> object:
    match arguments:
        case (_PickledType() as kind, data) if isinstance(data, Payload):
            dtype = kind.dtype
        case _:
            raise machine.damaged("a NumPy number is not made of a type and bytes")
    if dtype.kind == "O" or data.length != dtype.itemsize or data.length > _MOST_TEXT:
        raise machine.damaged(f"a NumPy value of type {dtype} has {data.length} bytes")
    raw = data.read(machine.file, 0, data.length).tobytes()
    if dtype.kind in "US":
        machine.charge(4 * len(raw))
        return _decode_fixed(machine, raw, dtype)
    return np.frombuffer(raw, dtype)[0].item()


def _decode_fixed(machine: _Machine, raw: bytes, dtype: np.dtype) -> str:
    if dtype.kind == "S":
        return decode_text(raw.rstrip(b"\0"))
    try:
        return raw.decode("utf-32-be" if dtype.str[0] == ">" else "utf-32-le").rstrip("\0")
    except UnicodeDecodeError as error:
        raise machine.damaged(f"a text is not Unicode ({error.reason})") from error


def _call_frombuffer(machine: _Machine, arguments: tuple[object, ...]) -> PickledArray:
    match arguments:
        case (data, _PickledType() as kind, shape, "C" | "F" as order) if isinstance(data, Payload):
            axes = _natural_axes(machine, shape, is_fortran=order == "F")
        case (data, _PickledType() as kind, shape, "K", tuple() as axes) if isinstance(
            data, Payload
        ):
            axes = _check_axes(machine, shape, axes)
        case _:
            raise machine.damaged("an array is not made of bytes, a type, a shape and an order")
    stored = _check_shape(machine, shape)
    if len(arguments) == 4:
        stored = tuple(stored[axes.index(i)] for i in range(len(axes)))
    array = PickledArray()
    _fill(machine, array, kind, stored, axes, data)
    return array


def _natural_axes(machine: _Machine, shape: object, *, is_fortran: bool) -> tuple[int, ...]:
    axes = range(len(_check_shape(machine, shape)))
    return tuple(reversed(axes)) if is_fortran else tuple(axes)


def _check_shape(machine: _Machine, shape: object) -> tuple[int, ...]:
    if not isinstance(shape, tuple) or len(shape) > _MOST_AXES:
        raise machine.damaged(f"the shape of an array is {describe(shape)}")
    for size in shape:
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise machine.damaged(f"an axis of an array is {describe(size)}")
    return shape


def _check_axes(machine: _Machine, shape: object, axes: tuple[object, ...]) -> tuple[int, ...]:
    count = len(_check_shape(machine, shape))
    numbers = [axis for axis in axes[: count + 1] if type(axis) is int]
    if sorted(numbers) != list(range(count)) or len(axes) != count:
        raise machine.damaged("the order of an array's axes is not a permutation")
    return tuple(numbers)


def _fill(
    machine: _Machine,
    array: PickledArray,
    kind: _PickledType,
    stored: tuple[int, ...],
    axes: tuple[int, ...],
    data: Payload,
) -> None:
    dtype = kind.dtype
    wanted = math.prod(stored) * dtype.itemsize
    if dtype.kind == "O" or wanted != data.length:
        raise machine.damaged(
            f"an array of {dtype} with shape {stored} needs {wanted} bytes, {data.length} are there"
        )
    array.shape = tuple(stored[axis] for axis in axes)
    array.dtype, array.stored, array.axes, array.payload = dtype, stored, axes, data
    array.is_built = True


def _call_encode(machine: _Machine, arguments: tuple[object, ...]) -> Payload:
    match arguments:
        case (str() | LongText() as text, "latin1" | "latin-1"):
            pass
        case _:
            raise machine.refused("calls the name 'encode' on something but Latin-1 text")
    if isinstance(text, LongText):
        if text.encoded is None:
            text.encoded = Latin1Bytes.scan(machine.file, text.offset, text.length)
            machine.charge(2 * _CONTAINER)
        return text.encoded
    try:
        data = text.encode("latin-1")
    except UnicodeEncodeError as error:
        raise machine.damaged(f"bytes are not Latin-1 text ({error.reason})") from error
    machine.charge(len(data))
    return MemoryBytes(data=data)


def _call_bytes(machine: _Machine, arguments: tuple[object, ...]) -> Payload:
    if arguments:
        raise machine.refused("calls the name 'bytes' with arguments")
    return MemoryBytes(data=b"")


_CALLS: dict[_Known, Callable[[_Machine, tuple[object, ...]], object]] = {
    _Known.RECONSTRUCT: _call_reconstruct,
    _Known.DTYPE: _call_dtype,
    _Known.SCALAR: _call_scalar,
    _Known.FROMBUFFER: _call_frombuffer,
    _Known.ENCODE: _call_encode,
    _Known.BYTES: _call_bytes,
}


def _build(machine: _Machine) -> None:
    state, target = machine.pop(), machine.top()
    if not isinstance(target, PickledArray | _PickledType):
        raise machine.refused(f"sets the state of {describe(target)}")
    if target.is_built:
        raise machine.damaged(f"the state of {describe(target)} is set twice")
    if not isinstance(state, tuple):
        raise machine.damaged(f"the state of {describe(target)} is {describe(state)}")
    if isinstance(target, _PickledType):
        _build_type(machine, target, state)
    else:
        _build_array(machine, target, state)


def _build_type(machine: _Machine, target: _PickledType, state: tuple[object, ...]) -> None:
    match state:
        case (int(), order, None, None, None, int() as size, int(), int()):
            text = text_of(machine.file, order)
        case _:
            raise machine.refused(f"has values of type {target.spec!r} with parts or metadata")
    plain = target.spec[0] in "SOb" or target.spec in ("i1", "u1")
    if text not in ("<", ">", "|") or (text == "|" and not plain):
        raise machine.damaged(f"the byte order of type {target.spec!r} is {describe(order)}")
    if size not in (-1, target.dtype.itemsize):
        raise machine.damaged(f"values of type {target.spec!r} have {size} bytes")
    target.order, target.is_built = text, True


def _build_array(machine: _Machine, target: PickledArray, state: tuple[object, ...]) -> None:
    match state:
        case (int(), shape, _PickledType() as kind, int() as fortran, data):
            shape = _check_shape(machine, shape)
        case _:
            raise machine.damaged("the state of an array is not a shape, a type and its bytes")
    if isinstance(data, Payload):
        axes = _natural_axes(machine, shape, is_fortran=bool(fortran))
        stored = tuple(reversed(shape)) if fortran else shape
        _fill(machine, target, kind, stored, axes, data)
    elif isinstance(data, list | tuple) and kind.dtype.kind == "O":
        _fill_objects(machine, target, shape, data)
    else:
        raise machine.damaged(f"the bytes of an array are {describe(data)}")


def _fill_objects(
    machine: _Machine,
    target: PickledArray,
    shape: tuple[int, ...],
    data: list[object] | tuple[object, ...],
) -> None:
    if math.prod(shape) != len(data):
        raise machine.damaged(f"an array with shape {shape} has {len(data)} values")
    machine.charge(64 * len(data))
    for value in data:
        if not isinstance(value, str | LongText | Payload):
            raise machine.refused(f"has an array of Python objects that holds {describe(value)}")
    target.shape, target.items, target.is_built = shape, tuple(data), True


_ACTIONS: dict[int, Callable[[_Machine], None]] = {
    0x80: _check_protocol,
    0x95: _check_frame,
    ord("("): _mark,
    ord("N"): lambda machine: machine.push(None, 0),
    0x88: lambda machine: machine.push(True, 0),
    0x89: lambda machine: machine.push(False, 0),
    ord("}"): lambda machine: machine.push({}, _CONTAINER),
    ord("]"): lambda machine: machine.push([], _CONTAINER),
    ord(")"): lambda machine: machine.push((), 0),
    0x8F: lambda machine: machine.push(_Set(), _VALUE),
    0x90: _add_items,
    0x91: _frozen_set,
    ord("t"): _tuple,
    0x85: _short_tuple(1),
    0x86: _short_tuple(2),
    0x87: _short_tuple(3),
    ord("a"): _append,
    ord("e"): lambda machine: _extend(machine, machine.pop_to_mark()),
    ord("s"): _set_item,
    ord("u"): lambda machine: _update(machine, machine.pop_to_mark()),
    ord("K"): _integer(1),
    ord("M"): _integer(2),
    ord("J"): _integer(4, is_signed=True),
    0x8A: _long(1),
    0x8B: _long(4),
    ord("G"): _float,
    0x8C: _text(1),
    ord("X"): _text(4),
    0x8D: _text(8),
    ord("U"): _bytes(1),
    ord("T"): _bytes(4),
    ord("C"): _bytes(1),
    ord("B"): _bytes(4),
    0x8E: _bytes(8),
    0x96: _bytes(8),
    ord("q"): lambda machine: _put(machine, machine.take_int(1)),
    ord("r"): lambda machine: _put(machine, machine.take_int(4)),
    0x94: lambda machine: _put(machine, len(machine.memo)),
    ord("h"): lambda machine: _get(machine, machine.take_int(1)),
    ord("j"): lambda machine: _get(machine, machine.take_int(4)),
    ord("c"): _global,
    0x93: _stack_global,
    ord("R"): _reduce,
    ord("b"): _build,
}
