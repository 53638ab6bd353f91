"""The values that travel between stages, and the legend of shape letters.

B clips in a batch · T time steps of one modality · D size of an input feature ·
N clips in a split · M modalities · H size of a hidden state · K classes
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Float64, Num

from mien.errors import CorpusError, list_some

__all__ = [
    "EVALUATED_SPLITS",
    "ID_SEPARATOR",
    "MODALITY_NAMES",
    "MOST_CLASSES",
    "REPORTED_SPLITS",
    "SPLITS",
    "Bounds",
    "Clip",
    "Corpus",
    "Material",
    "Modality",
    "Scale",
    "SeriesSource",
    "Split",
    "Target",
    "TargetKind",
    "Task",
    "Word",
    "video_of",
]

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")
#: The splits on which a training evaluates, and the order in which reports show what there is.
EVALUATED_SPLITS: tuple[Split, ...] = ("valid", "test")
REPORTED_SPLITS: tuple[Split, ...] = ("test", "valid", "train")

#: What stands between the video's and the clip's name in the id of a clip, as in the field's files.
ID_SEPARATOR = "$_$"


def video_of(clip_id: str) -> str:
    """Return the video from which a clip was cut.

    >>> video_of("03bSnISJMiM$_$11")
    '03bSnISJMiM'
    """
    return clip_id.split(ID_SEPARATOR)[0]


class Modality(StrEnum):
    """Words, voice and face; always in this order."""

    TEXT = "text"
    AUDIO = "audio"
    VIDEO = "video"


#: What answers call the modalities.
MODALITY_NAMES = {Modality.TEXT: "text", Modality.AUDIO: "voice", Modality.VIDEO: "face"}


class Task(StrEnum):
    """What is predicted: the multimodal score, and one score per modality."""

    FUSION = "fusion"
    TEXT = "text"
    AUDIO = "audio"
    VIDEO = "video"


@runtime_checkable
class _Clippable(Protocol):
    """An array or tensor."""

    def clip(self, low: float, high: float, /) -> Any:  # noqa: ANN401  # its own type
        """Return it with every value cut to the range."""
        ...


ArrayT = TypeVar("ArrayT", bound=_Clippable)


class Scale(NamedTuple):
    """The range of annotations, ends included: MOSI and MOSEI -3..3, CH-SIMS -1..1."""

    low: float
    high: float

    def clip(self, values: ArrayT) -> ArrayT:
        """Return an array or tensor in which every value is cut to the scale."""
        clipped: ArrayT = values.clip(self.low, self.high)
        return clipped


#: A range as two numbers, such as ``(-3, 3)``; a ``Scale`` is one.
Bounds = tuple[float | int, float | int]


class TargetKind(StrEnum):
    """What is told of a clip besides its sentiment, and what its K values are.

    ``score`` is one value on a scale, such as valence: K = 1. ``class`` is one of K classes: the
    values are their shares, which sum to 1: 1 for the annotated class, or the shares of votes.
    ``labels`` are any of K classes, 1 where one is there and 0 where not. ``intensities`` is a
    value on a scale for each of K classes, such as the emotions of CMU-MOSEI, 0 to 3.
    """

    SCORE = "score"
    CLASS = "class"
    LABELS = "labels"
    INTENSITIES = "intensities"


#: The most classes that a target may have, and the longest name of a target or class.
MOST_CLASSES: Final = 1000
_LONGEST_NAME: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Something that a corpus has annotated besides sentiment, such as emotion or valence.

    Args:
        name: What it is called: ``emotion``, ``valence``; the name of its column. Names have
            neither ``/`` nor line breaks.
        kind: What its values are.
        classes: Names of the K classes, in the order of the values; empty for a score.
        scale: Range of a score or of intensities; None for classes and labels.

    Raises:
        CorpusError: If that is no target: a name that cannot be one, classes or a scale where the
            kind has none, none where it has them, or a class twice.
    """

    name: str
    kind: TargetKind
    classes: tuple[str, ...] = ()
    scale: Scale | None = None

    def __post_init__(self) -> None:
        """Check that the parts fit together."""
        fault = _find_fault(self)
        if fault:
            raise CorpusError(f"target {self.name[:_LONGEST_NAME]!r}: {fault}")

    @property
    def size(self) -> int:
        """How many values it has, K."""
        return 1 if self.kind is TargetKind.SCORE else len(self.classes)

    def columns(self, task: "Task") -> tuple[str, ...]:
        """Return a name for each of its values of a task: ``emotion/fusion/angry``."""
        stem = f"{self.name}/{task}"
        return tuple(f"{stem}/{name}" for name in self.classes) or (stem,)

    def describe(self) -> str:
        """Return its kind, scale and classes, of more than 20 the first 12, for people."""
        low, high = self.bounds
        names = list_some(self.classes, 20 if self.size <= 20 else 12)
        return {
            TargetKind.SCORE: f"{low:g} to {high:g}",
            TargetKind.CLASS: f"one of {names}",
            TargetKind.LABELS: f"any of {names}",
            TargetKind.INTENSITIES: f"{low:g} to {high:g} for each of {names}",
        }[self.kind]

    @property
    def bounds(self) -> Scale:
        """Between which ends its values lie: its scale, and 0 to 1 for classes and labels."""
        return self.scale or Scale(0.0, 1.0)

    @property
    def has_shares(self) -> bool:
        """Whether its values are shares or probabilities, 0 to 1: of classes and labels."""
        return self.kind in (TargetKind.CLASS, TargetKind.LABELS)


def _is_name(name: str) -> bool:
    return 0 < len(name) <= _LONGEST_NAME and name.isprintable() and name == name.strip()


