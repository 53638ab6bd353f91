"""Train the model that comes with the package: compose clips, train, judge each modality, pack.

    python recipes/ravdess.py DATA/ravdess OUT/ravdess
    mien extract OUT/ravdess/recordings.csv --corpus ravdess --scale -1,1 --audio whisper-tiny-en \
        --rate audio=10 --video none --text none --out OUT/voices
    python recipes/default_model/train.py DATA OUT --seeds 1111,1112

DATA holds ``mosi``, ``mosei``, ``ravdess``, ``cremad`` and ``face``; OUT gets the composed store, a
run, ``tables.md`` and ``default.safetensors``, packed from the seed that is best on valid.
docs/model-card.md says what the sources are and what may be done with the weights.
"""

import argparse
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
from compose import Deck, Joined, Mixture, Series, compose, make_material, name_clip, weigh_votes
from faces import Animator, Motion
from items import (
    SCALE,
    Item,
    Look,
    Text,
    Voice,
    measure_jitter,
    read_looks,
    read_texts,
    read_voices,
)
from tables import write_tables

import mien
from mien.calibration import calibrate
from mien.checkpoint import add_to_header
from mien.extraction.clipwork import ExtractionSettings
from mien.extraction.request import make_settings
from mien.extractors import EXTRACTORS
from mien.packing import pack
from mien.run import SeedFolder
from mien.store import Store
from mien.trained import load_model
from mien.types import ID_SEPARATOR, SPLITS, Clip, Corpus, Material, Modality, Scale, Split, Task

HERE = Path(__file__).parent
SEED = 1111
#: Of a face in train, how often it is of each source; performers are few and judged by a hundred.
LOOK_SHARES = {"ferplus": 0.7, "taiwan": 0.3}
#: Clips of valid and test beside transcripts; every voice and face of theirs occurs alone as well.
HELD_OUT = Mixture(voices=0, looks=0, both=200)
#: Transcripts that are composed with voices and faces; all were learned from before.
NUM_TEXTS = 6000
#: Most transcripts of CMU-MOSEI and faces of FER+ in valid: it is looked at after every epoch.
MOST_VALID = {"mosei": 500, "ferplus": 700}


def main(data: Path, out: Path, seeds: tuple[int, ...]) -> None:
    """Do all of it."""
    random = np.random.default_rng(SEED)
    texts, looks = read_texts(data), read_looks(data)
    voices = read_voices(out / "voices")
    joined = [one for split in SPLITS for one in _join(split, texts, voices, looks, random)]
    settings = _choose_extraction()
    at_rest = [
        one.face.shapes for one in looks if one.split == "train" and one.emotion == "neutral"
    ]
    animator = Animator(motion=Motion(), jitter=measure_jitter(data), rests=np.stack(at_rest))
    weights = weigh_votes(data)
    made_by = {
        Modality.AUDIO: Series(
            extractor="whisper-tiny-en/1, mean at 10 a second",
            names=_names("whisper-tiny-en/1"),
            step_seconds=0.1,
        ),
        Modality.VIDEO: Series(
            extractor="blendshapes/1", names=_names("blendshapes/1"), step_seconds=None
        ),
    }
    material = make_material(
        joined, animator, weights, made_by, settings, name="default-model", seed=SEED
    )
    store = mien.write_store(material, out / "store", replace=(out / "store").exists())
    read = _learn_to_read(texts, out)
    config = mien.read_config(HERE / "settings.toml", [f"train.seeds={list(seeds)}"])
    run = mien.train(config, store, out / "run", init=read, resume=True)
    best = min(
        (seed for seed in run.seeds if seed.is_finished),
        key=lambda seed: seed.metrics()["splits"]["valid"]["fusion"]["mae"],
    )
    recalibrate(best, store, joined)
    write_tables(best, joined, weights, out / "tables.md")
    pack(best.path, out / "default.safetensors", licence=LICENCE, name="default", replace=True)


