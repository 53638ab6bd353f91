"""What runs that are compared predict of the same clips: sentiment, and targets they share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, Shaped

from mien.errors import CheckpointError
from mien.evaluation.bootstrap import Draws, Unit, draw_units, group_clips
from mien.evaluation.metrics_file.evaluation_folder import EvaluationFolder
from mien.evaluation.metrics_file.run_metrics import RunMetrics
from mien.evaluation.predictions import Predictions
from mien.training.checkpoints.shipped_models import find_shipped
from mien.training.run_folder import RunFolder, open_run
from mien.types import Split, Target, Task

__all__ = [
    "AlignedRuns",
    "ComparedFolder",
    "SeedScores",
    "align_runs",
    "check_seeds",
    "draw_shared",
    "open_compared",
    "read_seeds",
    "stack_seeds",
    "take_annotated",
    "units_of",
]


#: What can be compared: a run on its own store, or a run or model evaluated on any.
ComparedFolder = RunFolder | EvaluationFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedScores:
    """What a run predicts of sentiment or a target on a split: one row per seed.

    Attributes:
        name: The run.
        ids: Its clips.
        scores: Scores, or K values of each clip.
        targets: What is annotated.
        speakers: Who speaks in each clip, as ``Predictions.speakers``.
    """

    name: str
    ids: tuple[str, ...]
    scores: Float[np.ndarray, "S N *K"]
    targets: Float[np.ndarray, "N *K"]
    speakers: tuple[str, ...] = ()

    def take(self, rows: Int[np.ndarray, " _"]) -> "SeedScores":
        """Return some of the clips, in the order of the rows."""
        chosen = rows.tolist()
        return SeedScores(
            name=self.name,
            ids=tuple(self.ids[row] for row in chosen),
            scores=self.scores[:, rows],
            targets=self.targets[rows],
            speakers=tuple(self.speakers[row] for row in chosen) if self.speakers else (),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignedRuns:
    """What several runs predict of the same clips of a split.

    Attributes:
        runs: Their folders, of runs or evaluations.
        facts: What the ``metrics.json`` of each holds.
        names: What they are called: by their folders, or by their paths if two folders have one
            name.
        split: Part of the corpus.
        num_seeds: Seeds of each run.
        targets: What all of them predict besides sentiment, or in its place.
        scores: What each run predicts of sentiment, by the key ``""``, and of the targets by their
            names; on the clips that are annotated for it, in the order of the first run.
    """

    runs: tuple[ComparedFolder, ...]
    facts: tuple[RunMetrics, ...]
    names: tuple[str, ...]
    split: Split
    num_seeds: tuple[int, ...]
    targets: tuple[Target, ...]
    scores: Mapping[str, tuple[SeedScores, ...]]

    @property
    def has_sentiment(self) -> bool:
        """Whether sentiment is annotated, and predicted by all of them."""
        return "" in self.scores


def open_compared(folder: ComparedFolder | str | Path) -> ComparedFolder:
    """Open a run, or what ``mien evaluate --out`` wrote; what is open is given back.

    Raises:
        CheckpointError: If neither is at that path.
    """
    if isinstance(folder, RunFolder | EvaluationFolder):
        return folder
    if find_shipped(folder) is not None or Path(folder).is_file():
        raise CheckpointError(
            f"{folder}: is one model, which holds no predictions; make some with mien evaluate "
            f"{folder} --store STORE --out FOLDER, and give FOLDER"
        )
    return EvaluationFolder.find(Path(folder)) or open_run(folder)


def read_seeds(folder: ComparedFolder, split: Split) -> list[Predictions]:
    """Read the predictions of every seed of a run or an evaluation.

    Raises:
        CheckpointError: If there are none, or seeds predict other clips.
    """
    if isinstance(folder, EvaluationFolder):
        return check_seeds(folder, split, folder.predictions(split))
    seeds = folder.results().seeds
    return check_seeds(folder, split, [folder.seed(seed).predictions(split) for seed in seeds])


def check_seeds(
    folder: ComparedFolder, split: Split, read: Sequence[Predictions | None]
) -> list[Predictions]:
    """Return the predictions of the seeds of a run, which are there and of the same clips.

    Args:
        folder: The run, or an evaluation.
        split: Part of the corpus.
        read: What each of its evaluated seeds predicts of it; None if there is no such file.

    Raises:
        CheckpointError: If there are none, or seeds predict other clips.
    """
    if isinstance(folder, EvaluationFolder):
        paths, again = [folder.path] * len(read), "evaluate it again"
    else:
        paths = [folder.seed(seed).path for seed in folder.results().seeds]
        again = "train the run again"
    each: list[Predictions] = []
    for path, predictions in zip(paths, read, strict=True):
        if predictions is None:
            raise CheckpointError(f"{path}: has no predictions on {split}; choose another split")
        if each and predictions.ids != each[0].ids:
            raise CheckpointError(
                f"{path}: its {split} clips are not those of the run's other seeds; {again}"
            )
        each.append(predictions)
    if not each:
        raise CheckpointError(f"{folder.path}: has no finished seed; train it first")
    return each


def align_runs(
    runs: Sequence[ComparedFolder], read: Sequence[Sequence[Predictions]], split: Split
) -> AlignedRuns:
    """Return what runs predict of the same clips.

    Args:
        runs: One run or evaluation, or more.
        read: What the seeds of each predict of the split, from ``read_seeds``.
        split: Part of the corpus.

    Raises:
        CheckpointError: If the runs are of different corpora, have nothing annotated in common, or
            were not made on the same clips with the same annotations.
    """
    facts = tuple(run.results() for run in runs)
    for key in ("corpus", "family"):
        _check_same(runs, key, [str(getattr(run, key)) for run in facts])
    _check_folds(runs)
    names = _name_runs(runs)
    targets = _find_shared(runs, read)
    keys = [*[""] * _predict_sentiment(read), *(each.name for each in targets)]
    return AlignedRuns(
        runs=tuple(runs),
        facts=facts,
        names=names,
        split=split,
        num_seeds=tuple(map(len, read)),
        targets=targets,
        scores={
            key: take_annotated(
                [stack_seeds(*pair, key) for pair in zip(names, read, strict=True)], split
            )
            for key in keys
        },
    )


def _check_same(runs: Sequence[ComparedFolder], what: str, values: Sequence[str]) -> None:
    for run, value in zip(runs, values, strict=True):
        if value != values[0]:
            raise CheckpointError(
                f"{run.path}: {what} is {value!r}, must be {values[0]!r} as in {runs[0].path}; "
                "compare runs on the same data"
            )


def _check_folds(folders: Sequence[ComparedFolder]) -> None:
    """Check that runs over folds have the same ones, by the clips that each holds out.

    An evaluation has none: of whatever it was made, it is compared on its clips.
    """
    runs = [each for each in folders if isinstance(each, RunFolder)]
    if not runs:
        return
    first, *others = [
        sorted(fold["clips"] for fold in run.environment()["folds"]) if run.folds else []
        for run in runs
    ]
    for run, folds in zip(runs[1:], others, strict=True):
        if folds != first:
            raise CheckpointError(
                f"{run.path}: was not trained on the folds of {runs[0].path}; compare runs over "
                "the same folds, or runs on one store"
            )


def _name_runs(runs: Sequence[ComparedFolder]) -> tuple[str, ...]:
    """Name runs by their folders; by their paths if two folders are called the same."""
    names = tuple(run.path.resolve().name for run in runs)
    return names if len(set(names)) == len(names) else tuple(str(run.path) for run in runs)


def _predict_sentiment(read: Sequence[Sequence[Predictions]]) -> bool:
    """Return whether every run predicts sentiment, and it is annotated."""
    annotated = read[0][0].targets.get(Task.FUSION)
    is_annotated = annotated is not None and not np.isnan(annotated).all()
    return is_annotated and all(Task.FUSION in seeds[0].scores for seeds in read)


def _find_shared(
    runs: Sequence[ComparedFolder], read: Sequence[Sequence[Predictions]]
) -> tuple[Target, ...]:
    """Return the targets that all runs predict, in the order of the first one.

    Raises:
        CheckpointError: If one of them is not the same everywhere, or there is nothing to compare.
    """
    first = read[0][0].values
    shared = tuple(
        own.target
        for name, own in first.items()
        if Task.FUSION in own.truths
        and not np.isnan(own.truths[Task.FUSION]).all()
        and all(name in seeds[0].values for seeds in read)
    )
    for target in shared:
        for run, seeds in zip(runs, read, strict=True):
            if seeds[0].values[target.name].target != target:
                raise CheckpointError(
                    f"{run.path}: target {target.name!r} is not that of {runs[0].path} (other "
                    "classes, or another scale); compare runs on the same data"
                )
    if not shared and not _predict_sentiment(read):
        raise CheckpointError(
            f"compare: there is nothing that all of {', '.join(str(run.path) for run in runs)} "
            "predict and that is annotated; compare runs that share sentiment or a target"
        )
    return shared


def stack_seeds(name: str, seeds: Sequence[Predictions], key: str) -> SeedScores:
    """Return what the seeds of a run predict of sentiment, or of the target of this name."""
    if key:
        scores = [each.values[key].values[Task.FUSION] for each in seeds]
        targets = seeds[0].values[key].truths[Task.FUSION]
    else:
        scores = [each.scores[Task.FUSION] for each in seeds]
        targets = seeds[0].targets[Task.FUSION]
    first = seeds[0]
    return SeedScores(
        name=name,
        ids=first.ids,
        scores=np.stack(scores),
        targets=targets,
        speakers=first.speakers,
    )


def take_annotated(runs: Sequence[SeedScores], split: Split) -> tuple[SeedScores, ...]:
    """Return the runs on the annotated clips, all in the order of the first one's.

    Raises:
        CheckpointError: If runs predict other clips, or their annotations differ.
    """
    aligned = [runs[0], *(_align(run, runs[0], split) for run in runs[1:])]
    targets = runs[0].targets
    rows = np.flatnonzero(~np.isnan(targets.reshape(len(targets), -1)).any(axis=1))
    return tuple(run.take(rows) for run in aligned)


def units_of(
    predictions: Predictions, rows: Int[np.ndarray, " R"]
) -> tuple[Unit, Shaped[np.ndarray, " R"]]:
    """Return the largest units that some clips are of, and the name of each clip's unit."""
    ids, who = [predictions.ids[row] for row in rows], predictions.speakers
    groups = group_clips(ids, [who[row] for row in rows] if who else ())
    unit, names = list(groups.items())[-1]
    return unit, np.arange(len(ids)).astype(str) if names is None else names


