"""The values of further targets of many clips, as arrays: only what is annotated takes memory."""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float64, Int64, Shaped, UInt8

from mien.data.clips.target_checks import ROUNDING
from mien.files.reading import show
from mien.types import Clip, Target, TargetKind, Task

__all__ = ["GrowingTargets", "TargetColumns", "name_values"]

_Key = tuple[str, Task]


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetColumns:
    """Values of every target and task that some clip is annotated for, end to end.

    Attributes:
        keys: ``NAME/TASK`` of each, joined by line breaks, in UTF-8.
        sizes: How many values each has, K.
        counts: How many clips are annotated for each.
        rows: Rows of these clips, ascending, of one target and task after the other.
        flat: Their values, likewise.
    """

    keys: UInt8[np.ndarray, " _"]
    sizes: Int64[np.ndarray, " _"]
    counts: Int64[np.ndarray, " _"]
    rows: Int64[np.ndarray, " _"]
    flat: Float64[np.ndarray, " _"]

    def parts(self) -> Iterator[tuple[_Key, Int64[np.ndarray, " n"], Float64[np.ndarray, "n K"]]]:
        """Yield each target's name and task, the rows that are annotated, and their values."""
        row = value = 0
        counts, sizes = self.counts.tolist(), self.sizes.tolist()
        for key, count, size in zip(self.described(), counts, sizes, strict=True):
            values = self.flat[value : value + count * size].reshape(count, size)
            yield key, self.rows[row : row + count], values
            row, value = row + count, value + count * size

    def described(self) -> list[_Key]:
        """Return the name and task of each, in their order."""
        text = self.keys.tobytes().decode()
        pairs = (line.rpartition("/") for line in text.split("\n") if line)
        return [(name, Task(task)) for name, _, task in pairs]

    def values(self, target: Target, task: Task, num_clips: int) -> Float64[np.ndarray, "N K"]:
        """Return the values of all clips for a task of a target; NaN where a clip has none.

        Raises:
            ValueError: If clips have another number of values.
        """
        full = np.full((num_clips, target.size), np.nan)
        for key, rows, values in self.parts():
            if key == (target.name, task):
                if values.shape[1] != target.size:
                    raise ValueError(f"{target.name!r} has {values.shape[1]} values a clip")
                full[rows] = values
        return full

    def known(self, name: str, task: Task, num_clips: int) -> Bool[np.ndarray, " N"]:
        """Return which clips have values for a task of a target."""
        is_known = np.zeros(num_clips, dtype=bool)
        for key, rows, _ in self.parts():
            if key == (name, task):
                is_known[rows] = True
        return is_known

    def find_fault(self, targets: Sequence[Target]) -> str:
        """Return in what the values are not those of the targets; empty if they are."""
        known = {target.name: target for target in targets}
        for (name, task), _, values in self.parts():
            if name not in known:
                return f"has values of {show(name)}, which is no target of meta.json"
            target = known[name]
            if values.shape[1] != target.size:
                return f"{show(name)} has {values.shape[1]} values, meta.json says {target.size}"
            low, high = target.bounds
            if not ((values >= low) & (values <= high)).all():
                return f"a value of {show(name)} for {task} is not in {low:g} to {high:g}"
            is_off = abs(values.sum(axis=1) - 1) > ROUNDING
            if target.kind is TargetKind.CLASS and is_off.any():
                return f"shares of {show(name)} for {task} do not sum to 1"
        return ""

    def to_arrays(self) -> dict[str, Shaped[np.ndarray, "..."]]:
        """Return the arrays by name."""
        return {f"target_{name}": getattr(self, name) for name in self.__slots__}

    @staticmethod
    def names() -> tuple[str, ...]:
        """Return the names of the arrays."""
        return tuple(f"target_{name}" for name in TargetColumns.__slots__)

    @staticmethod
    def from_arrays(
        arrays: Mapping[str, Shaped[np.ndarray, "..."]], num_clips: int
    ) -> "TargetColumns":
        """Return what ``to_arrays`` gave of so many clips.

        Raises:
            ValueError: If one array does not fit the others.
        """
        columns = TargetColumns(**{n: arrays[f"target_{n}"] for n in TargetColumns.__slots__})
        sizes, counts = columns.sizes, columns.counts
        fits = (
            len(columns.described()) == len(sizes) == len(counts)
            and bool((sizes > 0).all() and (counts > 0).all())
            and columns.rows.shape == (int(counts.sum()),)
            and columns.flat.shape == (int((sizes * counts).sum()),)
            and bool(((columns.rows >= 0) & (columns.rows < num_clips)).all())
        )
        if not fits:
            raise ValueError("the values of targets do not fit each other")
        return columns


@dataclass(slots=True)
class _Growing:
    size: int
    rows: "array[int]" = field(default_factory=lambda: array("q"))
    flat: "array[float]" = field(default_factory=lambda: array("d"))


class GrowingTargets:
    """Values of targets, taken in clip by clip."""

    def __init__(self) -> None:
        self._parts: dict[_Key, _Growing] = {}
        self._num_clips = 0

    def append(self, targets: Mapping[str, Mapping[Task, tuple[float, ...]]]) -> None:
        """Take in the next clip.

        Raises:
            ValueError: If it has another number of values for a target than an earlier clip, or a
                name that no target can have.
        """
        for name, tasks in targets.items():
            if not name or "\n" in name or "/" in name:
                raise ValueError(f"a target is called {name!r}")
            for task, values in tasks.items():
                part = self._parts.setdefault((name, task), _Growing(len(values)))
                if len(values) != part.size or not values:
                    raise ValueError(f"{name!r} has {len(values)} values, others have {part.size}")
                part.rows.append(self._num_clips)
                part.flat.extend(values)
        self._num_clips += 1

    def finish(self) -> TargetColumns:
        """Return the columns of all clips so far."""
        keys = "\n".join(f"{name}/{task}" for name, task in self._parts)
        parts = self._parts.values()
        rows = [np.frombuffer(part.rows, np.int64) for part in parts]
        flat = [np.frombuffer(part.flat, np.float64) for part in parts]
        return TargetColumns(
            keys=np.frombuffer(keys.encode(), np.uint8),
            sizes=np.array([part.size for part in parts], dtype=np.int64),
            counts=np.array([len(part.rows) for part in parts], dtype=np.int64),
            rows=np.concatenate([np.zeros(0, np.int64), *rows]),
            flat=np.concatenate([np.zeros(0), *flat]),
        )


def name_values(clip: Clip, targets: Sequence[Target]) -> dict[str, float]:
    """Return a clip's values by the names of ``Target.columns``; NaN where it has none."""
    cells: dict[str, float] = {}
    for target in targets:
        tasks = clip.targets.get(target.name, {})
        for task in Task:
            values = tasks.get(task, (np.nan,) * target.size)
            cells |= dict(zip(target.columns(task), values, strict=True))
    return cells