def _find_fault(target: Target) -> str:
    """Return what is wrong with a target; empty if nothing is."""
    wrong = [name for name in (target.name, *target.classes) if not _is_name(name)]
    if wrong:
        return (
            f"{wrong[0][:_LONGEST_NAME]!r} cannot be a name; names have 1 to {_LONGEST_NAME} "
            "characters that can be printed, and no space at the ends"
        )
    if "/" in target.name:
        return "a name has no '/'"
    if (target.kind is TargetKind.SCORE) == bool(target.classes):
        return f"kind {target.kind} has {'no' if target.classes else 'one or more'} classes"
    if len(target.classes) > MOST_CLASSES:
        return f"has {len(target.classes)} classes, at most {MOST_CLASSES} are possible"
    twice = [name for at, name in enumerate(target.classes) if name in target.classes[:at]]
    if twice:
        return f"class {twice[0]!r} is there twice"
    if target.has_shares != (target.scale is None):
        return f"kind {target.kind} has {'no' if target.has_shares else 'a'} scale"
    if target.scale is not None and not -1e9 <= target.scale.low < target.scale.high <= 1e9:
        return f"scale is {tuple(target.scale)}, must be (LOW, HIGH)"
    return ""


class Word(NamedTuple):
    """A word and when it is spoken, in seconds from the start of the clip."""

    text: str
    start: float
    end: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One utterance.

    Attributes:
        id: Name of the clip, unique in its corpus: ``VIDEO$_$CLIP``.
        split: The published part of the corpus to which the clip belongs.
        transcript: What is spoken; empty if that is not known.
        labels: Annotated score per task, on the scale of the corpus. A clip without ``fusion`` is
            not annotated; training and evaluation leave it out.
        start: Where the clip begins in its video, in seconds.
        end: Where it ends.
        media: The recording.
        moments: Where a modality carries its sentiment, if that is known, as a half-open range:
            steps of the series for audio and video, characters of the transcript for text.
        words: What is spoken, word by word, if that is known; pauses are left out.
        speaker: Who speaks, in whatever names the corpus has; None stands for the video.
        targets: Values of further targets, by their names and per task, as ``TargetKind`` says; a
            clip that is not annotated for a target or task does not have it.
    """

    id: str
    split: Split
    transcript: str
    labels: Mapping[Task, float]
    start: float | None = None
    end: float | None = None
    media: Path | None = None
    moments: Mapping[Modality, tuple[int, int]] = field(default_factory=dict)
    words: tuple[Word, ...] = ()
    speaker: str | None = None
    targets: Mapping[str, Mapping[Task, tuple[float, ...]]] = field(default_factory=dict)

    @property
    def video_id(self) -> str:
        """The video from which the clip was cut."""
        return video_of(self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """Clips, annotated or to be predicted.

    Attributes:
        name: ``mosi``, ``mosei``, ``sims``, ``planted`` or the user's own.
        language: ISO 639-1 code of the transcripts.
        scale: Range of the annotations.
        clips: In the order of the file; ids are unique.
        is_synthetic: Whether the clips were made by a program; stated beside every number.
        is_annotated: Whether some of the clips have labels; without them the scale means nothing,
            and nothing can be trained or evaluated.
        targets: What is annotated besides sentiment; names are unique.
    """

    name: str
    language: str
    scale: Scale
    clips: tuple[Clip, ...]
    is_synthetic: bool = False
    is_annotated: bool = True
    targets: tuple[Target, ...] = ()

    def __repr__(self) -> str:
        """Return the name, and how many clips there are."""
        low, high = self.scale
        return (
            f"Corpus({self.name!r}: {len(self.clips)} clips, {self.language}, {low:g} to {high:g})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesSource:
    """Time series of one kind, one per clip, that a reader hands over clip by clip.

    Attributes:
        name: What the series is called in the store: ``audio``, ``video``, ``text`` (embeddings)
            or ``tokens`` (token ids, one value per step).
        size: Values per step, D.
        dtype: ``float32`` for features, ``int32`` for token ids.
        extractor: What made the values, with its version, as far as that is known.
        read: Begins a pass over the clips of the corpus, in its order: one ``(T, D)`` array per
            clip, finite; T is 0 for a clip that does not have this modality. Arrays may be views.
        feature_names: Name of each of the D values, if they are known.
        step_seconds: Time from one step to the next, if it is constant and known.
        read_times: Begins a pass over the centres of the steps, in seconds from the start of each
            clip: one ``(T,)`` array per clip; None if they are not known.
    """

    name: str
    size: int
    dtype: Literal["float32", "int32"]
    extractor: str
    read: Callable[[], Iterator[Num[np.ndarray, "_ _"]]]
    feature_names: tuple[str, ...] | None = None
    step_seconds: float | None = None
    read_times: Callable[[], Iterator[Float64[np.ndarray, " _"]]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What a reader of a corpus gives: the clips and, one clip at a time, their series.

    Attributes:
        corpus: The annotated clips.
        series: At most one source of each name.
        origin: Where it comes from, for people to read: file, its hashes, which published file
            that is; or the settings from which it was made.
        extraction: Settings with which ``mien extract`` made the series, as JSON would have them;
            None if they come from elsewhere.
    """

    corpus: Corpus
    series: tuple[SeriesSource, ...]
    origin: Mapping[str, str]
    extraction: Mapping[str, Any] | None = None

    def __repr__(self) -> str:
        """Return the corpus and the names of the series."""
        return f"Material({self.corpus!r}: {', '.join(s.name for s in self.series) or 'text'})"
