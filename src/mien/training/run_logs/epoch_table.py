"""An epoch as named numbers, and all epochs of a training as a table."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from mien.files.atomic import write_text
from mien.training.listening import EpochRecord

__all__ = ["epoch_values", "write_epoch_table"]


def epoch_values(record: EpochRecord) -> dict[str, float]:
    """Return the numbers of an epoch by name: ``loss/fusion``, ``valid/mae``, ``seconds``, ...

    >>> record = EpochRecord(
    ...     epoch=1,
    ...     losses={"fusion": 0.5},
    ...     valid={"mae": 0.75},
    ...     clipped=0.0,
    ...     is_best=True,
    ...     seconds=2.0,
    ...     learning_rates={"rest": 0.001},
    ... )
    >>> list(epoch_values(record))
    ['loss/fusion', 'valid/mae', 'learning_rate/rest', 'clipped', 'seconds']
    """
    return {
        **{f"loss/{task}": loss for task, loss in record.losses.items()},
        **{f"valid/{metric}": value for metric, value in record.valid.items()},
        **{f"learning_rate/{group}": rate for group, rate in record.learning_rates.items()},
        "clipped": record.clipped,
        "seconds": record.seconds,
    }


def write_epoch_table(path: Path, records: Sequence[EpochRecord]) -> None:
    """Write epochs as CSV: ``epoch``, ``is_best`` (1 or 0) and a column for each number.

    A cell is empty where an epoch has no such number, and ``nan`` where a metric is undefined.
    """
    rows = [
        {"epoch": record.epoch, "is_best": int(record.is_best), **epoch_values(record)}
        for record in records
    ]
    text = io.StringIO()
    names = dict.fromkeys(name for row in rows for name in row)
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
