"""What a pickle says about Python's plain containers and bytes, understood and never called."""

from collections.abc import Callable, Sequence

from mien.corpora.safe_pickle.descriptions import PickledSet, describe
from mien.corpora.safe_pickle.lazy_array import (
    Latin1Bytes,
    LongText,
    MemoryBytes,
    Payload,
    text_of,
)
from mien.corpora.safe_pickle.names import Known, Opaque
from mien.corpora.safe_pickle.reading_context import PickleContext

__all__ = ["PLAIN_CALLS", "put_items"]

#: Longest text and largest number that are the key of a dict.
_LONGEST_KEY, _LARGEST_KEY = 4096, 1 << 31


def _call_encode(context: PickleContext, arguments: tuple[object, ...]) -> Payload:
    match arguments:
        case (str() | LongText() as text, "latin1" | "latin-1"):
            pass
        case _:
            raise context.refused("calls the name 'encode' on something but Latin-1 text")
    if isinstance(text, LongText):
        if text.encoded is None:
            text.encoded = Latin1Bytes.scan(context.file, text.offset, text.length)
            context.charge(400)
        return text.encoded
    try:
        data = text.encode("latin-1")
    except UnicodeEncodeError as error:
        raise context.damaged(f"bytes are not Latin-1 text ({error.reason})") from error
    context.charge(len(data))
    return MemoryBytes(data=data)


def _call_dict(context: PickleContext, arguments: tuple[object, ...]) -> dict[str | int, object]:
    """Make a dict of nothing, of another, or of pairs, as an ``OrderedDict`` is written."""
    values: dict[str | int, object] = {}
    match arguments:
        case ():
            return values
        case (dict() as given,):
            pairs: list[tuple[object, ...]] = list(given.items())
        case (list() | tuple() as given,) if all(_is_pair(item) for item in given):
            pairs = [tuple(item) for item in given]
        case _:
            raise context.damaged("a dict is made of something but pairs")
    put_items(context, values, pairs)
    return values


def _is_pair(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2


def put_items(
    context: PickleContext, target: dict[str | int, object], pairs: Sequence[Sequence[object]]
) -> None:
    """Put keys and values into a dict: those whose keys are texts, or numbers that are not large.

    Nothing else is a key of anything that is used, so it is left out. Large numbers can be chosen
    so that a dict of them takes quadratic time.

    Raises:
        CorpusError: If a key cannot be one.
    """
    context.charge(100 * len(pairs))
    for key, value in pairs:
        if isinstance(key, Payload) and key.length <= _LONGEST_KEY:
            text = text_of(context.file, key)
            if text is not None:
                target[text] = value
        elif isinstance(key, str) or (isinstance(key, int) and abs(key) <= _LARGEST_KEY):
            target[key] = value
        elif isinstance(key, list | dict) and not isinstance(key, Opaque):
            raise context.damaged(f"a key is {describe(key)}, which can be none")


def _call_defaultdict(
    context: PickleContext, arguments: tuple[object, ...]
) -> dict[str | int, object]:
    return _call_dict(context, arguments[1:])


def _call_list(context: PickleContext, arguments: tuple[object, ...]) -> list[object]:
    match arguments:
        case ():
            return []
        case (list() | tuple() as given,):
            context.charge(9 * len(given))
            return list(given)
    raise context.damaged("a list is made of something but values")


def _call_tuple(context: PickleContext, arguments: tuple[object, ...]) -> tuple[object, ...]:
    return tuple(_call_list(context, arguments))


def _call_set(context: PickleContext, arguments: tuple[object, ...]) -> PickledSet:  # noqa: ARG001  # as all
    return PickledSet()


def _call_bytes(context: PickleContext, arguments: tuple[object, ...]) -> Payload:
    if arguments:
        raise context.refused("calls the name 'bytes' with arguments")
    return MemoryBytes(data=b"")


#: What each name does when it is called.
PLAIN_CALLS: dict[Known, Callable[[PickleContext, tuple[object, ...]], object]] = {
    Known.ENCODE: _call_encode,
    Known.BYTES: _call_bytes,
    Known.DICT: _call_dict,
    Known.DEFAULTDICT: _call_defaultdict,
    Known.LIST: _call_list,
    Known.TUPLE: _call_tuple,
    Known.SET: _call_set,
}
