"""The errors that a user can cause and fix; the command line prints them as one sentence."""

from collections.abc import Iterable
from importlib.util import find_spec

from mien.installation import install_command

__all__ = [
    "AssetError",
    "CheckpointError",
    "ConfigError",
    "CorpusError",
    "DivergenceError",
    "ExtractionError",
    "FeatureError",
    "MediaError",
    "MetricError",
    "MienError",
    "OutputError",
    "PluginError",
    "StoreError",
    "TrainingError",
    "list_some",
    "name_known",
    "require",
]


class MienError(Exception):
    """A user's mistake or a broken input: where, what was found, what was expected, what to do."""


class ConfigError(MienError, ValueError):
    """A setting is misspelt, out of range, or does not fit the others."""


class CorpusError(MienError, ValueError):
    """An annotation file or a published feature file is not what it should be."""


class MediaError(MienError, ValueError):
    """A recording cannot be read, or does not hold what is asked of it."""


class ExtractionError(MienError, ValueError):
    """An extraction cannot start, cannot be continued, or lost too many clips."""


class FeatureError(MienError, ValueError):
    """A time series of features is misshapen, not finite, or does not fit its clips."""


class StoreError(MienError, ValueError):
    """A store cannot be opened, or does not hold what is asked of it."""


class AssetError(MienError, ValueError):
    """A pretrained model is not here, or is not the one that was expected.

    Args:
        message: The sentence.
        missing: Name of the asset to get with ``mien assets get``, if that would fix the error.
    """

    def __init__(self, message: str, *, missing: str = "") -> None:
        super().__init__(message)
        self.missing = missing


class CheckpointError(MienError, ValueError):
    """A checkpoint or run folder cannot be read, or does not fit what it is used for."""


class OutputError(MienError, OSError):
    """What was made cannot be written: no room, no permission, or no such place.

    Args:
        message: The sentence.
        errno: The system's number for it, if it has one.
        strerror: The system's words for it.
    """

    def __init__(self, message: str, *, errno: int | None = None, strerror: str = "") -> None:
        super().__init__(message)
        self.errno = errno
        self.strerror = strerror

    def __str__(self) -> str:
        """Return the sentence."""
        return str(self.args[0])


class PluginError(MienError):
    """A model, corpus or extractor of another package cannot be used, or its name is taken."""


class MetricError(MienError, ValueError):
    """A metric is asked for something on which it has no meaning."""


class TrainingError(MienError, ValueError):
    """A training cannot start, diverged, or cannot be continued."""


class DivergenceError(TrainingError):
    """A training came to numbers that are not finite; with another seed it may go well."""


def require(*packages: str, extra: str) -> None:
    """Check that packages of an extra are installed, without importing them.

    Raises:
        ConfigError: If one is not; the sentence has the line that installs it.

    >>> require("json", extra="extract")
    """
    for package in packages:
        if find_spec(package) is None:
            raise ConfigError(
                f"the package {package!r} is not installed; install it with: "
                f"{install_command(extra)}"
            )


def list_some(names: Iterable[str], most: int, *, word: str = "") -> str:
    """Return names in a row, of many the first and how many others there are.

    Args:
        names: The names.
        most: How many are named if there are more; one that would be left alone is named too.
        word: What stands before the last of them; none between names, and ``and`` before others.

    >>> list_some("abc", 3), list_some("abcd", 3), list_some("abcde", 3)
    ('a, b, c', 'a, b, c, d', 'a, b, c and 2 others')
    >>> list_some("abc", 3, word="or"), list_some("abcde", 3, word="or")
    ('a, b or c', 'a, b, c or 2 others')
    """
    shown = list(names)
    left = len(shown) - most
    if left > 1:
        shown = [*shown[:most], f"{left} others"]
    elif not word:
        return ", ".join(shown)
    *first, last = shown or [""]
    return f"{', '.join(first)} {word or 'and'} {last}" if first else last


def name_known(name: str, known: Iterable[str]) -> str:
    """Return what to say of a name that is not known: the one that was meant, or all there are.

    >>> name_known("minilmm", ["minilm", "face-landmarker"])
    "did you mean 'minilm'?"
    >>> name_known("bert", ["minilm", "face-landmarker"])
    'there are: minilm, face-landmarker'
    """
    from difflib import get_close_matches  # needed in errors alone

    names = list(known)
    close = get_close_matches(name, names, n=1, cutoff=0.75)
    return f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(names) or 'none'}"
