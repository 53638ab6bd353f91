"""What a value of a pickle is, in a few words, and what to do about one that is not understood."""

from dataclasses import dataclass

import numpy as np

from mien.corpora.safe_pickle.lazy_array import LongText, PickledArray
from mien.corpora.safe_pickle.names import Known, Opaque, OpaqueName

__all__ = ["PickledSet", "PickledType", "advise", "describe"]


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
