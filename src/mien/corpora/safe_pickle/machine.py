"""A reader of pickles that calls nothing: plain containers and NumPy arrays, and no other thing.

A pickle is a program for a small stack machine. This is such a machine with the instructions that
build Python's plain values. The few functions by which NumPy's arrays, types and scalars are put
together are known by name and never called: what they would do is written down here. What any
other name would make is opaque, and a name that can only do harm is refused when it is met
(``mien.corpora.safe_pickle.names``), so nothing of a file ever runs.

The bytes of arrays stay in the file (``mien.corpora.safe_pickle.lazy_array``). What is held in
memory is counted, and a file that asks for too much is refused.
"""

import struct
from collections.abc import Callable

from mien.corpora.safe_pickle.descriptions import PickledSet, describe
from mien.corpora.safe_pickle.feature_file import FeatureFile
from mien.corpora.safe_pickle.lazy_array import FileBytes, LongText, decode_text
from mien.corpora.safe_pickle.names import GLOBALS, Known, Opaque, OpaqueName, is_attack
from mien.corpora.safe_pickle.numpy_objects import NUMPY_CALLS, set_state
from mien.corpora.safe_pickle.plain_objects import PLAIN_CALLS, put_items
from mien.corpora.safe_pickle.reading_context import PickleContext
from mien.errors import CorpusError
from mien.files.reading import HEAD_SIZE, name_kind, replace_halves

__all__ = ["load_closed"]

#: What each name that is understood does when it is called.
_CALLS = NUMPY_CALLS | PLAIN_CALLS
_MOST_MARKS = 100
_SHORT_TEXT = 4096
_LONGEST_INTEGER = 16

# estimated bytes of one value of a kind, with its place in a list
_INSTRUCTION = 32
_NUMBER = 40
_TUPLE = 64
_LIST = 100
_DICT = 240
_OBJECT = 160

_REFUSED = {
    ord("i"): "makes an object (INST)",
    ord("o"): "makes an object (OBJ)",
    0x82: "uses an extension code (EXT1)",
    0x83: "uses an extension code (EXT2)",
    0x84: "uses an extension code (EXT4)",
    ord("P"): "uses a persistent id (PERSID)",
    ord("Q"): "uses a persistent id (BINPERSID)",
    0x97: "keeps arrays outside the file (NEXT_BUFFER)",
    0x98: "keeps arrays outside the file (READONLY_BUFFER)",
}


def load_closed(file: FeatureFile) -> object:
    """Read the value that is pickled in a file, from its beginning to its end.

    Returns:
        ``None``, ``bool``, ``int``, ``float``, ``str``, ``list``, ``tuple`` and ``dict`` as they
        are; ``LongText`` for long texts; ``FileBytes`` and its like for bytes and for the texts of
        Python 2; ``PickledArray`` for arrays; ``Opaque`` for what is not understood.

    Raises:
        CorpusError: If it is no pickle of protocol 2 to 5, is damaged, asks for more than memory
            should hold, or was made to run programs, code or to open files.
    """
    return _Machine(file).run()


class _Machine(PickleContext):
    """The stack machine, for one file."""

    def __init__(self, file: FeatureFile) -> None:
        super().__init__(file)
        self.stack: list[object] = []
        self.marks: list[int] = []
        self.memo: dict[int, object] = {}

    def run(self) -> object:
        self._begin()
        while (code := self.file.take(1)[0]) != ord("."):
            action = _ACTIONS.get(code)
            if action is None:
                raise self._refuse_code(code)
            self.memory -= _INSTRUCTION
            action(self)
            if self.memory < 0:
                self.charge(0)
        if len(self.stack) != 1 or self.marks:
            raise self.damaged(f"{len(self.stack)} values are left at its end, not one")
        if self.file.position != self.file.size:
            raise self.damaged(f"{self.file.size - self.file.position} bytes follow its end")
        return self.stack[0]

    def _begin(self) -> None:
        if not self.file.size:
            raise CorpusError(f"{self.file.path}: is empty; get the file again")
        head = self.file.read_at(0, min(HEAD_SIZE, self.file.size)).tobytes()
        kind = name_kind(head)
        if kind == "a pickle":
            return
        if kind is None and head[0] == 0x80:
            return  # of a protocol that is named when it is read
        if kind is not None:
            reason = f"is not a pickle but {kind}; expected protocol 2 to 5"
        else:
            is_old = head[0] in b"(}]cl" and head[1:2] in (b"d", b"l", b"q", b"r", b"(")
            lack = (
                "is pickled with protocol 0 or 1"
                if is_old
                else f"is not a pickle: it begins with {head[:4]!r}"
            )
            reason = f"{lack}, expected protocol 2 to 5; save it again with a newer protocol"
        raise CorpusError(f"{self.file.path}: {reason}")

    def _refuse_code(self, code: int) -> CorpusError:
        if code not in _REFUSED:
            return self.damaged(f"{code:#04x} is not an instruction that arrays or containers need")
        name = f" of {'.'.join(_read_names(self))!r}" if code == ord("i") else ""
        return self.refused(_REFUSED[code] + name)

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
    machine.push(values, _TUPLE + 8 * len(values))


def _short_tuple(size: int) -> Callable[[_Machine], None]:
    def make(machine: _Machine) -> None:
        values = [machine.pop() for _ in range(size)]
        machine.push(tuple(reversed(values)), _TUPLE)

    return make


def _append(machine: _Machine) -> None:
    _extend(machine, [machine.pop()])


