"""Measure a default model: every number of its model card, from the weights and the sources.

    python recipes/default_model/measure.py DATA OUT [--model FILE]

DATA and OUT are those of ``train.py``; OUT needs the stores ``voices`` and ``faces`` only. Written
is ``OUT/card.md``. Valid and test are composed by the recipe as it is now. The file measured may
have been trained on other splits: the first table says what it has learned from.
"""

import argparse
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from baselines import KINDS, compare_baselines
from compose import Joined, name_clip, split_of, weigh_votes
from corpus import Items, compose_all, read_items, write_corpus
from tables import (
    ACCURACY,
    HEADS,
    Scored,
    accuracy,
    by_group,
    by_shown,
    half_widths,
    table,
)
from widths import rows_by_modalities

import mien
from mien.data.store import Store
from mien.errors import MienError
from mien.evaluation.conformal import LEVEL, Calibration, half_width
from mien.evaluation.scoring import predict
from mien.prediction.answer import Score
from mien.prediction.predictor import DEFAULT_MODEL
from mien.training.checkpoints.baseline_use import BaselineUse
from mien.training.checkpoints.checkpoint import read_header
from mien.training.checkpoints.videos import videos_seen
from mien.training.loading import load_model
from mien.types import SPLITS, Modality, Scale, Split, Task

#: Rows of the table of accuracy with one item each, by its source.
_ALONE = {
    "CMU-MOSI, official test": "mosi",
    "RAVDESS, voices of actors 18 to 20": "ravdess",
    "Taiwanese performers": "taiwan",
    "FER+, official test": "ferplus",
    "RAVDESS, faces of actor 1": "actor01",
}
#: Sources with several clips of a person.
_KNOWN = ("ravdess", "taiwan", "actor01")


def measure(model: Path, data: Path, out: Path) -> Path:
    """Write the numbers of a model's card as ``out/card.md``."""
    sources = read_items(data, out)
    store, joined = write_held_out(sources, data, out)
    header = read_header(model)
    knows = header["config"].get("features", {}).get("standardise") == "speaker"
    scored = score(model, store, joined, "none" if knows else None)
    known = score(model, store, joined, "speaker", _KNOWN) if knows else None
    valid, test = scored["valid"], scored["test"]
    shown = ("*source", "*shown", "n", "label", "score", "deviation")
    widths = ("*present", "*head", "n", "half width", "of the fusion head")
    voices = ("*actor", "n", "inside %", "width")
    parts = {
        "What it has learned from": table(
            ("*source", "*split", "items", "groups", "also in train", "learned from"),
            count_learned(sources, header),
        ),
        "Labels of composed clips": f"{weigh_votes(data)}\n",
        "Test": table(ACCURACY, _accuracies(test, sources.trained)),
        "By what is shown": table(shown, by_shown(test, _KNOWN)),
        "Intervals": table(widths, half_widths(valid, sources.trained)),
        "Inside, by actor": table(
            voices, [*by_group(valid, "ravdess"), *by_group(test, "ravdess")]
        ),
        "Intervals with CMU-MOSEI": _with_easy(valid),
    }
    if known is not None:
        valid, test = known["valid"], known["test"]
        parts |= {
            "Test, with a baseline": table(ACCURACY, _accuracies_of_known(test)),
            "By what is shown, with a baseline": table(shown, by_shown(test, _KNOWN)),
            "Intervals, with a baseline": table(widths, half_widths(valid, sources.trained)),
            "Inside, by actor, with a baseline": table(
                voices, [*by_group(valid, "ravdess"), *by_group(test, "ravdess")]
            ),
            "Kinds of baselines, on valid": table(KINDS, compare_baselines(model, store, joined)),
        }
    parts["Real clips"] = table(
        ("*clip", "*overall", *(f"*{m}" for m in Modality)), _real(model, data / "clips")
    )
    path = out / "card.md"
    path.write_text(
        "\n".join(f"## {title}\n\n{part}" for title, part in parts.items()), encoding="utf-8"
    )
    return path


def write_held_out(sources: Items, data: Path, out: Path) -> tuple[Store, list[Joined]]:
    """Compose the clips of valid and test, each item of which is in one split."""
    items = sources.apart()
    joined = [one for one in compose_all(items) if split_of(one) != "train"]
    return write_corpus(items, joined, data, out, "held-out"), joined