def draw_shared(runs: Sequence[SeedScores], by: Unit | None = None) -> tuple[Unit, Draws]:
    """Draw what the clips of aligned runs come from, and return what that is.

    Args:
        runs: The runs, on the same clips; speakers are those of the first that knows them.
        by: What is drawn; None stands for the largest units that there are: speakers, else videos
            of which several clips come, else clips.

    Raises:
        CheckpointError: If there are no such units.
    """
    speakers = next((run.speakers for run in runs if run.speakers), ())
    groups = group_clips(runs[0].ids, speakers)
    unit = list(groups)[-1] if by is None else by
    if unit not in groups:
        known = " or ".join(groups)
        raise CheckpointError(
            f"compare by {unit}: these clips are not of several {unit}s of which one has several "
            f"clips, or each {unit} is a video, or runs were trained before speakers were written "
            f"beside predictions; compare by {known}"
        )
    return unit, draw_units(len(runs[0].ids), groups[unit])


def _align(run: SeedScores, first: SeedScores, split: Split) -> SeedScores:
    """Bring the clips of a run into the order of the first one's."""
    missing = sorted(set(first.ids) ^ set(run.ids))
    if missing:
        lacks, has = (run, first) if missing[0] in first.ids else (first, run)
        raise CheckpointError(
            f"{split} of {lacks.name} lacks clip {missing[0]!r}, which {has.name} has "
            f"({len(missing)} clips are in one of them only); compare runs on the same clips"
        )
    row_of = {name: row for row, name in enumerate(run.ids)}
    rows = np.array([row_of[name] for name in first.ids], dtype=np.int64)
    targets = run.targets[rows]
    is_same = np.isclose(targets, first.targets, rtol=0, atol=1e-6, equal_nan=True)
    unlike = np.flatnonzero(~is_same.reshape(len(rows), -1).all(axis=1))
    if unlike.size:
        row = unlike[0]
        raise CheckpointError(
            f"{split} clip {first.ids[row]!r}: annotated {targets[row].tolist()!r} in {run.name}, "
            f"{first.targets[row].tolist()!r} in {first.name}; compare runs on the same annotations"
        )
    return replace(run.take(rows), targets=first.targets)
