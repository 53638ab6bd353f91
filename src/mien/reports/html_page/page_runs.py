"""The runs and evaluations of a page: read, aligned on the same clips, and compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Int

from mien.data.clips.clip_columns import ClipSequence
from mien.data.store import Store, open_store
from mien.data.summary import count_transcript_words, writes_spaces
from mien.errors import StoreError
from mien.evaluation.formulas import Scores
from mien.evaluation.metrics_file.evaluation_folder import EvaluationFolder
from mien.evaluation.predictions import Predictions
from mien.reports.comparison import RunComparison, compare_aligned
from mien.reports.finished_run import ReportedRun, read_run
from mien.reports.fold_results.fold_page import read_pooled
from mien.reports.html_page.reported_evaluation import ReportedEvaluation, read_evaluation
from mien.reports.target_results.compared_scores import (
    AlignedRuns,
    ComparedFolder,
    SeedScores,
    align_runs,
    check_seeds,
    open_compared,
)
from mien.types import Split, Task

__all__ = ["PageRuns", "read_page_runs"]

_ROUNDING = 1e-6  # of annotations as they are stored


@dataclass(frozen=True, kw_only=True)
class PageRuns:
    """The runs and evaluations of a page; where it says run, it means both.

    Attributes:
        finished: The runs; the first is the one to compare with.
        aligned: What they predict of the same clips.
        comparison: How they differ; None for one run alone.
        first: What the first seed of the first run predicts, with what is annotated.
        transcripts: The text of each clip, by its id, as far as there is a store.
        language: Of the transcripts; None without a store.
    """

    finished: tuple[ReportedRun, ...]
    aligned: AlignedRuns
    comparison: RunComparison | None
    first: Predictions
    transcripts: dict[str, str]
    language: str | None

    @property
    def names(self) -> tuple[str, ...]:
        """What the runs are called."""
        return self.aligned.names

    @property
    def corpus(self) -> str:
        """Name of the corpus; a synthetic one is called so."""
        return self.finished[0].corpus

    @property
    def unit(self) -> str:
        """What the length of a transcript is counted in."""
        has_words = self.language is None or writes_spaces(self.language)
        return "words" if has_words else "characters"

    @cached_property
    def num_words(self) -> Int[np.ndarray, " N"] | None:
        """Length of the transcript of each clip with annotated sentiment; None without a store."""
        language = self.language
        if language is None:
            return None
        texts = [self.transcripts.get(name, "") for name in self.aligned.scores[""][0].ids]
        return np.array([count_transcript_words(text, language) for text in texts])

    @property
    def evaluations(self) -> dict[str, ReportedEvaluation]:
        """Those that are evaluations, by what they are called."""
        pairs = zip(self.names, self.finished, strict=True)
        return {name: run for name, run in pairs if isinstance(run, ReportedEvaluation)}

    @property
    def kind(self) -> str:
        """What they are: runs, if one is, or evaluations."""
        return "evaluation" if len(self.evaluations) == len(self.names) else "run"

    def unimodal_truths(self) -> dict[str, Scores]:
        """Return what is annotated of each modality alone, of the clips with sentiment."""
        rows = ~np.isnan(self.first.targets[Task.FUSION])
        own = {
            str(task): values[rows]
            for task, values in self.first.targets.items()
            if task is not Task.FUSION
        }
        return {name: values for name, values in own.items() if not np.isnan(values).all()}

    def scores_of(self, key: str) -> tuple[SeedScores, ...]:
        """Return what the runs predict of sentiment, ``""``, or of a target."""
        return self.aligned.scores[key]


def read_page_runs(
    runs: Sequence[ComparedFolder | str | Path], split: Split, store: Store | str | Path | None
) -> PageRuns:
    """Read the runs of a page.

    Args:
        runs: One or more, whose trainings have ended, or evaluations.
        split: Part of the corpus on which they are compared.
        store: Where the text of the clips is; None leaves it out.

    Raises:
        CheckpointError: If a training has not ended, a file is missing or damaged, or the runs do
            not predict the same clips.
        StoreError: If the store has none of the clips, or has others under their names.
    """
    folders = [open_compared(run) for run in runs]
    finished = tuple(map(_read, folders))
    read = [
        check_seeds(folder, split, run.predictions_by_seed(split))
        for folder, run in zip(folders, finished, strict=True)
    ]
    aligned = align_runs(folders, read, split)
    opened = None if store is None else open_store(store)
    return PageRuns(
        finished=finished,
        aligned=aligned,
        comparison=compare_aligned(aligned) if len(finished) > 1 else None,
        first=read[0][0],
        transcripts={} if opened is None else _read_transcripts(opened, read[0][0]),
        language=None if opened is None else opened.meta.language,
    )


def _read(folder: ComparedFolder) -> ReportedRun:
    if isinstance(folder, EvaluationFolder):
        return read_evaluation(folder)
    return read_pooled(folder) if folder.folds else read_run(folder)


def _read_transcripts(store: Store, first: Predictions) -> dict[str, str]:
    """Return the texts of the clips of a page, by their ids.

    Raises:
        StoreError: If the store has none of them, or has other clips under their names.
    """
    clips, needed = store.clips, {name: row for row, name in enumerate(first.ids)}
    rows = [row for row, name in enumerate(clips.ids) if name in needed]
    if not rows:
        raise StoreError(
            f"{store.path}: has none of the clips of these runs, such as {first.ids[0]!r}; give "
            "the store that they were trained or evaluated on"
        )
    there = clips.take(np.array(rows))
    places = [needed[name] for name in there.ids]
    if Task.FUSION in first.targets:
        _check_annotations(store, there, first.targets[Task.FUSION][places])
    return dict(zip(there.ids, there.transcripts, strict=True))


def _check_annotations(store: Store, clips: ClipSequence, annotated: Scores) -> None:
    """Check that clips of a store are annotated as those of the page that have their names."""
    labels = clips.labels(Task.FUSION)
    for row in np.flatnonzero(np.abs(labels - annotated) > _ROUNDING)[:1].tolist():
        raise StoreError(
            f"{store.path}: clip {clips.ids[row]!r} is annotated {labels[row]:g} there and "
            f"{annotated[row]:g} in these runs; give the store that they were trained or evaluated "
            "on"
        )