def score(
    model: Path,
    store: Store,
    joined: Sequence[Joined],
    baseline: BaselineUse | None = None,
    kinds: Collection[str] | None = None,
) -> dict[Split, Scored]:
    """Score the clips of valid and test.

    Args:
        model: The weights.
        store: The clips.
        joined: What they are composed of.
        baseline: Whether they are read against their speakers; None as the model was trained.
        kinds: What the clips are made of that are scored; None for all.
    """
    network, prepared = load_model(model, store, baseline=baseline)
    header = read_header(model)
    widths = header.get("calibration_alone") if baseline == "none" else None
    by_name = {name_clip(one): one for one in joined}
    result: dict[Split, Scored] = {}
    for split in SPLITS[1:]:
        dataset = prepared.datasets[split]
        if kinds is not None:
            chosen = [by_name[name].kind in kinds for name in dataset.ids]
            dataset = dataset.part(np.flatnonzero(chosen))
        found = predict(network, dataset)
        result[split] = Scored(
            found=found,
            clips=[by_name[name] for name in found.ids],
            calibration=Calibration.model_validate(widths or header["calibration"]),
            scale=Scale(*header["scale"]),
        )
    return result


def count_learned(sources: Items, header: Mapping[str, object]) -> Iterator[list[str]]:
    """Count the items of each source and split whose group is in train, or known to the model."""
    items = sources.all
    known = videos_seen(header, {one.group for one in items})
    for source in HEADS:
        for split in SPLITS:
            groups = Counter(
                one.group for one in items if (one.source, one.split) == (source, split)
            )
            if groups:
                counts = [
                    sum(groups[g] for g in groups if g in some) for some in (sources.trained, known)
                ]
                yield [source, split, *map(str, (groups.total(), len(groups), *counts))]


def _accuracies(test: Scored, trained: set[str]) -> Iterator[list[str]]:
    """Return the rows of the table of accuracy; both heads where one item is there alone."""
    for name, source in _ALONE.items():
        rows = test.alone(source)
        some = {name: rows}
        if source == "ferplus":
            twins = [row for row in rows if _has_group(test.clips[row], trained)]
            some["FER+, without twins in train"] = sorted({*rows} - {*twins})
            some["FER+, twins alone"] = twins
        for one, chosen in some.items():
            for task in (HEADS[source], Task.FUSION):
                yield accuracy(test, one, task, chosen)
    for present, rows in rows_by_modalities(test.found, test.clips, trained).items():
        if len(present) > 1:
            yield accuracy(test, f"composed, {' + '.join(present)}", Task.FUSION, rows)


def _accuracies_of_known(test: Scored) -> Iterator[list[str]]:
    """Return the rows of the table of accuracy of those of whom there are several clips."""
    for name, source in _ALONE.items():
        if source in _KNOWN:
            for task in (HEADS[source], Task.FUSION):
                yield accuracy(test, name, task, test.alone(source))


def _has_group(one: Joined, groups: set[str]) -> bool:
    return any(item.group in groups for item in one.items.values())


def _with_easy(valid: Scored) -> str:
    """Say how the intervals of words would be if CMU-MOSEI's transcripts counted as well."""
    rows = {source: valid.alone(source) for source in ("mosi", "mosei")}
    errors = valid.found.scores[Task.TEXT] - valid.found.targets[Task.TEXT]
    width = half_width(errors[rows["mosi"] + rows["mosei"]], LEVEL)
    wide = replace(
        valid,
        calibration=valid.calibration.model_copy(update={"unimodal": {Modality.TEXT: width}}),
    )
    share = wide.inside(Task.TEXT, rows["mosi"]).mean(axis=0)[0]
    return (
        f"With the {len(rows['mosei'])} transcripts of CMU-MOSEI beside the {len(rows['mosi'])} of "
        f"CMU-MOSI the half width of words is {width:.2f}, and {100 * share:.1f} % of CMU-MOSI's "
        "annotations in valid lie inside.\n"
    )


def _real(model: Path, clips: Path) -> Iterator[list[str]]:
    """Predict real recordings, or return the sentence with which they are refused."""
    trained = mien.load(model)
    for path in sorted(one for one in clips.glob("*/*") if one.is_file()):
        try:
            answers = trained.predict(path).answers
        except MienError as error:
            yield [path.name, str(error).replace(f"{path}: ", ""), "", "", ""]
            continue
        for one in answers:
            own = [one.unimodal.get(modality) for modality in Modality]
            place = f" {one.start:.1f} to {one.end:.1f} s" if len(answers) > 1 else ""
            scores = (_say(found) if found else "" for found in own)
            yield [f"{path.name}{place}", _say(one.score), *scores]


def _say(score: Score) -> str:
    interval = "" if score.low is None else f" [{score.low:+.2f}, {score.high:+.2f}]"
    return f"{score.value:+.2f}{interval}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="Folder with the sources.")
    parser.add_argument("out", type=Path, help="Folder for what is made; holds voices and faces.")
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL, help="Weights to measure.")
    given = parser.parse_args()
    measure(given.model, given.data, given.out)
