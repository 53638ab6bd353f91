"""Measure the evidence of ``latent``: five late-fusion models in one process, and in several.

    python benchmarks/evidence.py [--clips 800] [--processes 2] [--epochs 3]

Each model computes with one thread in any case. Both ways take the same epochs in turn, on the
planted corpus (synthetic), and their scores are compared bit by bit. Printed are the wall time of
an epoch, the ratio of one process to several, the seconds until the processes are ready, and which
share of the processor's time in one process is spent on work that all folds have in common
(reading and padding clips), and on their own.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from mien.corpora.planted.corpus import make_planted
from mien.corpora.planted.planted_config import PlantedConfig
from mien.data.dataset import ClipDataset
from mien.data.store_writer import write_store
from mien.processes.threads import one_thread
from mien.training.out_of_fold.evidence_settings import evidence_settings, with_frozen_text
from mien.training.out_of_fold.fold_team import FoldTeam, LabelsOfFolds, open_team
from mien.training.out_of_fold.folds import FoldPlan
from mien.training.preparation import prepare
from mien.training.settings import read_config


def main() -> None:
    """Print what an epoch of all folds takes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clips", type=int, default=800)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, one_thread():
        plan = make_plan(Path(folder), options.clips)
        with open_team(plan, 1) as alone, open_team(plan, options.processes) as several:
            start = time.perf_counter()
            is_same = run(several, 0)[1].keys() == run(alone, 0)[1].keys()
            print(f"{len(plan.dataset)} clips of train, {plan.num_folds} folds; the first epoch of")
            print(f"both, with the start of the processes: {time.perf_counter() - start:.1f} s")
            ratios, shares = [], []
            for epoch in range(1, options.epochs + 1):
                with reading() as read:
                    before = time.process_time()
                    one, scores = run(alone, epoch)
                    shares.append(read[0] / (time.process_time() - before))
                many, others = run(several, epoch)
                is_same &= all(torch.equal(scores[key], others[key]) for key in scores)
                ratios.append(one / many)
                print(f"epoch {epoch}: {one:.1f} s, in processes {many:.1f} s: x {one / many:.2f}")
    print(f"one process / {options.processes}: {statistics.median(ratios):.2f} (median)")
    print(f"scores are the same bit for bit: {is_same}")
    print(f"reading and padding: {100 * statistics.median(shares):.0f} % of one process")


def make_plan(folder: Path, num_clips: int) -> FoldPlan:
    """Return how the models are made, from a planted corpus."""
    store = write_store(make_planted(PlantedConfig(num_clips=num_clips)), folder / "planted")
    config = read_config("tam_ulag-planted")
    prepared, settings = prepare(store, config), evidence_settings(config)
    dataset, sizes, _ = with_frozen_text(prepared, settings)
    return FoldPlan(
        dataset=dataset,
        sizes=sizes,
        scale=prepared.scale,
        settings=settings,
        seed=1111,
        aims=prepared.aims,
    )


def run(team: FoldTeam, epoch: int) -> tuple[float, dict]:
    """Return the wall time of an epoch, and its scores."""
    start = time.perf_counter()
    scores = team.run_epoch(epoch + 1, LabelsOfFolds(), None)
    return time.perf_counter() - start, scores


@contextmanager
def reading() -> Iterator[list[float]]:
    """Count the processor's time in which clips are read and padded."""
    spent, ordinary = [0.0], ClipDataset.batch

    def batch(dataset: ClipDataset, index: object) -> object:
        start = time.process_time()
        try:
            return ordinary(dataset, index)  # type: ignore[arg-type]
        finally:
            spent[0] += time.process_time() - start

    ClipDataset.batch = batch  # type: ignore[method-assign, assignment]
    try:
        yield spent
    finally:
        ClipDataset.batch = ordinary  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
