"""What a user states of targets: the range of a scale, or the classes that are told apart."""

import csv
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from mien.corpora.class_names.emotion_names import fold_name
from mien.corpora.class_names.schemes import SCHEMES, Scheme
from mien.errors import ConfigError, name_known
from mien.files.reading import show
from mien.types import Scale

__all__ = ["EMOTION", "TargetRequest", "read_target_requests"]

#: The target that is found in a table without being stated.
EMOTION = "emotion"

_RANGE = re.compile(r"([^:,|]+):([^:,|]+)")
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_NAME = re.compile(r"[^\W\d][\w-]{0,39}")
#: Columns that mean something else.
_RESERVED = frozenset(
    {"video_id", "clip_id", "path", "start", "end", "text", "label", "mode", "speaker"}
)
_FORM = (
    "must be NAME=LOW:HIGH for a scale, NAME=CLASS,CLASS,... for classes, NAME=CLASS|CLASS|... "
    "where several may be there, or NAME=SCHEME"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRequest:
    """What is stated of a target.

    Attributes:
        name: What it is called, as its column.
        scale: Range of its values: those of one score, or of the intensities of classes where it
            has a column for each.
        classes: The classes that are told apart; empty for all that there are.
        are_labels: Whether several of the classes may be there at once.
        scheme: A published set of classes, in place of ``classes``.
        are_cut: Whether intensities off the scale are cut to it, and counted, in place of refused.
    """

    name: str
    scale: Scale | None = None
    classes: tuple[str, ...] = ()
    are_labels: bool = False
    scheme: Scheme | None = None
    are_cut: bool = False


def read_target_requests(texts: Iterable[str]) -> tuple[TargetRequest, ...]:
    """Read what options such as ``valence=1:5`` and ``emotion=iemocap4`` state.

    A class whose name has a comma or ``|`` in it stands in quotes, as in a CSV.

    Raises:
        ConfigError: If one is not of such a form, or states a target twice.

    >>> read_target_requests(["arousal=1:5"])[0].scale
    Scale(low=1.0, high=5.0)
    >>> read_target_requests(['emotion="happy, excited",sad'])[0].classes
    ('happy, excited', 'sad')
    """
    requests: dict[str, TargetRequest] = {}
    for text in texts:
        request = _read_request(text)
        if request.name in requests:
            raise ConfigError(f"--target {show(text)}: {request.name} was stated twice")
        requests[request.name] = request
    return tuple(requests.values())


def _read_request(text: str) -> TargetRequest:
    where = f"--target {show(text)}"
    name, equals, stated = (part.strip() for part in text.partition("="))
    if not equals or not stated:
        raise ConfigError(f"{where}: {_FORM}")
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{where}: a target has a name of letters, digits, _ and -, at most 40, that begins "
            "with a letter"
        )
    if name in _RESERVED or name.startswith("label_"):
        raise ConfigError(
            f"{where}: the column {name} means something else; give the target another name"
        )
    bounds = _RANGE.fullmatch(stated)
    if bounds is not None:
        return TargetRequest(name=name, scale=_read_scale(where, *bounds.groups()))
    if stated in SCHEMES:
        return TargetRequest(name=name, scheme=SCHEMES[stated])
    bare = _QUOTED.sub("", stated)
    separator = "|" if "|" in bare else ","
    if separator not in bare:
        raise ConfigError(
            f"{where}: no scheme is called {show(stated)}, and classes are listed with commas; "
            f"{name_known(stated, SCHEMES)}"
        )
    classes = _split_classes(where, stated, separator)
    folded = [fold_name(each) for each in classes]  # names that tables do not tell apart
    twice = [each for at, each in enumerate(classes) if folded[at] in folded[:at]]
    if not classes or twice:
        raise ConfigError(f"{where}: {f'{twice[0]} is listed twice' if twice else _FORM}")
    return TargetRequest(name=name, classes=classes, are_labels=separator == "|")


def _split_classes(where: str, stated: str, separator: str) -> tuple[str, ...]:
    """Return the names between separators; in quotes, as in a CSV, a name may hold them."""
    try:
        (parts,) = csv.reader([stated], delimiter=separator, skipinitialspace=True, strict=True)
    except csv.Error as error:
        raise ConfigError(f"{where}: quotes do not fit together ({error}); {_FORM}") from None
    return tuple(part.strip() for part in parts if part.strip())


def _read_scale(where: str, low: str, high: str) -> Scale:
    try:
        scale = Scale(float(low), float(high))
    except ValueError:
        raise ConfigError(f"{where}: {_FORM}") from None
    if not (math.isfinite(scale.low) and math.isfinite(scale.high) and scale.low < scale.high):
        raise ConfigError(f"{where}: LOW must be below HIGH, and both finite")
    return scale
