"""An epoch of a training as a line of a table, with the heading above it."""

import math

from mien.evaluation.metrics import RELATIVE_LOSS
from mien.reports.text import UNDEFINED
from mien.training.listening import EpochRecord
from mien.training.settings import TrainConfig

__all__ = ["format_epoch", "format_epoch_heading"]


def format_epoch_heading(record: EpochRecord) -> str:
    """Return the two lines that stand above the lines of ``format_epoch``."""
    names = [*record.losses, *_live_metrics(record)]
    losses = "loss on train".center(8 * len(record.losses))
    has_shares = any(name.startswith("acc2") for name in names)
    valid = "valid, multimodal" + (", acc2 in %" if has_shares else "")
    line = f"{'epoch':<7}" + "".join(name.rjust(_column(name)) for name in names) + " best"
    return f"{'':<7}{losses}  {valid}".rstrip() + f"\n{line}"


def format_epoch(record: EpochRecord, config: TrainConfig, *, best: int) -> str:
    """Return an epoch in one line: losses per task, validation metrics, and the best so far.

    The best epoch so far is marked where it is this one.

    Every reading of two-class accuracy is shown under its own name, in percent.

    Args:
        record: What the epoch gave.
        config: Says how many epochs there are at most.
        best: The best epoch so far.
    """
    cells = [f"{loss:.3f}".rjust(_column(name)) for name, loss in record.losses.items()]
    for name in _live_metrics(record):
        value = record.valid[name]
        text = f"{100 * value:.2f}" if name.startswith("acc2") else f"{value:.3f}"
        cells.append((UNDEFINED if math.isnan(value) else text).rjust(_column(name)))
    mark = f"{best}{'*' if record.is_best else ''}".rjust(5)
    return f"{f'{record.epoch}/{config.epochs}':<7}" + "".join(cells) + mark


def _live_metrics(record: EpochRecord) -> list[str]:
    shown = ("mae", "corr", RELATIVE_LOSS)
    return [name for name in record.valid if name in shown or name.startswith("acc2")]


def _column(name: str) -> int:
    if name == RELATIVE_LOSS:
        return len(name) + 2
    return 10 if name.startswith("acc2") else 7 if name in ("mae", "corr") else 8
