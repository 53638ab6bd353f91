"""The numbers of the card of the model `emotions`: how good it is on people and pictures unseen."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from compose import Joined
from items import EMOTIONS, Item
from jaxtyping import Bool, Float
from tables import table

import mien
from mien.errors import MienError
from mien.evaluation.metrics import Metric
from mien.evaluation.predictions import Predictions
from mien.evaluation.probabilities.reliability import class_reliability
from mien.evaluation.probabilities.target_calibration import (
    TargetCalibration,
    ValueCalibration,
    set_coverage,
)
from mien.evaluation.target_metrics.class_metrics import CLASS_METRICS
from mien.evaluation.target_metrics.confusion import count_confusion
from mien.training.checkpoints.header import open_header
from mien.types import Modality, Split, Target, Task

#: Of the ten votes on a picture of FER+, how many a clear majority has.
_CLEAR = 5
_Z = 1.96  # standard errors on either side of a mean, for 95 %
_ACCURACY = (
    *("*clips", "n", "accuracy", "balanced", "most frequent"),
    *("log loss", "prior", "*gain", "calibration error"),
)
_SETS = ("*clips", "n", "in the set %", "mean size", "one class %", "right of these %")


@dataclass(frozen=True, kw_only=True)
class Told:
    """Clips of a kind, and what is told of each.

    Attributes:
        name: What they are, for tables.
        source: Where they are from.
        values: Probabilities at the temperature of the modalities, ``(N, K)``.
        truths: Shares of votes, or of what was to be shown.
        known: What valid says of clips with these modalities.
    """

    name: str
    source: str
    values: Float[np.ndarray, "N K"]
    truths: Float[np.ndarray, "N K"]
    known: ValueCalibration

    def metric(self, name: str) -> float:
        """Return a metric of the classes."""
        metric: Metric = CLASS_METRICS[name]
        return metric.function(self.values, self.truths)


def write_card(
    weights: Path,
    found: Mapping[Split, Predictions],
    clips: Mapping[str, Joined],
    data: Path,
    out: Path,
) -> Path:
    """Write the tables as ``out/emotions-card.md``.

    Args:
        weights: The model.
        found: What it predicts of valid and test.
        clips: What each of these is composed of, by its id.
        data: Folder with the sources.
        out: Where the card goes.
    """
    header = open_header(weights)
    calibration, target = header.target_calibration["emotion"], header.targets[0]
    told = list(_tell(found["test"], clips, calibration, data))
    priors = _measure_priors(found["valid"], clips)
    voices, faces = told[0], next(one for one in told if "majority" in one.name)
    parts = {
        "Test": table(_ACCURACY, (accuracy_row(one, priors[one.source]) for one in told)),
        "Sets": table(_SETS, (coverage_row(one, target) for one in told)),
        "Sets, by class": table(("*clips", *EMOTIONS), (_by_class(one, target) for one in told)),
        "Voices of actors 18 to 20": confusion_table(voices),
        "FER+, clear majority": confusion_table(faces),
        "Calibration": table(
            ("*present", "n", "people", "temperature", "*not in valid"), _calibrated(calibration)
        ),
        "Real clips": table(
            ("*clip", "*emotion", "*voice", "*face"), _real(weights, data / "clips")
        ),
    }
    path = out / "emotions-card.md"
    text = "\n".join(f"## {title}\n\n{part}" for title, part in parts.items())
    path.write_text(text, encoding="utf-8")
    return path


def _tell(
    found: Predictions, clips: Mapping[str, Joined], calibration: TargetCalibration, data: Path
) -> Iterator[Told]:
    """Give the rows of the tables: every kind of clip of test."""
    made = [clips[name] for name in found.ids]
    kinds = np.array([one.kind for one in made])
    majority = _majority(data)
    is_clear = np.array([_is_clear(one, majority) for one in made])
    is_take = kinds == "take"
    rows = {
        "RAVDESS, voices of actors 18 to 20": ("ravdess", kinds == "ravdess", Task.AUDIO),
        "FER+, official test, clear majority": ("ferplus", is_clear, Task.VIDEO),
        "FER+, official test": ("ferplus", kinds == "ferplus", Task.VIDEO),
        "Taiwanese performers": ("taiwan", kinds == "taiwan", Task.VIDEO),
        "RAVDESS, faces of actor 1": ("actor01", kinds == "actor01", Task.VIDEO),
        "RAVDESS, takes of actor 1: voice": ("ravdess", is_take, Task.AUDIO),
        "RAVDESS, takes of actor 1: face": ("ravdess", is_take, Task.VIDEO),
        "RAVDESS, takes of actor 1: both": ("ravdess", is_take, Task.FUSION),
        "composed, voice and face": ("made", kinds == "made", Task.FUSION),
    }
    for name, (source, chosen, task) in rows.items():
        if chosen.any():
            yield _told(name, source, found, chosen, task, calibration)


def _told(
    name: str,
    source: str,
    found: Predictions,
    rows: Bool[np.ndarray, " N"],
    task: Task,
    calibration: TargetCalibration,
) -> Told:
    emotion = found.values["emotion"]
    both = (Modality.AUDIO, Modality.VIDEO)
    known = calibration.of(both if task is Task.FUSION else [Modality(task)])
    return Told(
        name=name,
        source=source,
        values=known.scale(emotion.target, emotion.values[task][rows]),
        truths=emotion.truths[task][rows],
        known=known,
    )


def _majority(data: Path) -> set[str]:
    """Return the names of the faces of FER+ on which at least half of all raters agree."""
    with np.load(data / "face" / "ferplus.npz") as file:
        votes = file["votes"]
    share = votes.max(axis=1) / np.maximum(votes.sum(axis=1), 1)
    return {f"ferplus-{row}" for row in np.flatnonzero(share >= _CLEAR / 10).tolist()}


def _is_clear(one: Joined, majority: set[str]) -> bool:
    return one.kind == "ferplus" and one.look is not None and one.look.name in majority


def _measure_priors(
    found: Predictions, clips: Mapping[str, Joined]
) -> dict[str, Float[np.ndarray, " K"]]:
    """Return the mean shares of the emotions by source: what is known without looking, of valid."""
    shares: dict[str, list[Sequence[float]]] = {}
    for one in (clips[name] for name in found.ids):
        items: Sequence[Item] = list(one.items.values())
        if one.kind != "made":
            shares.setdefault(one.kind, []).append(items[0].shares)
    priors = {source: np.mean(own, axis=0) for source, own in shares.items()}
    made = found.values["emotion"].truths[Task.FUSION]
    is_made = np.array([clips[name].kind == "made" for name in found.ids])
    acted = priors.get("ravdess", made.mean(axis=0))
    return {"made": made[is_made].mean(axis=0), "actor01": acted, **priors}


def accuracy_row(one: Told, prior: Float[np.ndarray, " K"]) -> list[str]:
    """Return a row of the first table.

    The gain is that of the log loss over the prior; the calibration error is the expected one.
    """
    chances = np.maximum(prior, 0.5 / 1000)
    base = -(one.truths * np.log(chances / chances.sum())).sum(axis=1)
    own = -(one.truths * np.log(np.maximum(one.values, 1e-12))).sum(axis=1)
    gain = base - own
    error = _Z * gain.std(ddof=1) / np.sqrt(len(gain))
    counts = count_confusion(one.values, one.truths)
    return [
        one.name,
        str(len(one.values)),
        f"{one.metric('accuracy'):.3f}",
        f"{one.metric('uar'):.3f}",
        f"{counts.sum(axis=1).max() / counts.sum():.3f}",
        f"{own.mean():.3f}",
        f"{base.mean():.3f}",
        f"{gain.mean():+.3f} [{gain.mean() - error:+.3f}, {gain.mean() + error:+.3f}]",
        f"{class_reliability(one.values, one.truths).ece:.3f}",
    ]


def coverage_row(one: Told, target: Target) -> list[str]:
    """Return the row of the second table: how often sets hold what is annotated, and their size."""
    sets = set_coverage(one.known, target, one.values, one.truths)
    shares = (sets.share, sets.single, sets.single_right)
    share, single, right = ("" if np.isnan(value) else f"{100 * value:.1f}" for value in shares)
    return [one.name, str(sets.num_clips), share, f"{sets.size:.2f}", single, right]


def _by_class(one: Told, target: Target) -> list[str]:
    """Return how often each class is in the set where it is annotated."""
    sets = set_coverage(one.known, target, one.values, one.truths)
    cells = (sets.by_class[name] for name in EMOTIONS)
    return [one.name, *("" if np.isnan(share) else f"{100 * share:.0f}" for share in cells)]


def confusion_table(one: Told) -> str:
    """Return how many clips of each emotion, in rows, are taken for each, in columns."""
    counts = count_confusion(one.values, one.truths)
    rows = [
        [name, *map(str, own.tolist()), f"{own[index] / own.sum():.2f}" if own.sum() else ""]
        for index, (name, own) in enumerate(zip(EMOTIONS, counts, strict=True))
    ]
    return table(("*shown", *EMOTIONS, "recall"), rows)


def _calibrated(calibration: TargetCalibration) -> Iterator[list[str]]:
    for present, known in calibration.by_modalities.items():
        people = "" if known.num_speakers is None else str(known.num_speakers)
        absent = ", ".join(known.unseen)
        yield [present, str(known.num_clips), people, f"{known.temperature:.2f}", absent]


def _real(weights: Path, clips: Path) -> Iterator[list[str]]:
    """Predict real recordings, or return the sentence with which they are refused."""
    trained = mien.load(weights)
    for path in sorted(one for one in clips.glob("*/*") if one.is_file()):
        try:
            answers = trained.predict(path, transcript="none").answers
        except MienError as error:
            yield [path.name, str(error).replace(f"{path}: ", ""), "", ""]
            continue
        for one in answers:
            place = f" {one.start:.1f} to {one.end:.1f} s" if len(answers) > 1 else ""
            emotion = one.targets["emotion"]
            own = [emotion.unimodal.get(m) for m in (Modality.AUDIO, Modality.VIDEO)]
            words = ("" if value is None else value.words for value in own)
            yield [f"{path.name}{place}", emotion.overall.words, *words]
