"""The corpus of the default model: which items and which composed clips are in which split."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from compose import (
    Deck,
    Joined,
    Mixture,
    Series,
    compose,
    compose_every,
    groups_of,
    make_material,
    split_of,
    weigh_votes,
)
from faces import Animator, Motion
from items import (
    Item,
    Look,
    Text,
    Voice,
    keep_apart,
    measure_jitter,
    read_looks,
    read_texts,
    read_voices,
)

import mien
from mien.data.store import Store
from mien.extraction.clip import ExtractionSettings
from mien.extraction.extractors import EXTRACTORS
from mien.extraction.request import make_settings
from mien.types import SPLITS, Material, Modality, Split

SEED = 1111
_MOTION = Motion()
#: Of a face in a composed clip, how often it is of each source; performers are few and rated by a
#: hundred. Actor 1 is in test alone, and there half of all faces would be his.
LOOK_SHARES = {"ferplus": 0.7, "taiwan": 0.3, "actor01": 0.0}
#: Clips of valid and test that are composed without a transcript.
HELD_OUT = Mixture(voices=0, looks=0, both=200)
#: Transcripts of train in composed clips: all of CMU-MOSI, the target, and the rest of CMU-MOSEI,
#: of which all were learned from before.
NUM_TEXTS = 5000
#: Most transcripts of CMU-MOSEI and faces of FER+ in valid: it is looked at after every epoch.
MOST_VALID = {"mosei": 500, "ferplus": 700}


@dataclass(frozen=True, kw_only=True)
class Items:
    """All items, by kind.

    Attributes:
        texts: Transcripts.
        voices: Voices.
        looks: Faces.
    """

    texts: Sequence[Text]
    voices: Sequence[Voice]
    looks: Sequence[Look]

    @property
    def trained(self) -> set[str]:
        """The groups of train."""
        return {one.group for one in self.all if one.split == "train"}

    @property
    def all(self) -> list[Item]:
        """The items of all kinds."""
        return [*self.texts, *self.voices, *self.looks]

    def apart(self) -> "Items":
        """Return the items of which no group is in two splits."""
        kept = keep_apart(self.all)
        return Items(
            texts=[one for one in kept if isinstance(one, Text)],
            voices=[one for one in kept if isinstance(one, Voice)],
            looks=[one for one in kept if isinstance(one, Look)],
        )

    @property
    def rests(self) -> list[Look]:
        """The faces of train without expression, from which others move."""
        return [one for one in self.looks if one.split == "train" and one.emotion == "neutral"]


def read_items(data: Path, out: Path) -> Items:
    """Read all items, in the splits of their sources."""
    return Items(texts=read_texts(data), voices=read_voices(out / "voices"), looks=read_looks(data))


def compose_all(items: Items, *, most_texts: int = NUM_TEXTS) -> list[Joined]:
    """Compose the clips of all splits; the same every time.

    Args:
        items: What they are composed of.
        most_texts: Transcripts of train that are part of a clip.
    """
    random = np.random.default_rng(SEED)
    return [one for split in SPLITS for one in _compose(split, items, random, most_texts)]


def groups_learned(items: Items, joined: Sequence[Joined]) -> set[str]:
    """Return every group from which training on the composed clips learns.

    Beside the items of the clips, these are the faces from whose rest others are moved.
    """
    return groups_of(one for one in joined if split_of(one) == "train") | {
        one.group for one in items.rests
    }


def write_corpus(
    items: Items,
    joined: Sequence[Joined],
    data: Path,
    out: Path,
    name: str,
    *,
    corpus: str = "default-model",
    motion: Motion = _MOTION,
) -> Store:
    """Write composed clips as the store ``out/name``; the arguments are those of ``make_corpus``.

    Args:
        items: All items.
        joined: The clips to write.
        data: Folder with the sources.
        out: Folder of all that is made.
        name: Of the store.
        corpus: Name of the corpus.
        motion: How stills become series.
    """
    material = make_corpus(items, joined, data, out, corpus=corpus, motion=motion)
    return mien.write_store(material, out / name, replace=(out / name).exists())


def make_corpus(
    items: Items,
    joined: Sequence[Joined],
    data: Path,
    out: Path,
    *,
    corpus: str = "default-model",
    motion: Motion = _MOTION,
) -> Material:
    """Make a corpus of composed clips, to be written as a store.

    Args:
        items: All items; clips in which a face moves take its rest from them.
        joined: The clips.
        data: Folder with the sources.
        out: Folder of all that is made; holds the store ``faces``.
        corpus: Name of the corpus.
        motion: How stills become series.
    """
    rests = np.stack([one.face.shapes for one in items.rests])
    animator = Animator(motion=motion, jitter=measure_jitter(out / "faces"), rests=rests)
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
    weights, settings = weigh_votes(data), _choose_extraction()
    return make_material(joined, animator, weights, made_by, settings, name=corpus, seed=SEED)


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


def _compose(
    split: Split, items: Items, random: np.random.Generator, most_texts: int
) -> list[Joined]:
    said, heard, seen = (
        _thin([one for one in kind if one.split == split], split, random)
        for kind in (items.texts, items.voices, items.looks)
    )
    tones = [
        "negative" if one.label < 0 else "rest" if one.label == 0 else "positive" for one in heard
    ]
    decks = (
        Deck(heard, tones, {}, random),
        Deck(seen, [one.source for one in seen], LOOK_SHARES, random),
    )
    if split != "train":
        return list(_compose_held_out(split, said, decks, random))
    target = [one for one in said if one.source == "mosi"]
    others = [one for one in said if one.source != "mosi"]
    most = max(most_texts - len(target), 0)
    if len(others) > most:
        chosen = sorted(random.choice(len(others), most, replace=False))
        others = [others[place] for place in chosen]
    said = target + others
    return list(compose(split, said, *decks, Mixture(), random))


def _compose_held_out(
    split: Split, said: Sequence[Text], decks: tuple[Deck, Deck], random: np.random.Generator
) -> Iterator[Joined]:
    """Give every item alone, and every transcript of CMU-MOSI once in each set of modalities."""
    voices, looks = decks
    target = [one for one in said if one.source == "mosi"]
    yield from compose_every(split, target, voices, looks, random)
    yield from compose(split, [], voices, looks, HELD_OUT, random)
    for kind, alone in (("text", said), ("voice", voices.items), ("look", looks.items)):
        for one in alone:
            yield Joined(name=f"{split}-alone-{one.name}", kind=one.source, **{kind: one})


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