def _extend(machine: _Machine, values: list[object]) -> None:
    target = machine.top()
    if isinstance(target, Opaque):
        return
    if not isinstance(target, list):
        raise machine.damaged(f"values are put into {describe(target)}, expected a list")
    machine.charge(9 * len(values))
    target.extend(values)


def _set_item(machine: _Machine) -> None:
    value, key = machine.pop(), machine.pop()
    _update(machine, [key, value])


def _update(machine: _Machine, values: list[object]) -> None:
    target = machine.top()
    if not isinstance(target, dict) or len(values) % 2:
        raise machine.damaged(f"keys and values are put into {describe(target)}")
    put_items(machine, target, list(zip(values[::2], values[1::2], strict=True)))


def _add_items(machine: _Machine) -> None:
    machine.pop_to_mark()
    if not isinstance(machine.top(), PickledSet | Opaque):
        raise machine.damaged(f"items are put into {describe(machine.top())}, expected a set")


def _frozen_set(machine: _Machine) -> None:
    machine.pop_to_mark()
    machine.push(PickledSet(), _LIST)


def _integer(size: int, *, is_signed: bool = False) -> Callable[[_Machine], None]:
    return lambda machine: machine.push(machine.take_int(size, is_signed=is_signed), _NUMBER)


def _long(size_size: int) -> Callable[[_Machine], None]:
    def read(machine: _Machine) -> None:
        size = machine.take_int(size_size, is_signed=size_size == 4)
        if size < 0:
            raise machine.damaged(f"an integer has {size} bytes")
        if size > _LONGEST_INTEGER:
            machine.file.skip(size)
            machine.push(Opaque(f"an integer of {size} bytes"), _OBJECT)
            return
        machine.push(machine.take_int(size, is_signed=True), _NUMBER)

    return read


def _float(machine: _Machine) -> None:
    machine.push(struct.unpack(">d", machine.file.take(8))[0], _NUMBER)


def _text(size_size: int) -> Callable[[_Machine], None]:
    def read(machine: _Machine) -> None:
        size = machine.take_int(size_size)
        if size > _SHORT_TEXT:
            machine.push(LongText(machine.file.skip(size), size), _OBJECT)
            return
        try:
            text = machine.file.take(size).decode("utf-8", "surrogatepass")
            machine.push(replace_halves(text), _LIST + 4 * size)
        except UnicodeDecodeError as error:
            raise machine.damaged(f"a text is not UTF-8 ({error.reason})") from error

    return read


def _bytes(size_size: int) -> Callable[[_Machine], None]:
    def read(machine: _Machine) -> None:
        size = machine.take_int(size_size)
        machine.push(FileBytes(offset=machine.file.skip(size), length=size), _OBJECT)

    return read


def _put(machine: _Machine, number: int) -> None:
    machine.charge(_NUMBER + 40)
    machine.memo[number] = machine.top()


def _get(machine: _Machine, number: int) -> None:
    if number not in machine.memo:
        raise machine.damaged(f"value {number} is used before it is there")
    machine.stack.append(machine.memo[number])


def _global(machine: _Machine) -> None:
    module, name = _read_names(machine)
    machine.push(_look_up(machine, module, name), 0)


def _stack_global(machine: _Machine) -> None:
    name, module = machine.pop(), machine.pop()
    if not isinstance(module, str) or not isinstance(name, str):
        raise machine.damaged(f"a name is {describe(module)} and {describe(name)}, not texts")
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


def _look_up(machine: _Machine, module: str, name: str) -> Known | OpaqueName:
    known = GLOBALS.get((module, name))
    if known is not None:
        return known
    if is_attack(module, name):
        raise machine.refused(f"refers to {describe(f'{module}.{name}')}")
    machine.charge(_OBJECT + len(module) + len(name))
    return OpaqueName(f"{module}.{name}")


def _reduce(machine: _Machine) -> None:
    arguments, function = machine.pop(), machine.pop()
    if isinstance(function, OpaqueName):
        machine.push(Opaque(function.name), _DICT)
        return
    if not isinstance(function, Known) or function not in _CALLS:
        raise machine.refused(f"calls {describe(function)}")
    if not isinstance(arguments, tuple):
        raise machine.damaged(f"the arguments of a call are {describe(arguments)}")
    machine.push(_CALLS[function](machine, arguments), _OBJECT)


def _new_object(num_arguments: int) -> Callable[[_Machine], None]:
    """Take a class and its arguments from the stack, and leave an opaque value for it."""

    def make(machine: _Machine) -> None:
        for _ in range(num_arguments):
            machine.pop()
        kind = machine.pop()
        if not isinstance(kind, OpaqueName):
            raise machine.refused(f"makes an object of {describe(kind)}")
        machine.push(Opaque(kind.name), _DICT)

    return make


def _build(machine: _Machine) -> None:
    state = machine.pop()
    set_state(machine, machine.top(), state)


_ACTIONS: dict[int, Callable[[_Machine], None]] = {
    0x80: _check_protocol,
    0x95: _check_frame,
    ord("("): _mark,
    ord("N"): lambda machine: machine.push(None, 0),
    0x88: lambda machine: machine.stack.append(True),
    0x89: lambda machine: machine.stack.append(False),
    ord("}"): lambda machine: machine.push({}, _DICT),
    ord("]"): lambda machine: machine.push([], _LIST),
    ord(")"): lambda machine: machine.push((), 0),
    0x8F: lambda machine: machine.push(PickledSet(), _LIST),
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
    0x81: _new_object(1),
    0x92: _new_object(2),
}