def recalibrate(seed: SeedFolder, store: Store, joined: list[Joined]) -> None:
    """Take the widths of intervals from valid without CMU-MOSEI.

    It is easier than CMU-MOSI and has more clips: with it, 82 % instead of 90 % of CMU-MOSI's
    annotations lie inside on valid itself.
    """
    model, prepared = load_model(seed.path, store)
    whole = prepared.datasets["valid"]
    easy = {name_clip(one) for one in joined if one.text is not None and one.text.source == "mosei"}
    kept = np.flatnonzero([clip.id not in easy for clip in whole.clips])
    part = replace(
        whole,
        clips=tuple(whole.clips[row] for row in kept),
        rows=whole.rows[kept],
        labels={task: values[kept] for task, values in whole.labels.items()},
        costs=whole.costs[kept],
    )
    found = calibrate(model, part, scale=prepared.scale)
    add_to_header(seed.best, {"calibration": found.model_dump(mode="json")})


LICENCE = "research and other non-commercial use, share alike; see docs/model-card.md"


def _learn_to_read(texts: list[Text], out: Path) -> Path:
    """Train on transcripts alone: those of CMU-MOSI, the target, occur three times."""
    clips = []
    for one in texts:
        if one.source == "mosi" or one.split == "train":
            copies = 3 if one.source == "mosi" and one.split == "train" else 1
            name = one.name.removeprefix(f"{one.group}-")
            clips += [
                Clip(
                    id=f"{one.group}{ID_SEPARATOR}{name}{'abc'[copy] if copy else ''}",
                    split=one.split,
                    transcript=one.words,
                    labels={Task.FUSION: one.label},
                )
                for copy in range(copies)
            ]
    corpus = Corpus(name="text", language="en", scale=Scale(*SCALE), clips=tuple(clips))
    material = Material(corpus=corpus, series=(), origin={"recipe": "recipes/default_model"})
    place = out / "text-store"
    store = mien.write_store(material, place, replace=place.exists())
    mien.train(mien.read_config(HERE / "text.toml"), store, out / "text-run", resume=True)
    return out / "text-run"


def _choose_extraction() -> ExtractionSettings:
    return make_settings(
        audio="whisper-tiny-en",
        video="blendshapes",
        text="auto",
        recogniser="whisper-tiny-en",
        language="en",
        align="none",
        encoder="none",
        pool=[],
        rate=["audio=10"],
    )


def _names(extractor: str) -> tuple[str, ...]:
    return EXTRACTORS[extractor].build("").feature_names


def _join(
    split: Split,
    texts: list[Text],
    voices: list[Voice],
    looks: list[Look],
    random: np.random.Generator,
) -> list[Joined]:
    """Compose the clips of a split; outside train every voice and face occurs alone, too."""
    said, heard, seen = (
        _thin([one for one in items if one.split == split], split, random)
        for items in (texts, voices, looks)
    )
    tones = [
        "negative" if one.label < 0 else "rest" if one.label == 0 else "positive" for one in heard
    ]
    decks = (
        Deck(heard, tones, {}, random),
        Deck(seen, [one.source for one in seen], LOOK_SHARES, random),
    )
    mixture = Mixture() if split == "train" else HELD_OUT
    if split == "train":
        said = [said[place] for place in sorted(random.choice(len(said), NUM_TEXTS, replace=False))]
    joined = list(compose(split, said, *decks, mixture, random))
    if split != "train":
        joined += [
            Joined(name=f"{split}-alone-{one.name}", kind=one.source, text=one) for one in said
        ]
        joined += [
            Joined(name=f"{split}-alone-{one.name}", kind=one.source, voice=one) for one in heard
        ]
        joined += [
            Joined(name=f"{split}-alone-{one.name}", kind=one.source, look=one) for one in seen
        ]
    return joined


def _thin(items: list[Item], split: Split, random: np.random.Generator) -> list[Item]:
    """Keep few enough of the large sources in valid."""
    if split != "valid":
        return items
    by_source = defaultdict(list)
    for one in items:
        by_source[one.source].append(one)
    kept = []
    for source, of_it in by_source.items():
        most = min(MOST_VALID.get(source, len(of_it)), len(of_it))
        kept += [of_it[place] for place in sorted(random.choice(len(of_it), most, replace=False))]
    return kept


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="Folder with the sources.")
    parser.add_argument("out", type=Path, help="Folder for all that is made.")
    parser.add_argument("--seeds", default="1111", help="Seeds, separated by commas.")
    given = parser.parse_args()
    main(given.data, given.out, tuple(int(seed) for seed in given.seeds.split(",")))
