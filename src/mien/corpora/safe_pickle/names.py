"""The names that a pickle mentions: those that are understood, those that stay opaque, and attacks.

None is ever imported or called. Files of the field hold whatever lay in somebody's program beside
the features: dates, settings, objects of their own classes. What is made by a name that is not
understood is an ``Opaque`` value, which matters only where it stands in the place of features.
"""

from dataclasses import dataclass
from enum import Enum

__all__ = ["GLOBALS", "Known", "Opaque", "OpaqueName", "is_attack"]


class Known(Enum):
    """The names that are understood."""

    NDARRAY = "ndarray"
    DTYPE = "dtype"
    RECONSTRUCT = "_reconstruct"
    SCALAR = "scalar"
    FROMBUFFER = "_frombuffer"
    ENCODE = "encode"
    BYTES = "bytes"
    DICT = "dict"
    DEFAULTDICT = "defaultdict"
    LIST = "list"
    TUPLE = "tuple"
    SET = "set"


#: What each name that a file may mention stands for.
GLOBALS: dict[tuple[str, str], Known] = {
    ("numpy", "ndarray"): Known.NDARRAY,
    ("numpy", "dtype"): Known.DTYPE,
    ("numpy.core.multiarray", "_reconstruct"): Known.RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): Known.RECONSTRUCT,
    ("numpy.core.multiarray", "scalar"): Known.SCALAR,
    ("numpy._core.multiarray", "scalar"): Known.SCALAR,
    ("numpy.core.numeric", "_frombuffer"): Known.FROMBUFFER,
    ("numpy._core.numeric", "_frombuffer"): Known.FROMBUFFER,
    ("_codecs", "encode"): Known.ENCODE,
    ("collections", "OrderedDict"): Known.DICT,
    ("collections", "defaultdict"): Known.DEFAULTDICT,
    **{
        (module, name): known
        for module in ("builtins", "__builtin__")
        for name, known in {
            "bytes": Known.BYTES,
            "dict": Known.DICT,
            "list": Known.LIST,
            "tuple": Known.TUPLE,
            "set": Known.SET,
            "frozenset": Known.SET,
        }.items()
    },
}

#: Modules whose functions run programs or code, or open files and connections. Nothing of them
#: would be called, but a file that names one was made to do harm, and its reader should know.
_ATTACKS = frozenset(
    {
        *("os", "posix", "nt", "subprocess", "commands", "popen2", "pty", "sys", "shutil"),
        *("runpy", "importlib", "imp", "zipimport", "pkgutil", "ctypes", "_ctypes", "code"),
        *("codeop", "bdb", "pdb", "timeit", "trace", "profile", "cProfile", "marshal", "pickle"),
        *("_pickle", "cPickle", "dill", "cloudpickle", "joblib", "webbrowser", "socket"),
        *("urllib", "urllib2", "http", "ftplib", "smtplib", "requests", "asyncio", "signal"),
        *("tempfile", "glob", "fileinput", "linecache", "gc", "inspect", "site", "atexit"),
        *("platform", "pip", "setuptools", "distutils", "venv", "ensurepip", "codecs", "_codecs"),
    }
)
#: Names that harm in modules that are otherwise harmless.
_ATTACK_NAMES = frozenset(
    {
        *("eval", "exec", "execfile", "compile", "open", "file", "input", "raw_input", "getattr"),
        *("setattr", "delattr", "__import__", "breakpoint", "globals", "locals", "vars"),
        *("load", "loads", "memmap", "fromfile", "tofile", "loadtxt", "genfromtxt", "reduce"),
        *("FunctionType", "CodeType", "LambdaType", "MethodType", "FileIO", "open_code"),
    }
)


def is_attack(module: str, name: str) -> bool:
    """Return whether a name is one by which pickles do harm when they are loaded by ``pickle``.

    >>> is_attack("os", "system"), is_attack("builtins", "eval"), is_attack("datetime", "date")
    (True, True, False)
    """
    parts = name.split(".")
    return module.partition(".")[0] in _ATTACKS or bool(_ATTACK_NAMES.intersection(parts))


@dataclass(frozen=True, slots=True)
class OpaqueName:
    """A class or function that is not understood.

    Attributes:
        name: Module and name, as the file has them.
    """

    name: str


class Opaque(dict[str | int, object]):
    """A value of which nothing is known but what made it.

    Classes of one's own that are dicts put items into it, which are there as in any dict.

    Args:
        name: Of what made it.
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
