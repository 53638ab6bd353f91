"""The process that trains the models of some folds, an epoch whenever it is told to."""

import os
import signal
import sys
from dataclasses import replace

import numpy as np
import torch

from mien.data.store import Series
from mien.errors import MienError, TrainingError
from mien.training.out_of_fold.fold_team import FoldWork, TrainedFolds, receive, send
from mien.training.out_of_fold.folds import FoldPlan, make_folds, run_epoch

__all__ = ["main", "unpack_work"]


def main() -> int:
    """Work until nobody gives any more work."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that began this one
    torch.set_num_threads(1)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # libraries that print do not disturb the answers
    try:
        work: FoldWork = receive(sys.stdin.buffer)
        plan = unpack_work(work)
        folds = list(make_folds(plan, work.numbers))
        while True:
            epoch, labels, is_followed = receive(sys.stdin.buffer)
            labels.put(folds, plan)

            def report(_: int, done: int, __: int) -> None:
                send(answers, done)

            try:
                held_out = run_epoch(
                    plan.dataset, folds, epoch, plan.seed, report if is_followed else None
                )
            except MienError as error:
                send(answers, error)
                continue
            states = {fold.number: fold.model.state_dict() for fold in folds}
            send(answers, TrainedFolds(held_out=held_out, states=states))
    except (EOFError, TrainingError):  # there is nobody to work for any more
        return 0


def unpack_work(work: FoldWork) -> FoldPlan:
    """Return the plan, with the series mapped that are mapped where it was made."""
    series = dict(work.plan.dataset.series)
    for modality, (path, offset, kind, shape) in work.mapped.items():
        values = np.memmap(path, dtype=np.dtype(kind), mode="r", offset=offset, shape=shape)
        own = series[modality]
        series[modality] = Series(values, own.offsets, own.times, own.has_context)
    return replace(work.plan, dataset=replace(work.plan.dataset, series=series))


if __name__ == "__main__":
    sys.exit(main())
