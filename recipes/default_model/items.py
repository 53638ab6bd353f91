"""What the default model learns from: labelled transcripts, voices and faces, each by itself.

Items are first in the split that their source gives them; ``keep_apart`` then leaves every video,
person and picture in one split alone. Labels are on the scale of CMU-MOSI, -3 to 3; a valence of -1
to 1 is tripled.
"""

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from faces import Face, Jitter, as_log_odds

from mien.data.store import open_store
from mien.types import SPLITS, Scale, Split

SCALE = Scale(-3.0, 3.0)
#: What the actors of RAVDESS were asked to show, as valence: a stated convention, nobody's votes.
VALENCE = {
    "neutral": 0.0,
    "calm": 0.5,
    "happy": 1.0,
    "sad": -0.7,
    "angry": -0.8,
    "fearful": -0.6,
    "disgust": -0.7,
    "surprised": 0.3,
}
ACTED = dict(zip(("01", "02", "03", "04", "05", "06", "07", "08"), VALENCE, strict=True))
#: What is told apart, in the order of FER+'s votes; calm voices count as neutral.
EMOTIONS = (
    "neutral",
    "happy",
    "surprised",
    "sad",
    "angry",
    "disgust",
    "fearful",
    "contempt",
)
#: The votes on the Taiwanese performers, by the same names.
_TAIWANESE = {
    "peace": "neutral",
    "happy": "happy",
    "surprise": "surprised",
    "sad": "sad",
    "angry": "angry",
    "disgust": "disgust",
    "fear": "fearful",
}
#: Actors of RAVDESS above these are in valid, and in test.
LAST_TRAIN, LAST_VALID = 14, 17
#: Of the 24 Taiwanese performers in order, every fourth is in test, and of the rest every sixth in
#: valid.
EVERY_TEST, EVERY_VALID = 4, 6
_JUNK = ("unknown", "not_a_face")


@dataclass(frozen=True, kw_only=True)
class Item:
    """A transcript, a voice or a face with its own label.

    Attributes:
        name: Unique name.
        source: Where it is from: ``mosi``, ``mosei``, ``ravdess``, ``ferplus``, ``taiwan``,
            ``actor01`` (the face of RAVDESS's actor 1).
        group: What must not be in two splits, by the id that users of the source know where there
            is one: the video of CMU-MOSI and CMU-MOSEI, the actor of RAVDESS (``actor01``, as
            ``recipes/ravdess.py`` names videos). Performers and pictures have a prefix, so that
            they are not taken for someone's videos.
        split: Where it is.
        label: On the scale -3 to 3.
        emotion: What is shown, if the source says; for tables.
        shares: Share of each of ``EMOTIONS``: of the votes where people voted, else all of it is
            what was to be shown; empty where the source says nothing.
    """

    name: str
    source: str
    group: str
    split: Split
    label: float
    emotion: str = ""
    shares: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Text(Item):
    """A transcript."""

    words: str


@dataclass(frozen=True, kw_only=True)
class Voice(Item):
    """The series of a voice, ``(T, 384)``."""

    values: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Look(Item):
    """A face: a still and how it looks without expression, or a series as it was recorded."""

    face: Face | None = None
    values: np.ndarray | None = None


_Kind = TypeVar("_Kind", bound=Item)


def keep_apart(items: Sequence[_Kind]) -> list[_Kind]:
    """Leave every group in one split: what is in test is taken out of train and valid.

    What is in valid is taken out of train. So twins of a test picture and the voice of an actor
    whose face is tested are not trained on, and test loses nothing.

    Args:
        items: Items of all kinds together, since a voice and a face may be of one person.
    """
    last: dict[str, int] = {}
    for one in items:
        last[one.group] = max(last.get(one.group, 0), SPLITS.index(one.split))
    return [one for one in items if SPLITS.index(one.split) == last[one.group]]


def read_texts(data: Path) -> list[Text]:
    """Read CMU-MOSI in its official split, and CMU-MOSEI: no video is in both."""
    mosi, mosei = _read_table(data / "mosi"), _read_table(data / "mosei")
    shared = {row["video_id"] for row in mosi} & {row["video_id"] for row in mosei}
    mosei = [row for row in mosei if row["video_id"] not in shared]
    texts = [_to_text(row, "mosi") for row in mosi] + [_to_text(row, "mosei") for row in mosei]
    return [one for one in texts if one.words]


