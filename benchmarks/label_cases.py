"""Measure labels of each generator against the truth, where evidence or annotation deserve doubt.

    python benchmarks/label_cases.py
    python benchmarks/label_cases.py --case default --case noise-1.2 --seeds 5 --first 100
    python benchmarks/label_cases.py --series 560 --case default --seeds 1 --first 51

Everything here is synthetic. Sentiments and annotations are those of the planted corpus
(``mien planted``) under the settings of each case. Instead of series there is one vector per clip
and modality: the sentiment along a random direction, and noise of deviation 1 in all of them;
``read`` is the deviation of what text, audio and video show. Evidence comes from ridge regressions,
for every generator alike.

With ``--series N`` there are N clips of whole planted corpora, sentences and series of values, of
which the train split is used. Evidence is that of ``posterior`` (``labels.evidence=both``), for
every generator alike, and is kept in the cache. The seed is that of the corpus. Cases of noise in
place of a modality are for vectors alone; ``gain`` is how far bursts of the others stand out.

Per case and modality: correlation over all / contradicting clips, then mean absolute error, means
over the seeds. The last column is the error of ``posterior`` over the smaller one of ``copy`` and
``oof``, the mean over the seeds and the largest.
"""

import argparse
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mien.config import read_settings
from mien.corpora.planted.corpus import make_planted
from mien.corpora.planted.planted_config import PlantedConfig, RandomStream, draw_from
from mien.corpora.planted.sentiments import draw_sentiments, mix_sentiments
from mien.data.store_writer import write_store
from mien.labels.generator import Evidence
from mien.labels.latent import latent_labels
from mien.labels.posterior import posterior_labels
from mien.reports.text import markdown_table
from mien.training.out_of_fold import cross_fit
from mien.training.out_of_fold.ridge import ridge_evidence
from mien.training.preparation import prepare
from mien.training.settings import read_config
from mien.types import Modality, Scale, Task

_SCALE = Scale(-3, 3)
_RUN_SEED = 1111  # of folds and late-fusion models
_SIZES = {Modality.TEXT: 40, Modality.AUDIO: 30, Modality.VIDEO: 30}


@dataclass(frozen=True)
class Case:
    """A way to make annotations and vectors."""

    planted: dict[str, Any] = field(default_factory=dict)
    num_clips: int = 960
    read: tuple[float, float, float] = (1.7, 1.4, 1.0)
    gain: float | None = 2.0


def _weights(text: float, audio: float, video: float) -> dict[str, float]:
    return {"text_weight": text, "audio_weight": audio, "video_weight": video}


_HARMONY = {"disagreement": 0.0, "agreement": 0.75}
CASES = {
    "default": Case(),
    "no-disagreement": Case(_HARMONY),
    "video-is-noise": Case(read=(1.7, 1.4, 0.0), gain=None),
    "all-is-noise": Case(read=(0.0, 0.0, 0.0), gain=None),
    "noise-1.2": Case({"label_noise": 1.2}),
    "noise-1.0": Case({"label_noise": 1.0}),
    "weights-.15-.15-.7": Case({"disagreement": 0.0, **_weights(0.15, 0.15, 0.7)}),
    "weights-.2-.4-.4": Case(_weights(0.2, 0.4, 0.4)),
    "300-clips-.6-.3-.1": Case(_weights(0.6, 0.3, 0.1), num_clips=300),
    "disagreement-.45": Case({"disagreement": 0.45}),
    "faint": Case(read=(1.0, 0.6, 0.5), gain=0.8),
    "360-clips-faint": Case(_HARMONY, num_clips=360, read=(1.0, 0.6, 0.5), gain=0.8),
    "strongest": Case({"mixing": "strongest"}),
    "irony": Case({"mixing": "irony"}),
}


