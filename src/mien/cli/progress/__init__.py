"""What is shown while something takes its time: a bar in a terminal, else a line now and then.

``live_line`` is that bar and those lines; ``training_progress`` says how a run goes on, by
``pace`` and in ``epoch_lines`` and ``plan_lines``, on a ``seeds_board`` where seeds are trained
side by side, and ``work_progress`` the same of extractions, predictions and studies.
"""

from mien.cli.progress.epoch_lines import format_epoch, format_epoch_heading
from mien.cli.progress.live_line import LiveLine
from mien.cli.progress.training_progress import TrainingProgress
from mien.cli.progress.work_progress import ExtractionProgress, PredictionProgress, StudyProgress

__all__ = [
    "ExtractionProgress",
    "LiveLine",
    "PredictionProgress",
    "StudyProgress",
    "TrainingProgress",
    "format_epoch",
    "format_epoch_heading",
]
