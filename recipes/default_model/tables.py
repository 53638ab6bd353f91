"""How good the default model is on clips held back, by source and by what was shown."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from compose import Joined, Weights, name_clip

from mien.calibration import Calibration
from mien.checkpoint import read_header
from mien.predictions import Predictions, read_predictions
from mien.run import SeedFolder
from mien.types import Modality, Scale, Split, Task

_TASKS = {
    "mosi": Task.TEXT,
    "mosei": Task.TEXT,
    "ravdess": Task.AUDIO,
    "ferplus": Task.VIDEO,
    "taiwan": Task.VIDEO,
    "actor01": Task.VIDEO,
    "made": Task.FUSION,
}
_HEAD = """| split | clips | task | n | MAE | constant | Corr | Acc-2 non0 % | inside % | width |
| :--- | :--- | :--- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
"""
_EMOTIONS = """| source | shown | n | label | score | deviation |
| :--- | :--- | ---: | ---: | ---: | ---: |
"""


def write_tables(seed: SeedFolder, joined: Sequence[Joined], weights: Weights, out: Path) -> None:
    """Write what the model card reports."""
    header = read_header(seed.best)
    calibration = Calibration.model_validate(header["calibration"])
    by_id = {name_clip(one): one for one in joined}
    lines = [f"Weights of the made label: {weights}\n\n", _HEAD]
    emotions = [_EMOTIONS]
    splits: tuple[Split, ...] = ("valid", "test")
    for split in splits:
        path = next(p for p in (seed.path / f"predictions-{split}.csv",) if p.is_file())
        found = read_predictions(path)
        lines += _rows(split, found, by_id, calibration, Scale(*header["scale"]))
        if split == "test":
            emotions += _emotion_rows(found, by_id)
    widths = [f"| {name} | {width:.2f} |\n" for name, width in calibration.fusion.items()]
    widths += [f"| {m} alone, its own score | {w:.2f} |\n" for m, w in calibration.unimodal.items()]
    table = ["| present | half width |\n| :--- | ---: |\n", *widths]
    out.write_text("".join([*lines, "\n", *emotions, "\n", *table]), encoding="utf-8")


def _rows(
    split: Split,
    found: Predictions,
    by_id: Mapping[str, Joined],
    calibration: Calibration,
    scale: Scale,
) -> Iterator[str]:
    places = defaultdict(list)
    for row, name in enumerate(found.ids):
        places[_kind_of(by_id[name])].append(row)
    for kind, rows in sorted(places.items()):
        source = kind.split(",")[0]
        for task in dict.fromkeys((_TASKS[source], Task.FUSION)):
            scores, targets = found.scores[task][rows], found.targets[task][rows]
            inside, widths = [], []
            for row, target in zip(rows, targets, strict=True):
                present = [m for m in Modality if found.present[m][row]]
                score = float(np.clip(found.scores[task][row], *scale))
                low, high = calibration.interval(task, score, present, scale)
                inside.append(low <= target <= high)
                widths.append(high - low)
            kept = targets != 0
            right = ((scores > 0) == (targets > 0))[kept].mean() if kept.any() else float("nan")
            constant = np.abs(targets - np.median(targets)).mean()
            error = np.abs(scores - targets).mean()
            yield (
                f"| {split} | {kind} | {task} | {len(rows)} | {error:.3f} | "
                f"{constant:.3f} | {np.corrcoef(scores, targets)[0, 1]:.3f} | {100 * right:.1f} | "
                f"{100 * np.mean(inside):.1f} | {np.mean(widths):.2f} |\n"
            )


def _kind_of(one: Joined) -> str:
    return one.kind if one.kind != "made" else "made, " + "+".join(one.items)


def _emotion_rows(found: Predictions, by_id: Mapping[str, Joined]) -> Iterator[str]:
    groups = defaultdict(list)
    for row, name in enumerate(found.ids):
        one = by_id[name]
        if len(one.items) == 1 and one.text is None:
            item = next(iter(one.items.values()))
            groups[item.source, item.emotion].append(row)
    for (source, emotion), rows in sorted(groups.items()):
        if not emotion or len(rows) < 5:
            continue
        scores = found.scores[_TASKS[source]][rows]
        targets = found.targets[Task.FUSION][rows]
        yield (
            f"| {source} | {emotion} | {len(rows)} | {targets.mean():+.2f} | "
            f"{scores.mean():+.2f} | {scores.std():.2f} |\n"
        )