def make(case: Case, seed: int) -> tuple[dict[Modality, np.ndarray], np.ndarray, Evidence]:
    """Return the truth of each modality, the annotation, and the evidence."""
    settings = PlantedConfig(seed=seed, **case.planted)
    drawn, annotated = [], []
    for row in range(case.num_clips):
        generator = draw_from(settings, RandomStream.LABELS, row)
        drawn.append(draw_sentiments(settings, generator, 0))
        noise = settings.label_noise * float(generator.standard_normal())
        annotated.append(mix_sentiments(settings, drawn[-1], noise))
    truth = {m: np.array([clip[m] for clip in drawn]) for m in Modality}
    rng = np.random.default_rng(seed)
    vectors = {}
    for modality, gain in zip(Modality, case.read, strict=True):
        direction = rng.normal(size=_SIZES[modality])
        shown = gain * truth[modality] / truth[modality].std()
        vectors[modality] = np.outer(shown, direction / np.linalg.norm(direction))
        vectors[modality] += rng.normal(size=vectors[modality].shape)
    videos = np.arange(case.num_clips) // 15
    y = np.array(annotated)
    return truth, y, ridge_evidence(vectors, y, videos % 5, videos, seed=seed)


def make_series(
    case: Case, seed: int, num_clips: int
) -> tuple[dict[Modality, np.ndarray], np.ndarray, Evidence]:
    """Return the same of the train split of a whole corpus; NaN where a clip lacks a modality."""
    values = {"seed": seed, "num_clips": num_clips, "gain": case.gain, **case.planted}
    with tempfile.TemporaryDirectory() as folder:
        corpus = make_planted(read_settings(PlantedConfig, values))
        store = write_store(corpus, Path(folder) / "planted")
        overrides = [f"corpus={store.meta.name}", "labels.generator=posterior"]
        config = read_config("tam_ulag-planted", overrides)
        prepared = prepare(store, config)
        evidence = cross_fit(prepared, config, seed=_RUN_SEED)
        labels = prepared.datasets["train"].labels
        truth = {m: labels[Task(m)].double().numpy() for m in evidence.scores}
        return truth, labels[Task.FUSION].double().numpy(), evidence


def measure(
    case: Case, seed: int, num_clips: int
) -> dict[Modality, dict[str, tuple[float, float, float]]]:
    """Return correlations and error of the labels of each generator, by modality."""
    truth, y, evidence = make_series(case, seed, num_clips) if num_clips else make(case, seed)
    annotated = torch.from_numpy(y)
    latent = latent_labels(evidence, annotated, rest=1.0)
    posterior = posterior_labels(evidence, annotated).labels
    found = {}
    for modality, own in truth.items():
        has = ~np.isnan(own)
        scores = np.where(has, evidence.scores[modality].numpy().astype(float), y)
        sources = {
            "copy": y,
            "oof": scores,
            "mean": (y + scores) / 2,
            "latent": latent[modality].numpy(),
            "posterior": posterior[modality].numpy(),
        }
        against, own = (own * y < 0)[has], own[has]
        found[modality] = {
            name: (
                np.corrcoef(values, own)[0, 1],
                np.corrcoef(values[against], own[against])[0, 1],
                float(np.abs(_SCALE.clip(torch.from_numpy(values)).numpy() - own).mean()),
            )
            for name, values in ((name, every[has]) for name, every in sources.items())
        }
    return found


def _rows(name: str, seeds: range, num_clips: int) -> list[list[str]]:
    runs = [measure(CASES[name], seed, num_clips) for seed in seeds]
    rows = []
    for modality in Modality:
        values = {
            source: np.array([run[modality][source] for run in runs])
            for source in runs[0][modality]
        }
        best = np.minimum(values["copy"][:, 2], values["oof"][:, 2])
        ratios = values["posterior"][:, 2] / best
        means = [v.mean(axis=0) for v in values.values()]
        cells = [f"{r:.2f} / {against:.2f}, {error:.3f}" for r, against, error in means]
        rows.append([name, str(modality), *cells, f"{ratios.mean():.2f}, {ratios.max():.2f}"])
    return rows


def main() -> None:
    """Read the arguments, measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", action="append", choices=CASES, help="all if left out")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--series", type=int, default=0, help="clips of whole corpora", metavar="N")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    can_be_series = [name for name, case in CASES.items() if case.gain is not None]
    names = arguments.case or (can_be_series if arguments.series else list(CASES))
    if arguments.series and (others := set(names) - set(can_be_series)):
        parser.error(f"--series has no case {' or '.join(sorted(others))}")
    rows = [row for name in names for row in _rows(name, seeds, arguments.series)]
    header = ["case", "", "copy", "oof", "mean", "latent", "posterior", "over the better"]
    sys.stdout.write(markdown_table(header, rows))


if __name__ == "__main__":
    main()