def _read_table(folder: Path) -> list[dict[str, str]]:
    with (folder / "label.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def _to_text(row: dict[str, str], source: str) -> Text:
    return Text(
        name=f"{row['video_id']}-{row['clip_id']}",
        source=source,
        group=row["video_id"],
        split=row["mode"],
        label=float(SCALE.clip(np.float64(row["label"]))),
        words=row["text"].strip().lower() if source == "mosi" else row["text"].strip(),
    )


def read_voices(store: Path) -> list[Voice]:
    """Read RAVDESS's voices from the store that ``mien extract`` made, split by actor."""
    opened = open_store(store)
    series = opened.series("audio")
    voices = []
    for row, clip in enumerate(opened.clips):
        group, take = clip.id.split("$_$")
        emotion = ACTED[take.split("-")[0]]
        voices.append(
            Voice(
                name=f"{group}-{take}",
                source="ravdess",
                group=group,
                split=_split_actor(int(group.removeprefix("actor"))),
                label=3 * VALENCE[emotion],
                emotion=emotion,
                shares=_all_of("neutral" if emotion == "calm" else emotion),
                values=np.asarray(series[row], dtype=np.float32),
            )
        )
    return voices


def _all_of(emotion: str) -> tuple[float, ...]:
    """Return the shares of an emotion that was to be shown."""
    return tuple(float(emotion == one) for one in EMOTIONS)


def _share_votes(votes: np.ndarray, names: Sequence[str]) -> tuple[float, ...]:
    """Return the share of each of ``EMOTIONS`` in the votes for one of them; empty without any."""
    counts = dict(zip(names, votes.tolist(), strict=True))
    chosen = [float(counts.get(one, 0.0)) for one in EMOTIONS]
    total = sum(chosen)
    return tuple(count / total for count in chosen) if total > 0 else ()


def _split_actor(actor: int) -> Split:
    return "train" if actor <= LAST_TRAIN else "valid" if actor <= LAST_VALID else "test"


def read_looks(data: Path) -> list[Look]:
    """Read the faces: FER+ and Taiwanese performers as stills, RAVDESS's actor 1 as series."""
    return [*_read_ferplus(data), *_read_taiwan(data), *_read_actor(data)]


def _read_ferplus(data: Path) -> list[Look]:
    with np.load(data / "face" / "ferplus.npz") as file:
        arrays = {name: file[name] for name in file}
    kept = np.flatnonzero(arrays["found"] & ~np.isin(arrays["emotion"], _JUNK))
    return [
        Look(
            name=f"ferplus-{row}",
            source="ferplus",
            group=f"ferplus-{_hash(arrays['blendshapes'][row])}",
            split=str(arrays["split"][row]),
            label=3 * float(arrays["valence"][row]),
            emotion=str(arrays["emotion"][row]),
            shares=_share_votes(arrays["votes"][row], arrays["vote_names"].tolist()),
            face=Face(shapes=arrays["blendshapes"][row], rest=None),
        )
        for row in kept.tolist()
    ]


def _hash(shapes: np.ndarray) -> str:
    """Return what two rows share whose blendshapes are the same: they are one picture."""
    return hashlib.sha256(np.ascontiguousarray(shapes).tobytes()).hexdigest()[:12]


def _read_taiwan(data: Path) -> list[Look]:
    with np.load(data / "face" / "taiwan_performers.npz") as file:
        arrays = {name: file[name] for name in file}
    splits = _split_performers(arrays["subject"])
    shapes, subjects = arrays["blendshapes"], arrays["subject"]
    is_rest = arrays["found"] & (arrays["emotion"] == "neutral")
    rests = {one: shapes[is_rest & (subjects == one)] for one in splits}
    return [
        Look(
            name=f"taiwan-{row}",
            source="taiwan",
            group=f"taiwan-{subjects[row]}",
            split=splits[subjects[row]],
            label=3 * float(arrays["valence_perceived"][row]),
            emotion=str(arrays["emotion"][row]),
            shares=_share_votes(
                arrays["votes"][row], [_TAIWANESE[name] for name in arrays["vote_names"].tolist()]
            ),
            face=Face(shapes=shapes[row], rest=rests[subjects[row]]),
        )
        for row in np.flatnonzero(arrays["found"]).tolist()
    ]


def _split_performers(subjects: np.ndarray) -> dict[str, Split]:
    splits: dict[str, Split] = {}
    for place, one in enumerate(np.unique(subjects).tolist()):
        is_valid = place % EVERY_VALID == 0
        splits[one] = (
            "test" if place % EVERY_TEST == EVERY_TEST - 1 else "valid" if is_valid else "train"
        )
    return splits


def _read_actor(data: Path) -> list[Look]:
    with np.load(data / "face" / "ravdess_actor01.npz") as file:
        arrays = {name: file[name] for name in file}
    return [
        Look(
            name=f"actor01-{arrays['image'][row]}",
            source="actor01",
            group="actor01",
            split="test",
            label=3 * VALENCE[str(arrays["emotion"][row])],
            emotion=str(arrays["emotion"][row]),
            shares=_all_of(str(arrays["emotion"][row])),
            values=arrays["blendshapes"][row][arrays["found"][row]],
        )
        for row in range(len(arrays["image"]))
        if arrays["found"][row].any()
    ]


def measure_jitter(store: Path) -> Jitter:
    """Measure how much blendshapes move while people talk without expression.

    Args:
        store: Clips of GRID, whose speakers read out commands; their faces are in no split.
    """
    opened = open_store(store)
    series = opened.series("video")
    takes = [np.asarray(series[row], np.float64) for row in range(len(opened.clips))]
    deviation, odds = (
        np.sqrt(np.mean([take.var(axis=0) for take in each if len(take) > 1], axis=0))
        for each in (takes, [as_log_odds(take) for take in takes])
    )
    return Jitter(deviation=deviation, log_odds=odds)
