"""Items of single modalities joined into clips: made pairs, with labels of their own and together.

No corpus at hand has all three modalities as this package extracts them. A composed clip joins a
transcript with the voice and the face of other people. Which ones is drawn so that their labels
correlate, as what people see and hear in one clip does.
"""

import csv
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from faces import Animator
from items import EMOTIONS, SCALE, Item, Look, Text, Voice
from scipy.stats import norm

from mien.extraction.clip import ExtractionSettings
from mien.types import (
    ID_SEPARATOR,
    Clip,
    Corpus,
    Material,
    Modality,
    SeriesSource,
    Split,
    Target,
    TargetKind,
    Task,
)

_Kind = TypeVar("_Kind", bound=Item)


@dataclass(frozen=True, kw_only=True)
class Weights:
    """How much each modality counts in the label of all; shares of those that are there.

    Attributes:
        text: A convention: half.
        audio: The other half, shared as CREMA-D's votes on whole clips follow those on the voice
            alone and on the face alone.
        video: The rest.
    """

    text: float
    audio: float
    video: float


def weigh_votes(data: Path, text: float = 0.5) -> Weights:
    """Fit people's votes on whole clips of CREMA-D by their votes on voice and on face alone."""
    with (data / "cremad" / "votes.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    votes = np.array([[float(row[key]) for key in ("label", "label_A", "label_V")] for row in rows])
    inputs = np.column_stack([votes[:, 1:], np.ones(len(votes))])
    voice, face, _ = np.linalg.lstsq(inputs, votes[:, 0], rcond=None)[0]
    rest = (1 - text) / (voice + face)
    return Weights(text=text, audio=float(voice * rest), video=float(face * rest))


@dataclass(frozen=True, kw_only=True)
class Joined:
    """A clip to be: up to three items of one split.

    Attributes:
        name: Unique name.
        kind: What it is made of, for tables: the source of its only item, or ``made``.
        text: What is said.
        voice: How it sounds.
        look: What the face does.
    """

    name: str
    kind: str
    text: Text | None = None
    voice: Voice | None = None
    look: Look | None = None

    @property
    def items(self) -> dict[Modality, Item]:
        """The items that are there."""
        parts = {Modality.TEXT: self.text, Modality.AUDIO: self.voice, Modality.VIDEO: self.look}
        return {modality: item for modality, item in parts.items() if item is not None}

    def labels(self, weights: Weights) -> dict[Task, float]:
        """Return the items' own labels, and their weighted mean."""
        items = self.items
        shares = {modality: getattr(weights, modality) for modality in items}
        total = sum(shares.values())
        fused = sum(shares[modality] * item.label for modality, item in items.items()) / total
        return {Task.FUSION: float(SCALE.clip(np.float64(fused)))} | {
            Task(m): item.label for m, item in items.items()
        }

    def shares(self, weights: Weights) -> dict[Task, tuple[float, ...]]:
        """Return the share of each emotion in the items of which that is known, and together.

        Together they are the mean of those of voice and face, weighted as in the label; words, of
        which no emotion is known, leave it as it is.
        """
        known = {m: item.shares for m, item in self.items.items() if item.shares}
        if not known:
            return {}
        counted = np.array([getattr(weights, modality) for modality in known])
        mean = counted @ np.array(list(known.values())) / counted.sum()
        return {Task.FUSION: tuple(mean.tolist())} | {Task(m): own for m, own in known.items()}


class Deck:
    """Items of one kind, drawn so that their labels correlate with a given normal value.

    Args:
        items: The items.
        groups: What each belongs to; every group is drawn as often as its share says.
        shares: Of each group, relative to the others; all alike if left out.
        random: Source of chance.
    """

    def __init__(
        self,
        items: Sequence[_Kind],
        groups: Sequence[str],
        shares: Mapping[str, float],
        random: np.random.Generator,
    ) -> None:
        labels = np.array([item.label for item in items])
        order = np.lexsort((random.random(len(items)), labels)).tolist()
        counts = Counter(groups)
        weights = np.array([shares.get(groups[at], 1.0) / counts[groups[at]] for at in order])
        self.items = [items[at] for at in order]
        self.ends = np.cumsum(weights) / weights.sum()

    def draw(self, normal: float) -> Item:
        """Return the item at the quantile of a standard normal value."""
        place = int(np.searchsorted(self.ends, norm.cdf(normal)))
        return self.items[min(place, len(self.items) - 1)]


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """How many composed clips of which kind.

    Attributes:
        voice_chance: Chance that a clip with a transcript has a voice.
        look_chance: Chance that it has a face.
        voices: Clips with a voice alone.
        looks: Clips with a face alone.
        both: Clips with voice and face, without a transcript.
        correlation: Between the labels of any two items of a clip, as normal values.
    """

    voice_chance: float = 0.25
    look_chance: float = 0.35
    voices: int = 2500
    looks: int = 12000
    both: int = 1500
    correlation: float = 0.55


def compose(
    split: str,
    texts: Sequence[Text],
    voices: Deck,
    looks: Deck,
    mixture: Mixture,
    random: np.random.Generator,
) -> Iterator[Joined]:
    """Compose the clips of a split; every transcript occurs once."""
    normals = _as_normals([text.label for text in texts], random)
    for place, text in enumerate(texts):
        voice, look = _draw_pair(normals[place], voices, looks, mixture, random)
        has_voice, has_look = random.random(2) < (mixture.voice_chance, mixture.look_chance)
        yield Joined(
            name=f"{split}-{place:05d}",
            kind="made" if has_voice or has_look else text.source,
            text=text,
            voice=voice if has_voice else None,
            look=look if has_look else None,
        )
    counts = {"voice": mixture.voices, "look": mixture.looks, "both": mixture.both}
    for kind, count in counts.items():
        for place in range(count):
            voice, look = _draw_pair(random.normal(), voices, looks, mixture, random)
            yield Joined(
                name=f"{split}-{kind}-{place:05d}",
                kind={"voice": voice.source, "look": look.source, "both": "made"}[kind],
                voice=None if kind == "look" else voice,
                look=None if kind == "voice" else look,
            )


def compose_every(
    split: str, texts: Sequence[Text], voices: Deck, looks: Deck, random: np.random.Generator
) -> Iterator[Joined]:
    """Compose every transcript once with a voice, once with a face, and once with both."""
    for kinds in (("voice",), ("look",), ("voice", "look")):
        normals = _as_normals([text.label for text in texts], random)
        for place, text in enumerate(texts):
            pair = _draw_pair(normals[place], voices, looks, Mixture(), random)
            drawn = dict(zip(("voice", "look"), pair, strict=True))
            yield Joined(
                name=f"{split}-with-{'-'.join(kinds)}-{place:05d}",
                kind="made",
                text=text,
                **{kind: drawn[kind] for kind in kinds},
            )


def _draw_pair(
    normal: float, voices: Deck, looks: Deck, mixture: Mixture, random: np.random.Generator
) -> tuple[Voice, Look]:
    """Draw a voice and a face through what all three have in common."""
    shared = np.sqrt(mixture.correlation) * normal
    shared += np.sqrt(1 - mixture.correlation) * random.normal()
    own = random.normal(size=2) * np.sqrt(1 - mixture.correlation)
    seen = np.sqrt(mixture.correlation) * shared + own
    return voices.draw(seen[0]), looks.draw(seen[1])


def _as_normals(labels: Sequence[float], random: np.random.Generator) -> np.ndarray:
    """Return labels as standard normal values by their ranks; equal labels in random order."""
    order = np.lexsort((random.random(len(labels)), np.array(labels)))
    ranks = np.empty(len(labels))
    ranks[order] = np.arange(len(labels))
    return norm.ppf((ranks + 0.5) / max(len(labels), 1))


@dataclass(frozen=True, kw_only=True)
class Series:
    """What made the series of a modality.

    Attributes:
        extractor: Name and version, as ``mien extract`` writes it.
        names: Name of each value.
        step_seconds: From one step to the next, if it is constant.
    """

    extractor: str
    names: tuple[str, ...]
    step_seconds: float | None


def make_material(
    joined: Sequence[Joined],
    animator: Animator,
    weights: Weights,
    made_by: Mapping[Modality, Series],
    settings: ExtractionSettings,
    *,
    name: str,
    seed: int,
) -> Material:
    """Make a corpus of composed clips, to be written as a store.

    A still in train or in a made pair becomes a series; alone in valid or test it stays one step.
    """
    speakers = name_speakers(joined)
    clips = tuple(
        _to_clip(one, weights, speaker) for one, speaker in zip(joined, speakers, strict=True)
    )
    emotion = Target(name="emotion", kind=TargetKind.CLASS, classes=EMOTIONS)
    corpus = Corpus(name=name, language="en", scale=SCALE, clips=clips, targets=(emotion,))

    def read(modality: Modality) -> Iterator[np.ndarray]:
        size = len(made_by[modality].names)
        for one in joined:
            chance = zlib.crc32(one.name.encode())  # a clip is the same, whatever is beside it
            values = _values_of(one, modality, animator, np.random.default_rng([seed, chance]))
            yield np.empty((0, size), np.float32) if values is None else values

    sources = tuple(
        SeriesSource(
            name=str(modality),
            size=len(series.names),
            dtype="float32",
            extractor=series.extractor,
            feature_names=series.names,
            step_seconds=series.step_seconds,
            read=lambda modality=modality: read(modality),
        )
        for modality, series in made_by.items()
    )
    return Material(
        corpus=corpus,
        series=sources,
        origin={"recipe": "recipes/default_model"},
        extraction=settings.model_dump(mode="json"),
    )


def name_clip(joined: Joined) -> str:
    """Return the id of a clip: the group of its first item stands for its video.

    The groups of the others are in no id. ``groups_of`` has them all.
    """
    item = next(iter(joined.items.values()))
    return f"{item.group}{ID_SEPARATOR}{joined.name}-{joined.kind}"


def split_of(joined: Joined) -> Split:
    """Return the split of a clip, which all of its items share."""
    return next(iter(joined.items.values())).split


def groups_of(joined: Iterable[Joined]) -> set[str]:
    """Return the groups of every item of the clips: all videos, persons and pictures in them."""
    return {item.group for one in joined for item in one.items.values()}


def name_speakers(joined: Sequence[Joined]) -> list[str]:
    """Return whose baseline each clip may be read against: that of one person seen or heard in it.

    A voice or a face that is drawn several times is each time with another speaker of that person,
    so that no clip is read against its twin. Speakers with lower numbers have more clips, and clips
    of a voice or a face alone are with the first. A clip with a voice and a face of two people, a
    picture of which nobody knows whom it shows, and words alone are speakers of their own.
    """
    names = [name_clip(one) for one in joined]
    times: Counter[str] = Counter()
    for place in sorted(range(len(joined)), key=lambda place: len(joined[place].items)):
        persons = [item for item in (joined[place].voice, joined[place].look) if item is not None]
        if len(persons) == 1 and persons[0].source != "ferplus":
            times[persons[0].name] += 1
            names[place] = f"{persons[0].group}-{times[persons[0].name]}"
    return names


def _to_clip(joined: Joined, weights: Weights, speaker: str) -> Clip:
    shares = joined.shares(weights)
    return Clip(
        id=name_clip(joined),
        split=split_of(joined),
        speaker=speaker,
        transcript=joined.text.words if joined.text is not None else "",
        labels=joined.labels(weights),
        targets={"emotion": shares} if shares else {},
    )


def _values_of(
    joined: Joined, modality: Modality, animator: Animator, random: np.random.Generator
) -> np.ndarray | None:
    if modality is Modality.AUDIO:
        return joined.voice.values if joined.voice is not None else None
    look = joined.look
    if look is None or look.values is not None:
        return look.values if look is not None else None
    if look.split != "train" and joined.kind != "made":
        return look.face.shapes[None].astype(np.float32)
    return animator.animate(look.face, random)
