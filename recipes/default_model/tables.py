"""The tables of the model card: how good a model is on clips held back, by source and more."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from compose import Joined
from jaxtyping import Float
from widths import rows_by_modalities

from mien.evaluation.conformal import Calibration, half_width, name_modalities
from mien.evaluation.predictions import Predictions
from mien.types import Modality, Scale, Task

#: The head that a source's annotation is of.
HEADS = {
    "mosi": Task.TEXT,
    "mosei": Task.TEXT,
    "ravdess": Task.AUDIO,
    "ferplus": Task.VIDEO,
    "taiwan": Task.VIDEO,
    "actor01": Task.VIDEO,
}


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Clips of a split, what they are composed of, and how they were scored.

    Attributes:
        found: Scores and annotations.
        clips: What each is composed of, in the same order.
        calibration: Widths of the intervals of the model.
        scale: Range of the scores.
    """

    found: Predictions
    clips: Sequence[Joined]
    calibration: Calibration
    scale: Scale

    def alone(self, source: str) -> list[int]:
        """Return the rows with a single item of a source."""
        return [row for row, one in enumerate(self.clips) if one.kind == source]

    def width(self, task: Task, row: int) -> float:
        """Return the half width of a score: of its own head, or by what is present."""
        if task is not Task.FUSION:
            return self.calibration.unimodal.get(Modality(task), np.inf)
        return self.calibration.fusion.get(name_modalities(list(self.clips[row].items)), np.inf)

    def inside(self, task: Task, rows: Sequence[int]) -> Float[np.ndarray, "N 2"]:
        """Return for each row whether its annotation is in its interval, and how wide that is."""
        cut = self.scale.clip(self.found.scores[task])
        values = []
        for row in rows:
            width = self.width(task, row)
            low = max(self.scale.low, cut[row] - width)
            high = min(self.scale.high, cut[row] + width)
            values.append((low <= self.found.targets[task][row] <= high, high - low))
        return np.array(values, dtype=np.float64).reshape(-1, 2)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table in Markdown; columns whose name begins with ``*`` are text."""
    names = [name.removeprefix("*") for name in columns]
    lines = ["| " + " | ".join(names) + " |"]
    lines.append("| " + " | ".join(":---" if c[:1] == "*" else "---:" for c in columns) + " |")
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join(lines) + "\n"


ACCURACY = ("*clips", "n", "*head", "MAE", "constant", "Corr", "Acc-2 non0 %", "inside %", "width")


def accuracy(scored: Scored, name: str, task: Task, rows: Sequence[int]) -> list[str]:
    """Return how good a head is on some clips, as a row of the table ``ACCURACY``."""
    scores, targets = scored.found.scores[task][rows], scored.found.targets[task][rows]
    is_sided = targets != 0
    right = ((scores > 0) == (targets > 0))[is_sided].mean()
    is_lone_fusion = task is Task.FUSION and all(len(scored.clips[row].items) == 1 for row in rows)
    share, width = scored.inside(task, rows).mean(axis=0)
    return [
        name,
        str(len(rows)),
        str(task),
        f"{np.abs(scores - targets).mean():.3f}",
        f"{np.abs(targets - np.median(targets)).mean():.3f}",
        f"{np.corrcoef(scores, targets)[0, 1]:.3f}",
        f"{100 * right:.1f}",
        "" if is_lone_fusion else f"{100 * share:.1f}",  # the interval is that of the other head
        "" if is_lone_fusion else f"{width:.2f}",
    ]


def by_shown(scored: Scored, sources: Sequence[str]) -> Iterator[list[str]]:
    """Return the mean score of a lone voice or face by what was shown."""
    groups = defaultdict(list)
    for row, one in enumerate(scored.clips):
        if one.kind in sources:
            item = next(iter(one.items.values()))
            groups[sources.index(one.kind), item.emotion].append(row)
    for (place, emotion), rows in sorted(groups.items()):
        task = HEADS[sources[place]]
        scores, targets = scored.found.scores[task][rows], scored.found.targets[task][rows]
        yield [
            sources[place],
            emotion,
            str(len(rows)),
            f"{targets.mean():+.2f}",
            f"{scores.mean():+.2f}",
            f"{scores.std():.2f}",
        ]


def by_group(scored: Scored, source: str) -> Iterator[list[str]]:
    """Return how many annotations lie inside the interval of a source's own head, by group."""
    groups = defaultdict(list)
    for row in scored.alone(source):
        groups[next(iter(scored.clips[row].items.values())).group].append(row)
    for group, rows in sorted(groups.items()):
        share, width = scored.inside(HEADS[source], rows).mean(axis=0)
        yield [group, str(len(rows)), f"{100 * share:.1f}", f"{width:.2f}"]


def half_widths(scored: Scored, without: Collection[str]) -> Iterator[list[str]]:
    """Return the half widths of the model, and beside them what the fusion head would have.

    Args:
        scored: Clips of valid.
        without: Groups of items that are left out.
    """
    known = scored.calibration
    for present, rows in rows_by_modalities(scored.found, scored.clips, without).items():
        name = name_modalities(present)
        errors = (scored.found.scores[Task.FUSION] - scored.found.targets[Task.FUSION])[rows]
        lone = len(present) == 1
        width = known.unimodal.get(present[0]) if lone else known.fusion.get(name)
        yield [
            name,
            str(present[0]) if lone else "fusion",
            str(known.num_clips[name]),
            "none" if width is None else f"{width:.2f}",
            f"{half_width(errors, known.level):.2f}" if lone else "",
        ]
