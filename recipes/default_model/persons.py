"""Teach a model to read voice and face against the person, with its words as they are.

    python recipes/default_model/persons.py DATA OUT --model FILE

DATA and OUT are those of ``train.py``, which does this with its own weights in the end. Written are
a run, ``OUT/persons``, and ``OUT/default.safetensors``: FILE with other weights for voice, face and
fusion. States of the text are computed once, by the adapters of FILE, so that no adapter moves and
an epoch is quick. What is written has all that reads words alone from FILE: adapters, attention and
head, so that the score of words is what it was.

A recording is read against nobody unless a baseline is chosen. Validation clips that are read
against others of the same emotion, as those of a recording in one mood would be, are scored far
worse than by themselves (docs/decisions.md).
"""

import argparse
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from compose import Joined, name_clip, split_of
from corpus import Items, compose_all, groups_learned, make_corpus, read_items, write_corpus
from jaxtyping import Float32
from widths import calibrate_alone
from words import WORDS

import mien
from mien.data.dataset import batches
from mien.data.store import Store
from mien.evaluation.scoring import predict
from mien.prediction.package import pack
from mien.tensors import inferring
from mien.training.checkpoints.checkpoint import read_header, read_tensors, write_tensors
from mien.training.loading import load_model
from mien.training.run_folder import RunFolder, SeedFolder
from mien.types import Modality, SeriesSource, Task

HERE = Path(__file__).parent
LICENCE = "research and other non-commercial use, share alike"
_BATCH = 32


def main(model: Path, data: Path, out: Path, seeds: Sequence[int]) -> Path:
    """Read the sources, compose the clips, and do it."""
    items = read_items(data, out).apart()
    joined = compose_all(items)
    store = write_corpus(items, joined, data, out, "store")
    return learn_persons(model, store, items, joined, data, out, seeds)


def learn_persons(
    model: Path,
    store: Store,
    items: Items,
    joined: Sequence[Joined],
    data: Path,
    out: Path,
    seeds: Sequence[int],
) -> Path:
    """Train voice, face and fusion against persons, and pack the seed that is best on valid.

    Args:
        model: Weights to start from, which read words by adapters.
        store: The composed clips.
        items: All items.
        joined: What the clips are composed of.
        data: Folder with the sources.
        out: Folder of all that is made.
        seeds: One training each.
    """
    read = write_read_store(model, store, items, joined, data, out)
    settings = tomllib.loads((HERE / "settings.toml").read_text(encoding="utf-8"))
    for name, own in tomllib.loads((HERE / "persons.toml").read_text(encoding="utf-8")).items():
        settings[name] = settings.get(name, {}) | own
    settings["train"]["seeds"] = list(seeds)
    config = mien.ExperimentConfig.model_validate(settings)
    run = mien.train(config, read, out / "persons", init=model, resume=True)
    return complete(best_on_valid(run).best, model, store, items, joined, out)


def best_on_valid(run: RunFolder) -> SeedFolder:
    """Return the finished seed of a run with the least mean absolute error on valid."""
    return min(
        (seed for seed in run.seeds if seed.is_finished),
        key=lambda seed: seed.results().splits["valid"][Task.FUSION]["mae"],
    )


def complete(
    trained: Path, words: Path, store: Store, items: Items, joined: Sequence[Joined], out: Path
) -> Path:
    """Write what was trained with the words of another model, measure its intervals, and pack it.

    Args:
        trained: Checkpoint that was trained on states of words.
        words: The model whose states they are.
        store: The composed clips.
        items: All items.
        joined: What the clips are composed of.
        out: Folder of all that is made.
    """
    joint = out / "persons.safetensors"
    join_words(trained, words, joint)
    facts = read_header(joint)
    known = groups_learned(items, joined).union(facts.get("videos", []))
    facts |= {"videos": sorted(known), "videos_of_init": True, "usual_baseline": "none"}
    write_tensors(joint, read_tensors(joint), facts | measure_widths(joint, store, joined))
    packed = out / "default.safetensors"
    pack(joint, packed, licence=LICENCE, name="default", replace=True)
    return packed


def write_read_store(
    model: Path, store: Store, items: Items, joined: Sequence[Joined], data: Path, out: Path
) -> Store:
    """Write the clips of train and valid with the states of their words, as a model reads them."""
    states = dict(read_words(model, store))
    used = [one for one in joined if split_of(one) != "test"]
    material = make_corpus(items, used, data, out)
    size = next(iter(states.values())).shape[1]
    nothing = np.empty((0, size), np.float32)
    words = SeriesSource(
        name="text",
        size=size,
        dtype="float32",
        extractor="mpnet with the adapters of the model",
        read=lambda: (states.get(name_clip(one), nothing) for one in used),
    )
    material = replace(material, series=(*material.series, words))
    place = out / "read-store"
    return mien.write_store(material, place, replace=place.exists())


def read_words(model: Path, store: Store) -> Iterator[tuple[str, Float32[np.ndarray, "T D"]]]:
    """Yield the states of the words of every clip of train and valid that has some, by its id."""
    network, prepared = load_model(model, store, splits=("train", "valid"))
    for dataset in prepared.datasets.values():
        has_words = dataset.series[Modality.TEXT].lengths[dataset.rows] > 0
        spoken = dataset.part(np.flatnonzero(has_words))
        with inferring(network):
            for batch, _ in batches(spoken, _BATCH):
                given = batch.sequences[Modality.TEXT]
                states = network.text_encoder(given)
                for row, own, mask in zip(batch.index.tolist(), states, given.mask, strict=True):
                    yield spoken.ids[row], own[mask].numpy().astype(np.float32)


def join_words(trained: Path, words: Path, out: Path) -> None:
    """Write a model that was trained on states of words, with what reads words as it was before."""
    header, before = read_header(trained), read_header(words)
    own = {name: one for name, one in read_tensors(words).items() if name.startswith(WORDS)}
    config = {**header["config"], "text_encoder": before["config"]["text_encoder"]}
    facts = {name: before[name] for name in before if name.startswith("text_")}
    series = {name: one for name, one in header["series"].items() if name != "text"}
    header = {**header, **facts, "config": config, "series": series}
    write_tensors(out, {**read_tensors(trained), **own}, header)


def measure_widths(model: Path, store: Store, joined: Sequence[Joined]) -> dict[str, object]:
    """Return the widths of intervals with and without a baseline, as a header has them."""
    facts: dict[str, object] = {}
    for name, use in (("calibration", "speaker"), ("calibration_alone", "none")):
        network, prepared = load_model(model, store, baseline=use, splits=("valid",))
        found = predict(network, prepared.datasets["valid"])
        facts[name] = calibrate_alone(found, joined).model_dump(mode="json")
    return facts


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="Folder with the sources.")
    parser.add_argument("out", type=Path, help="Folder for what is made; holds voices and faces.")
    parser.add_argument("--model", type=Path, required=True, help="Weights to start from.")
    parser.add_argument("--seeds", default="1111", help="Seeds, separated by commas.")
    given = parser.parse_args()
    numbers = [int(seed) for seed in given.seeds.split(",")]
    main(given.model, given.data, given.out, numbers)
