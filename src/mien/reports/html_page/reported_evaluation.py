"""An evaluation of a run or a model, read for a page of several."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mien.evaluation.formulas import Scores
from mien.evaluation.metrics_file.evaluation_folder import EvaluationFolder
from mien.evaluation.metrics_file.seed_metrics import SeedCoverage
from mien.evaluation.predictions import Predictions
from mien.reports.finished_run import ReportedRun
from mien.types import SPLITS, Split, Task

__all__ = ["ReportedEvaluation", "read_evaluation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedEvaluation(ReportedRun):
    """What the files of an evaluation say.

    Attributes:
        folder: Where they are.
        coverage: How often the intervals and sets of each seed, or of the model, hold.
    """

    folder: EvaluationFolder
    coverage: tuple[SeedCoverage, ...]

    def read_annotated(self) -> Scores:
        """Return the annotation of the clips."""
        splits = [split for split in SPLITS if split in self.metrics.splits]
        return np.concatenate(
            [self.read_predictions(split)[0].targets[Task.FUSION] for split in splits]
        )

    def read_predictions(self, split: Split) -> Sequence[Predictions]:
        """Read the predictions of each seed on the split of the evaluation."""
        return self.folder.predictions(split)

    def read_coverage(self) -> Sequence[SeedCoverage]:
        """Return how often the intervals and sets of each seed, or of the model, hold."""
        return self.coverage


def read_evaluation(folder: EvaluationFolder) -> ReportedEvaluation:
    """Read an evaluation; settings and environment are empty if an earlier version made it.

    Raises:
        CheckpointError: If a file is damaged.
    """
    model = folder.model()
    return ReportedEvaluation(
        folder=folder,
        config={} if model is None else dict(model.settings),
        metrics=folder.results(),
        environment={} if model is None else dict(model.environment),
        coverage=() if model is None else model.coverage,
        known_scale=None if model is None else model.scale,
    )
