"""Measure labels of classes, made by each generator from one evidence, against the truth.

    python benchmarks/class_labels.py
    python benchmarks/class_labels.py --clips 1500 --seeds 3 --set emotions.raters=0

Everything here is synthetic: the planted corpus with emotions (``mien planted --emotions``), where
the emotion of each modality is known. Late-fusion models give the evidence, out of fold, for
sentiment, emotion and arousal at once, with the settings ``tam_ulag-planted-emotions``; the labels
of ``copy``, ``oof``, ``mean``, ``latent`` and ``posterior`` follow from it before anything else is
trained. Per modality: share of a label that lies on other classes than the truth, and share of
clips whose first class is the true one, in percent, over all clips and over those in which the
truth is another class than the annotation has first. Means over the seeds, which make corpus and
evidence; below them the differences to copies with intervals of 95 %, over the clips of the first
seed.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from mien.config import apply_overrides, read_settings
from mien.corpora.planted.corpus import make_planted
from mien.corpora.planted.planted_config import PlantedConfig
from mien.data.dataset import ClipDataset
from mien.data.store_writer import write_store
from mien.evaluation.label_agreement import PARTS
from mien.evaluation.significance import MetricResults
from mien.evaluation.target_metrics.target_agreement import evaluate_target_agreement
from mien.labels.generator import TargetEvidence
from mien.labels.label_settings import (
    CopyConfig,
    GeneratorConfig,
    LatentConfig,
    MeanConfig,
    OutOfFoldConfig,
    PosteriorConfig,
)
from mien.labels.target_labels import TargetLabels
from mien.reports.text import markdown_table
from mien.tensors import Output
from mien.training.out_of_fold import cross_fit
from mien.training.preparation import prepare
from mien.training.settings import read_config
from mien.types import Modality, Target, Task, video_of

_GENERATORS: tuple[GeneratorConfig, ...] = (
    CopyConfig(),
    OutOfFoldConfig(evidence="late"),
    MeanConfig(evidence="late"),
    LatentConfig(),
    PosteriorConfig(evidence="late"),
)


def _make_labels(
    config: GeneratorConfig, target: Target, train: ClipDataset, evidence: TargetEvidence
) -> dict[Modality, np.ndarray]:
    """Return the labels of a generator after its warm-up, NaN where no clip is annotated."""
    sizes = dict.fromkeys(Task, 1)  # no generator here looks at states
    labels = TargetLabels(config, target, train.values[target.name], sizes, evidence)
    has = {m: ~evidence.values[m][:, 0].isnan() for m in Modality}
    output = Output(scores={}, states={}, attention={}, present=has)
    _, rows, annotated = labels.pick(output, torch.arange(len(train)))
    labels.generate(annotated, rows, epoch=2)
    return {m: labels.latest(m).double().numpy() for m in Modality}


def measure(
    seed: int, overrides: list[str], epochs: int
) -> dict[Modality, dict[str, MetricResults]]:
    """Make a corpus and evidence, and compare every generator's labels of emotions."""
    given = {"seed": seed, "emotions": {}}
    planted = read_settings(PlantedConfig, apply_overrides(given, overrides))
    changes = [f"labels.evidence_epochs={epochs}", f"train.seeds=[{seed}]"]
    settings = read_config("tam_ulag-planted-emotions", changes)
    with tempfile.TemporaryDirectory() as folder:
        store = write_store(make_planted(planted), Path(folder) / "store")
        prepared = prepare(store, settings)
        evidence = cross_fit(prepared, settings, seed=seed)
    train = prepared.datasets["train"]
    target = next(each for each in prepared.aims.targets if each.name == "emotion")
    made = {
        config.generator: _make_labels(config, target, train, evidence.targets[target.name])
        for config in _GENERATORS
    }
    values = {t: v.double().numpy() for t, v in train.values[target.name].items()}
    videos = np.array([video_of(clip) for clip in train.ids])
    return {
        m: evaluate_target_agreement(
            target, {name: own[m][None] for name, own in made.items()}, values[Task(m)],
            values[Task.FUSION], videos, against=("copy",), fixed=tuple(made),
        )
        for m in Modality
    }  # fmt: skip


def _percent(values: list[float | None]) -> str:
    return f"{100 * np.mean([np.nan if v is None else v for v in values]):.1f}"


def _mean_rows(
    runs: list[dict[Modality, dict[str, MetricResults]]],
) -> Iterator[list[str]]:
    for modality in Modality:
        for part, title in PARTS.items():
            results = [run[modality][part] for run in runs]
            clips = round(np.mean([each.num_clips for each in results]))
            for name, label in (("misplaced", "misplaced %"), ("accuracy", "right %")):
                sources = results[0].metrics[name]
                means = [
                    _percent([each.metrics[name][source].mean for each in results])
                    for source in sources
                ]
                yield [str(modality), title, str(clips), label, *means]


def _difference_rows(run: dict[Modality, dict[str, MetricResults]]) -> Iterator[list[str]]:
    for modality in Modality:
        for part, title in PARTS.items():
            misplaced = run[modality][part].metrics["misplaced"]
            cells = []
            for config in _GENERATORS[1:]:
                less = misplaced[config.generator].less["copy"]
                numbers = (less.difference, less.low, less.high)
                if any(number is None for number in numbers):
                    cells.append("-")
                    continue
                apart, low, high = (100 * float(number or 0) for number in numbers)
                cells.append(f"{apart:.1f} [{low:.1f}, {high:.1f}]")
            yield [str(modality), title, *cells]


def main() -> None:
    """Read the arguments, measure, and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=750, help="of all splits; .64 are train")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--epochs", type=int, default=12, help="most epochs for the evidence")
    parser.add_argument("--set", action="append", default=[], help="of the corpus, NAME=VALUE")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    overrides = [f"num_clips={arguments.clips}", *arguments.set]
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    runs = [measure(seed, overrides, arguments.epochs) for seed in seeds]
    names = [config.generator for config in _GENERATORS]
    sys.stdout.write(markdown_table(["", "clips", "", "", *names], _mean_rows(runs)))
    sys.stdout.write("\n\nmisplaced %, less that of copies\n\n")
    sys.stdout.write(markdown_table(["", "clips", *names[1:]], _difference_rows(runs[0])))


if __name__ == "__main__":
    main()
