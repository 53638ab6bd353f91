"""Measure evidence: what of a clip's own annotation reaches it, ``rest``, and labels made of it.

    python recipes/evidence.py detour --epochs 20
    python recipes/evidence.py rest 1 2 4 --planted disagreement=0.6
    python recipes/evidence.py rest 1 2 --store stores/cremad --set text_encoder.input=none
    python recipes/evidence.py labels ridge auto --planted num_clips=560 --seed 1111

``detour``: noise is added to the annotations of train, and the same noise is taken away from them
in a second run. Half the difference of a clip's evidence, over the noise of the clip, is a slope:
the share of its own annotation that comes back to it. Beside it stands the mean absolute error on
train clips, each asked of the model that has not seen it, and on valid, of which no label taught
any model. ``rest``: labels with each value of ``labels.rest``, while the models learn and in the
labels, against the truth; beside them labels with ``rest`` on evidence of ``rest`` 1. ``labels``:
labels of each generator from the same evidence, of each source that is named, against the truth.

Without ``--store`` the corpus is planted (synthetic). Nothing is taken from the cache but states.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import get_args

import numpy as np
import torch

from mien.config import apply_overrides, read_settings
from mien.corpora.planted.corpus import make_planted
from mien.corpora.planted.planted_config import PlantedConfig
from mien.data.store import Store, open_store
from mien.data.store_writer import write_store
from mien.evaluation.scoring import predict
from mien.labels.generator import Evidence
from mien.labels.label_settings import EvidenceSource
from mien.labels.latent import latent_labels
from mien.labels.posterior import PosteriorConfig, posterior_labels
from mien.reports.text import markdown_table
from mien.training.out_of_fold import DECAY, EvidenceEpoch, cross_fit, evidence_by_epoch
from mien.training.preparation import Prepared, prepare
from mien.training.settings import ExperimentConfig, read_config
from mien.types import Modality, Task

NOISE = 0.5  # standard deviation of what is added to annotations, on the scale of the corpus


def measure_detour(
    prepared: Prepared, config: ExperimentConfig, seed: int, epochs: int
) -> list[list[str]]:
    """Return a row per epoch: slopes of text, audio, video and fusion; both errors; their gap."""
    annotated = prepared.datasets["train"].labels[Task.FUSION]
    generator = torch.Generator().manual_seed(seed)
    noise = NOISE * torch.randn(len(annotated), generator=generator)
    runs = [
        evidence_by_epoch(_annotate(prepared, annotated + sign * noise), config, seed=seed)
        for sign in (1, -1)
    ]
    plain = _with_valid_error(evidence_by_epoch(prepared, config, seed=seed), prepared)
    rows = []
    for more, less, (own, valid) in islice(zip(*runs, plain, strict=False), epochs):
        changes = {m: (s - less.evidence.scores[m]) / 2 for m, s in more.evidence.scores.items()}
        slopes = [
            fit_slope(noise, one) for one in (*changes.values(), (more.fused - less.fused) / 2)
        ]
        rows.append(
            [
                str(own.epoch),
                *slopes,
                f"{own.error:.3f}",
                f"{valid:.3f}",
                f"{valid - own.error:.3f}",
            ]
        )
    return rows


def _annotate(prepared: Prepared, annotated: torch.Tensor) -> Prepared:
    train = prepared.datasets["train"]
    train = replace(train, labels={**train.labels, Task.FUSION: annotated})
    return replace(prepared, datasets={**prepared.datasets, "train": train})


def fit_slope(noise: torch.Tensor, change: torch.Tensor) -> str:
    """Return the slope of the change over the noise, and its standard error."""
    is_there = ~change.isnan()
    x, y = noise[is_there], change[is_there]
    slope = float(x @ y / (x @ x))
    error = float((y - slope * x).square().mean().sqrt() / x.square().sum().sqrt())
    return f"{slope:.3f} ± {error:.3f}"


def _with_valid_error(
    epochs: Iterator[EvidenceEpoch], prepared: Prepared
) -> Iterator[tuple[EvidenceEpoch, float]]:
    """Give each epoch with the mean error of its models on valid, of running means as on train."""
    valid, mean = prepared.datasets["valid"], np.zeros(0)
    for one in epochs:
        scores = np.stack([predict(model, valid).scores[Task.FUSION] for model in one.models])
        mean = DECAY * mean + (1 - DECAY) * scores if len(mean) else scores
        yield one, float(np.abs(mean - valid.labels[Task.FUSION].numpy()).mean())


def measure_rest(
    prepared: Prepared, config: ExperimentConfig, seed: int, values: Sequence[float]
) -> list[list[str]]:
    """Return two rows per value of ``rest``: correlations of labels with the truth."""
    first = _gather(prepared, config, seed, 1.0)
    rows = []
    for rest in values:
        own = first if rest == 1 else _gather(prepared, config, seed, rest)
        for name, evidence in (("the same", own), ("1", first))[: 1 if rest == 1 else 2]:
            rows.append([f"{rest:g}", name, *_correlations(prepared, evidence, rest)])
    return rows


def _gather(prepared: Prepared, config: ExperimentConfig, seed: int, rest: float) -> Evidence:
    labels = config.labels.model_copy(update={"rest": rest})
    return cross_fit(prepared, config.model_copy(update={"labels": labels}), seed=seed)


def measure_labels(
    prepared: Prepared, config: ExperimentConfig, seed: int, sources: Sequence[str]
) -> list[list[str]]:
    """Return a row per source and generator: correlations and mean absolute error of labels."""
    annotated, rows = prepared.datasets["train"].labels[Task.FUSION], []
    for source in sources:
        values = {"generator": "posterior", "evidence": source}
        labels = PosteriorConfig.model_validate(values)
        evidence = cross_fit(prepared, config.model_copy(update={"labels": labels}), seed=seed)
        made = {
            "copy": dict.fromkeys(evidence.scores, annotated),
            "oof": evidence.scores,
            "mean": {m: (scores + annotated) / 2 for m, scores in evidence.scores.items()},
            "latent": latent_labels(evidence, annotated, rest=1.0),
            "posterior": posterior_labels(
                evidence, annotated, neutral=sum(prepared.scale) / 2
            ).labels,
        }
        for name, own in made.items():
            rows.append([source, name, *_compare(prepared, own)])
    return rows


def _correlations(prepared: Prepared, evidence: Evidence, rest: float) -> list[str]:
    """Return the same as ``_compare``, of labels of ``latent``."""
    annotated = prepared.datasets["train"].labels[Task.FUSION]
    return _compare(prepared, latent_labels(evidence, annotated, rest=rest))


def _compare(prepared: Prepared, made: Mapping[Modality, torch.Tensor]) -> list[str]:
    """Return, per modality, correlations over all clips and contradicting ones, and the error."""
    train = prepared.datasets["train"]
    annotated = train.labels[Task.FUSION]
    cells = []
    for modality, labels in made.items():
        truth = train.labels.get(Task(modality))
        if truth is None:
            continue
        lengths = torch.from_numpy(train.series[modality].lengths[train.rows])
        known = (lengths > 0) & ~truth.isnan()
        cut = prepared.scale.clip(labels)
        over = [known, known & (truth * annotated < 0)]
        error = float((cut - truth)[known].abs().mean())
        cells.append(
            " / ".join(f"{_correlate(cut[one], truth[one]):.3f}" for one in over) + f", {error:.3f}"
        )
    return cells


def _correlate(first: torch.Tensor, second: torch.Tensor) -> float:
    return float(np.corrcoef(first.numpy(), second.numpy())[0, 1])


def _open(arguments: argparse.Namespace, folder: Path) -> Store:
    if arguments.store:
        return open_store(arguments.store)
    values = apply_overrides({"seed": 11}, arguments.planted)
    return write_store(make_planted(read_settings(PlantedConfig, values)), folder / "planted")


def _run(arguments: argparse.Namespace, folder: Path) -> list[list[str]]:
    torch.set_num_threads(1)
    store = _open(arguments, folder)
    config = read_config(arguments.config, [f"corpus={store.meta.name}", *arguments.set])
    prepared = prepare(store, config)
    if arguments.what == "detour":
        header = ["epoch", "text", "audio", "video", "fusion", "train", "valid", "gap"]
        return [header, *measure_detour(prepared, config, arguments.seed, arguments.epochs)]
    names = [m for m in prepared.sizes if Task(m) in prepared.datasets["train"].labels]
    columns = [f"{n}, all / contradicting, error" for n in names]
    if arguments.what == "labels":
        rows = measure_labels(prepared, config, arguments.seed, arguments.sources)
        return [["evidence", "labels", *columns], *rows]
    header = ["rest", "rest of the evidence", *columns]
    return [header, *measure_rest(prepared, config, arguments.seed, arguments.values)]


def main() -> None:
    """Read the arguments, measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    what = parser.add_subparsers(dest="what", required=True)
    what.add_parser("detour").add_argument("--epochs", type=int, default=20)
    what.add_parser("rest").add_argument("values", type=float, nargs="+")
    what.add_parser("labels").add_argument(
        "sources", nargs="+", choices=get_args(EvidenceSource), metavar="SOURCE"
    )
    for one in what.choices.values():
        one.add_argument("--store", help="instead of a planted corpus")
        one.add_argument("--planted", action="append", default=[], help="setting of mien planted")
        one.add_argument("--config", default="tam_ulag-planted")
        one.add_argument("--set", action="append", default=[], help="setting of the run")
        one.add_argument("--seed", type=int, default=1111)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        header, *rows = _run(arguments, Path(folder))
    sys.stdout.write(markdown_table(header, rows))


if __name__ == "__main__":
    main()
