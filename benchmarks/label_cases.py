"""Measure labels of each generator against the truth, where evidence or annotation deserve doubt.

    python benchmarks/label_cases.py
    python benchmarks/label_cases.py --case default --case noise-1.2 --seeds 5 --first 100

Everything here is synthetic. Sentiments and annotations are those of the planted corpus
(``mien planted``) under the settings of each case. Instead of series there is one vector per clip
and modality: the sentiment along a random direction, and noise of deviation 1 in all of them;
``read`` is the deviation of what text, audio and video show. Evidence comes from ridge regressions,
for every generator alike.

Per case and modality: correlation over all / contradicting clips, then mean absolute error, means
over the seeds. The last column is the error of ``posterior`` over the smaller one of ``copy`` and
``oof``, the mean over the seeds and the largest.
"""

import argparse
import sys
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from mien.corpora.planted.planted_config import PlantedConfig, RandomStream, draw_from
from mien.corpora.planted.sentiments import draw_sentiments, mix_sentiments
from mien.labels.generator import Evidence
from mien.labels.latent import latent_labels
from mien.labels.posterior import posterior_labels
from mien.reports.text import markdown_table
from mien.training.out_of_fold.ridge import ridge_evidence
from mien.types import Modality, Scale

_SCALE = Scale(-3, 3)
_SIZES = {Modality.TEXT: 40, Modality.AUDIO: 30, Modality.VIDEO: 30}


@dataclass(frozen=True)
class Case:
    """A way to make annotations and vectors."""

    planted: dict[str, Any] = field(default_factory=dict)
    num_clips: int = 960
    read: tuple[float, float, float] = (1.7, 1.4, 1.0)


def _weights(text: float, audio: float, video: float) -> dict[str, float]:
    return {"text_weight": text, "audio_weight": audio, "video_weight": video}


_HARMONY = {"disagreement": 0.0, "agreement": 0.75}
CASES = {
    "default": Case(),
    "no-disagreement": Case(_HARMONY),
    "video-is-noise": Case(read=(1.7, 1.4, 0.0)),
    "all-is-noise": Case(read=(0.0, 0.0, 0.0)),
    "noise-1.2": Case({"label_noise": 1.2}),
    "noise-1.0": Case({"label_noise": 1.0}),
    "weights-.15-.15-.7": Case({"disagreement": 0.0, **_weights(0.15, 0.15, 0.7)}),
    "weights-.2-.4-.4": Case(_weights(0.2, 0.4, 0.4)),
    "300-clips-.6-.3-.1": Case(_weights(0.6, 0.3, 0.1), num_clips=300),
    "disagreement-.45": Case({"disagreement": 0.45}),
    "faint": Case(read=(1.0, 0.6, 0.5)),
    "360-clips-faint": Case(_HARMONY, num_clips=360, read=(1.0, 0.6, 0.5)),
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


def measure(case: Case, seed: int) -> dict[Modality, dict[str, tuple[float, float, float]]]:
    """Return correlations and error of the labels of each generator, by modality."""
    truth, y, evidence = make(case, seed)
    annotated = torch.from_numpy(y)
    latent = latent_labels(evidence, annotated, rest=1.0)
    posterior = posterior_labels(evidence, annotated).labels
    found = {}
    for modality, own in truth.items():
        scores = evidence.scores[modality].numpy().astype(float)
        sources = {
            "copy": y,
            "oof": scores,
            "mean": (y + scores) / 2,
            "latent": latent[modality].numpy(),
            "posterior": posterior[modality].numpy(),
        }
        against = own * y < 0
        found[modality] = {
            name: (
                np.corrcoef(values, own)[0, 1],
                np.corrcoef(values[against], own[against])[0, 1],
                float(np.abs(_SCALE.clip(torch.from_numpy(values)).numpy() - own).mean()),
            )
            for name, values in sources.items()
        }
    return found


def _rows(name: str, seeds: range) -> list[list[str]]:
    runs = [measure(CASES[name], seed) for seed in seeds]
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
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    rows = [row for name in arguments.case or CASES for row in _rows(name, seeds)]
    header = ["case", "", "copy", "oof", "mean", "latent", "posterior", "over the better"]
    sys.stdout.write(markdown_table(header, rows))


if __name__ == "__main__":
    main()
