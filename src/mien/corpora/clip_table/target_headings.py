"""Which columns of a table hold targets: ``emotion``, ``emotion_audio``, ``emotion:angry``."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from mien.corpora.class_names.emotion_names import fold_name
from mien.corpora.clip_table.cells import is_number
from mien.corpora.clip_table.columns import advise_class_columns, list_names, normalise
from mien.corpora.clip_table.target_requests import EMOTION, TargetRequest
from mien.errors import CorpusError
from mien.files.reading import show
from mien.types import Task

__all__ = ["TargetColumn", "find_target_columns"]

#: What stands between the names of a target and of one of its classes.
_CLASS_MARK = ":"
#: Other names of targets, as ``normalise`` writes them.
_SYNONYMS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        EMOTION: ("emotions", "emo", "emotionlabel", "emotionclass", "discrete"),
        "valence": ("val",),
        "arousal": ("aro", "activation", "act"),
        "dominance": ("dom",),
    }
)
#: What follows the name of a target in the columns of one modality.
_SUFFIXES: Mapping[Task, tuple[str, ...]] = MappingProxyType(
    {
        Task.FUSION: ("", "m", "multimodal"),
        Task.TEXT: ("t", "text"),
        Task.AUDIO: ("a", "audio", "voice", "vocal"),
        Task.VIDEO: ("v", "video", "vision", "visual", "face"),
    }
)


class TargetColumn(NamedTuple):
    """A column of a target.

    Attributes:
        at: Its place.
        target: What the target is called.
        task: The modality whose values it holds.
        class_name: The class whose share, intensity or presence it holds; None if it holds the
            value itself.
    """

    at: int
    target: str
    task: Task
    class_name: str | None


def find_target_columns(
    header: Sequence[str],
    cells: Callable[[int], Sequence[str]],
    path: Path,
    requests: Sequence[TargetRequest],
) -> list[TargetColumn]:
    """Find the columns of targets.

    ``emotion`` is one where it holds words or has a column per class; others must be stated. Of a
    target with a range and a scheme, columns with the names of its classes are those of them.

    Args:
        header: The names of all columns, without spaces around them.
        cells: Returns the cells of a column, by its place.
        path: The table, for messages.
        requests: What is stated of targets.

    Raises:
        CorpusError: If a target that is stated has no column, or two columns mean the same.
    """
    names = [request.name for request in requests]
    stated = set(names)
    known = _list_names([*names, *([] if EMOTION in stated else [EMOTION])])
    columns: dict[tuple[str, Task, str | None], TargetColumn] = {}
    for at, title in enumerate(header):
        column = _read_title(title, at, known) or _read_class(title, at, requests)
        if column is None or not _is_used(column, cells, stated):
            continue
        other = columns.setdefault(column[1:], column)
        if other is not column:
            if title == header[other.at]:
                raise CorpusError(f"{path}:1: column {show(title)} occurs twice; take one out")
            if column.target not in (title, header[other.at]):
                raise CorpusError(
                    f"{path}:1: columns {show(header[other.at])} and {show(title)} mean the same; "
                    f"take one out, or call the right one {column.target}"
                )
            columns[column[1:]] = column if title == column.target else other
    lacking = [name for name in names if name not in {column.target for column in columns.values()}]
    if lacking:
        advice = advise_class_columns(header) if lacking[0] == EMOTION else ""
        raise CorpusError(
            f"{path}:1: has no column for the target {lacking[0]!r}; "
            f"{advice or f'there are: {list_names(header)}'}"
        )
    return list(columns.values())


def _list_names(targets: Sequence[str]) -> dict[str, tuple[str, Task]]:
    """Return what each name of a column stands for; a target's own name before another's."""
    known: dict[str, tuple[str, Task]] = {}
    for name in targets:
        known.setdefault(normalise(name), (name, Task.FUSION))
    for name in targets:
        for stem in (normalise(name), *_SYNONYMS.get(name, ())):
            for task, suffix in _iterate_suffixes():
                known.setdefault(stem + suffix, (name, task))
    return known


def _iterate_suffixes() -> Iterator[tuple[Task, str]]:
    return ((task, suffix) for task, suffixes in _SUFFIXES.items() for suffix in suffixes)


def _read_title(title: str, at: int, known: Mapping[str, tuple[str, Task]]) -> TargetColumn | None:
    stem, mark, class_name = title.partition(_CLASS_MARK)
    meaning = known.get(normalise(stem))
    if meaning is None or (mark and not class_name.strip()):
        return None
    target, task = meaning
    return TargetColumn(at, target, task, class_name.strip() if mark else None)


def _read_class(title: str, at: int, requests: Sequence[TargetRequest]) -> TargetColumn | None:
    for request in requests:
        scheme = request.scheme if request.scale is not None else None
        if scheme is not None and scheme.find(fold_name(title)) is not None:
            return TargetColumn(at, request.name, Task.FUSION, title)
    return None


def _is_used(column: TargetColumn, cells: Callable[[int], Sequence[str]], stated: set[str]) -> bool:
    """Return whether a column is a target's: emotions as numbers are so only where that is stated.

    A column of numbers that is called ``emotion`` may be the label.
    """
    if column.target in stated or column.class_name is not None:
        return True
    return any(cell and not is_number(cell) for cell in cells(column.at))
