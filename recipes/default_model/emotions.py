"""Train the model `emotions`, which answers emotions beside the models of sentiment.

    python recipes/default_model/emotions.py DATA OUT

DATA and OUT are those of ``train.py``; OUT needs the stores ``voices`` and ``faces`` only, and gets
the composed store, a run, ``emotions.safetensors`` and ``emotions-card.md``, the numbers of its
model card. ``--measure FILE`` writes the card of weights that are there already.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from compose import Joined, groups_of, name_clip, split_of
from corpus import SEED, Items, groups_learned, write_corpus
from emotion_card import write_card
from faces import Motion
from items import EMOTIONS, Item, Look, Voice, read_looks, read_voices

import mien
from mien.data.store import Store
from mien.evaluation.conformal import LEVEL, name_modalities
from mien.evaluation.predictions import Predictions
from mien.evaluation.probabilities.target_calibration import (
    TargetCalibration,
    ValueCalibration,
    calibrate_values,
)
from mien.evaluation.scoring import predict
from mien.prediction.package import pack
from mien.training.checkpoints.checkpoint import add_to_header
from mien.training.loading import load_model
from mien.training.run_folder import RunFolder
from mien.types import SPLITS, Modality, Split, Task

HERE = Path(__file__).parent
LICENCE = "research and other non-commercial use, share alike"
#: How often a voice and a face of train is a clip by itself, by its source; and how many times that
#: for emotions of which there are few photographs.
TIMES = {"ravdess": 1, "ferplus": 1, "taiwan": 5, "actor01": 1}
RARE = {"fearful": 3, "disgust": 4, "contempt": 4}
#: Clips of a voice and a face; of that many in a hundred both show the same emotion.
NUM_PAIRS: dict[Split, int] = {"train": 3000, "valid": 400, "test": 400}
AGREEING = 75
#: Of faces in such clips, how many in a hundred are of performers.
PERFORMERS = 30
#: A photograph stays one step more often than for sentiment, and series are shorter: its emotion is
#: that of the moment. Nothing is added to all of its steps, and jitter is added to log odds, by
#: which faces are read, so that small values count.
MOTION = Motion(still_share=0.6, longest=16, offset=0.0, jitter_of="log_odds")


def main(data: Path, out: Path, seeds: Sequence[int]) -> None:
    """Do all of it."""
    items = read_emotional(data, out)
    joined = [one for one in compose_emotions(items) if split_of(one) != "test"]
    store = write_corpus(
        items, joined, data, out, "emotion-store", corpus="emotions", motion=MOTION
    )
    config = mien.read_config(HERE / "emotions.toml", [f"train.seeds={list(seeds)}"])
    run = mien.train(config, store, out / "emotion-run", resume=True)
    measure(complete_and_pack(run, store, items, joined, out), data, out)


def complete_and_pack(
    run: RunFolder, store: Store, items: Items, joined: Sequence[Joined], out: Path
) -> Path:
    """Write temperatures, sets and all that was learned from into the best seed, and pack it."""
    best = min(
        (seed for seed in run.seeds if seed.is_finished),
        key=lambda seed: seed.results().targets["valid"]["emotion"][Task.FUSION]["log_loss"],
    )
    model, prepared = load_model(best.path, store)
    known = calibrate_emotions(predict(model, prepared.datasets["valid"]), joined)
    facts = {"videos": sorted(groups_learned(items, joined)), "videos_of_init": True}
    calibration = {"emotion": known.model_dump(mode="json", exclude_defaults=True)}
    add_to_header(best.best, {**facts, "target_calibration": calibration})
    packed = out / "emotions.safetensors"
    return pack(best.path, packed, licence=LICENCE, name="emotions", replace=True)


def measure(weights: Path, data: Path, out: Path) -> Path:
    """Write the numbers of the card of weights as ``out/emotions-card.md``."""
    items = read_emotional(data, out)
    joined = [one for one in compose_emotions(items) if split_of(one) != "train"]
    joined += list(pair_takes(read_voices(out / "voices"), items.looks))
    store = write_corpus(
        items, joined, data, out, "emotion-held-out", corpus="emotions", motion=MOTION
    )
    model, prepared = load_model(weights, store)
    found = {split: predict(model, prepared.datasets[split]) for split in SPLITS[1:]}
    by_name = {name_clip(one): one for one in joined}
    return write_card(weights, found, by_name, data, out)


def read_emotional(data: Path, out: Path) -> Items:
    """Read the voices and faces of which an emotion is known, every group in one split alone."""
    items = Items(texts=(), voices=read_voices(out / "voices"), looks=read_looks(data)).apart()
    return Items(
        texts=(), voices=items.voices, looks=[one for one in items.looks if any(one.shares)]
    )


def compose_emotions(items: Items) -> list[Joined]:
    """Compose the clips of all splits; the same every time."""
    random = np.random.default_rng(SEED)
    joined: list[Joined] = []
    for split in SPLITS:
        voices = [one for one in items.voices if one.split == split]
        looks = [one for one in items.looks if one.split == split]
        joined += _alone(split, "voice", voices)
        joined += _alone(split, "look", looks)
        if voices and looks:
            joined += _pair(split, voices, looks, random)
    return joined


def _alone(split: Split, kind: str, items: Sequence[Item]) -> Iterator[Joined]:
    """Give every item by itself; in train as often as its source says."""
    for item in items:
        times = TIMES[item.source]
        if item.source == "ferplus":
            times *= RARE.get(name_emotion(item), 1)
        for number in range(times if split == "train" else 1):
            name = f"{split}-alone-{item.name}-{number}"
            yield Joined(name=name, kind=item.source, **{kind: item})


def _pair(
    split: Split, voices: Sequence[Voice], looks: Sequence[Look], random: np.random.Generator
) -> Iterator[Joined]:
    """Give voices with faces, most of which show the same emotion."""
    by_source: Mapping[bool, dict[str, list[Look]]] = {
        is_acted: _by_emotion([one for one in looks if (one.source == "taiwan") == is_acted])
        for is_acted in (True, False)
    }
    for place in range(NUM_PAIRS[split]):
        voice = voices[random.integers(len(voices))]
        is_agreeing, is_acted = random.integers(100, size=2) < (AGREEING, PERFORMERS)
        table = by_source[bool(is_acted)] or by_source[not is_acted]
        wanted = name_emotion(voice) if is_agreeing else ""
        chosen = table.get(wanted) or [one for own in table.values() for one in own]
        look = chosen[random.integers(len(chosen))]
        yield Joined(name=f"{split}-pair-{place:05d}", kind="made", voice=voice, look=look)


def _by_emotion(looks: Sequence[Look]) -> dict[str, list[Look]]:
    result = defaultdict(list)
    for one in looks:
        result[name_emotion(one)].append(one)
    return dict(result)


def name_emotion(item: Item) -> str:
    """Return the emotion with the largest share of an item."""
    return EMOTIONS[int(np.argmax(item.shares))]


def pair_takes(voices: Sequence[Voice], looks: Sequence[Look]) -> Iterator[Joined]:
    """Give the takes of RAVDESS's actor 1 whose voice and face are both there.

    Nothing is learned from actor 1, and only here voice and face are of one person.
    """
    takes = {one.name.partition("-")[2]: one for one in voices if one.group == "actor01"}
    for look in looks:
        number = look.name.removeprefix("actor01-").split("-")
        take = "-".join(number[2:6])
        if look.source == "actor01" and number[:2] == ["01", "01"] and take in takes:
            voice = replace(takes[take], split="test")
            yield Joined(name=f"take-{take}", kind="take", voice=voice, look=look)


def calibrate_emotions(found: Predictions, joined: Sequence[Joined]) -> TargetCalibration:
    """Take temperatures and margins from clips that have exactly the modalities in question.

    ``mien.train`` takes modalities away from clips that have more. Their emotion is then still that
    of the pair, and a lone voice would be measured by what the face shows. Voices count by actor
    where there are enough of them; of photographs nobody knows whose they are. Performers, who are
    few, count beside them: the margin of an emotion is the wider of the two.
    """
    by_name = {name_clip(one): one for one in joined}
    clips = [by_name[name] for name in found.ids]
    emotion = found.values["emotion"]
    known = {}
    for present in ((Modality.AUDIO,), (Modality.VIDEO,), (Modality.AUDIO, Modality.VIDEO)):
        rows = [row for row, one in enumerate(clips) if tuple(one.items) == present]
        task = Task(present[0]) if len(present) == 1 else Task.FUSION
        parts = [rows, *_by_source(clips, rows)] if Modality.VIDEO in present else [rows]
        measured = [
            calibrate_values(
                emotion.target,
                emotion.values[task][part],
                emotion.truths[task][part],
                level=LEVEL,
                speakers=None
                if Modality.VIDEO in present
                else np.array([min(groups_of([clips[row]])) for row in part]),
            )
            for part in parts
        ]
        known[name_modalities(present)] = _widen(measured)
    return TargetCalibration(level=LEVEL, by_modalities=known)


def _by_source(clips: Sequence[Joined], rows: Sequence[int]) -> list[list[int]]:
    """Return the rows of faces of each source."""
    result = defaultdict(list)
    for row in rows:
        look = clips[row].look
        result["" if look is None else look.source].append(row)
    return list(result.values())


def _widen(measured: Sequence[ValueCalibration]) -> ValueCalibration:
    """Return the first, with the widest margin that any of them has of each class."""
    first = measured[0]
    margins = {
        name: max(own.margins.get(name, margin) for own in measured)
        for name, margin in first.margins.items()
    }
    return first.model_copy(update={"margins": margins})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="Folder with the sources.")
    parser.add_argument("out", type=Path, help="Folder for what is made; holds voices and faces.")
    parser.add_argument("--seeds", default="1111", help="Seeds, separated by commas.")
    parser.add_argument("--measure", type=Path, help="Weights to measure; nothing is trained.")
    given = parser.parse_args()
    if given.measure is not None:
        measure(given.measure, given.data, given.out)
    else:
        main(given.data, given.out, [int(seed) for seed in given.seeds.split(",")])
