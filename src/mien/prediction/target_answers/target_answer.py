"""What is predicted of a target, such as emotion: probabilities with sets, values with intervals.

Values here are plain, as those of ``mien.prediction.answer``: they are written as JSON and read
back the same.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field

from mien.config import Settings
from mien.errors import list_some
from mien.types import Modality, Scale, Target, TargetKind

__all__ = [
    "ClassAnswer",
    "IntensitiesAnswer",
    "LabelsAnswer",
    "Level",
    "ScoreAnswer",
    "TargetAnswer",
    "TargetFacts",
    "TargetMoment",
    "TargetValue",
    "TargetWord",
    "is_missing",
    "mean_values",
    "name_labels",
    "name_set",
    "numbers_of",
    "rank",
]

#: Classes of a set that are named; of a larger one the likeliest are, and the rest is counted.
_MOST_NAMED = 4


def is_missing(value: object) -> bool:
    """Return whether there is nothing, which is then left out of JSON: no score, no targets."""
    return value is None or value in ((), {}, "")


class TargetFacts(Settings):
    """What a target is.

    Attributes:
        name: What it is called: ``emotion``, ``valence``.
        kind: What its values are: ``class``, ``labels``, ``score`` or ``intensities``.
        classes: Names of its classes; none of a score.
        scale: Range of a score or of intensities; None for classes and labels.
        level: Share of clips whose annotation should lie in a set or an interval; None without.
    """

    name: str
    kind: TargetKind
    classes: tuple[str, ...] = ()
    scale: Scale | None = None
    level: float | None = None

    @property
    def target(self) -> Target:
        """The same as stores and checkpoints have it."""
        return Target(name=self.name, kind=self.kind, classes=self.classes, scale=self.scale)


class ClassAnswer(Settings):
    """One of several classes.

    Attributes:
        kind: ``class``.
        name: The likeliest class.
        probabilities: Of every class; they sum to 1, and are as sure as they were right on
            validation clips.
        possible: The classes that cannot be ruled out, the likeliest first; None if the model was
            not calibrated.
        words: They in words: ``angry or disgusted``.
    """

    kind: Literal["class"] = "class"
    name: str
    probabilities: dict[str, float]
    possible: tuple[str, ...] | None = None
    words: str


class LabelsAnswer(Settings):
    """Any of several labels.

    Attributes:
        kind: ``labels``.
        probabilities: Of every label, that it is there.
        certain: The labels that are there, since that they are not can be ruled out; None if the
            model was not calibrated.
        possible: Those that may be there or not, the likeliest first; all others can be ruled out.
        words: They in words: ``happy; perhaps surprised``.
    """

    kind: Literal["labels"] = "labels"
    probabilities: dict[str, float]
    certain: tuple[str, ...] | None = None
    possible: tuple[str, ...] | None = None
    words: str


class Level(Settings):
    """A value on a scale.

    Attributes:
        value: Cut to the ends of the scale.
        low: Where the interval begins; None if the model was not calibrated.
        high: Where it ends.
    """

    value: float
    low: float | None = None
    high: float | None = None

    def __float__(self) -> float:
        """Return the value."""
        return self.value


class ScoreAnswer(Level):
    """A value on a scale, such as valence.

    Attributes:
        kind: ``score``.
    """

    kind: Literal["score"] = "score"


class IntensitiesAnswer(Settings):
    """A value on a scale for each of several classes.

    Attributes:
        kind: ``intensities``.
        levels: Of every class.
    """

    kind: Literal["intensities"] = "intensities"
    levels: dict[str, Level]


TargetValue = Annotated[
    ClassAnswer | LabelsAnswer | ScoreAnswer | IntensitiesAnswer, Field(discriminator="kind")
]


class TargetMoment(Settings):
    """A moment that moved the probability of the likeliest class.

    Attributes:
        modality: In which it is: a word, a stretch of the voice or of the face.
        start: When it begins, in seconds of the recording; None for a word without a time.
        end: When it ends.
        text: The word, for text; else empty, and not in JSON.
        effect: The multimodal probability of the likeliest class less what it would be without
            this moment.
    """

    modality: Modality
    start: float | None = None
    end: float | None = None
    text: str = Field(default="", exclude_if=is_missing)
    effect: float


class TargetWord(Settings):
    """A word, and its effect on the probability of the likeliest class.

    Attributes:
        text: The word with its punctuation.
        start: When it begins, in seconds of the recording; None if that is not known.
        end: When it ends.
        effect: The multimodal probability of the likeliest class less what it would be if the
            word were not said; None if it was not read, or nothing would remain.
    """

    text: str
    start: float | None = None
    end: float | None = None
    effect: float | None = None


class TargetAnswer(Settings):
    """What is predicted of a target in one utterance.

    Attributes:
        overall: From all modalities that are present; of one alone, that of the modality itself.
        unimodal: From each modality that is present, by itself.
        words: Of classes, every word of the transcript with its effect on the probability of the
            likeliest one. Not in JSON if the text is not read.
        moments: Of classes, what moved the probability of the likeliest one most: the largest
            effects first, whatever their sign, at most three of a modality. Not in JSON if there
            are none.
    """

    overall: TargetValue
    unimodal: dict[Modality, TargetValue] = Field(default_factory=dict)
    words: tuple[TargetWord, ...] = Field(default=(), exclude_if=is_missing)
    moments: tuple[TargetMoment, ...] = Field(default=(), exclude_if=is_missing)


def numbers_of(value: TargetValue, name: str) -> dict[str, float]:
    """Return the K numbers of a value, by class; that of a score has the name of the target."""
    if isinstance(value, ScoreAnswer):
        return {name: value.value}
    if isinstance(value, IntensitiesAnswer):
        return {name: level.value for name, level in value.levels.items()}
    return dict(value.probabilities)


def mean_values(
    values: Sequence[TargetValue], weights: Sequence[float], name: str
) -> dict[str, float]:
    """Return the weighted mean of the numbers of a target's values, as ``numbers_of`` names them.

    Args:
        values: Of the utterances.
        weights: How much each counts; some of them do.
        name: Of the target.
    """
    numbers, total = [numbers_of(value, name) for value in values], sum(weights)
    return {
        key: sum(w * own[key] for w, own in zip(weights, numbers, strict=True)) / total
        for key in numbers[0]
    }


def name_set(possible: Sequence[str], num_classes: int) -> str:
    """Return in words which classes cannot be ruled out, the likeliest first.

    >>> name_set(["angry"], 8), name_set(["angry", "sad"], 8), name_set(["no", "yes"], 2)
    ('angry', 'angry or sad', 'cannot tell: any of 2')
    >>> name_set(list("abcdef"), 8)
    'a, b, c or 3 others of 8'
    """
    if len(possible) == num_classes > 1:
        return f"cannot tell: any of {num_classes}"
    many = f" of {num_classes}" * (len(possible) > _MOST_NAMED)
    return f"{list_some(possible, _MOST_NAMED - 1, word='or')}{many}"


def name_labels(certain: Sequence[str], possible: Sequence[str], num_labels: int) -> str:
    """Return in words which labels are there, and which may be.

    >>> name_labels(["happy"], ["sad"], 3), name_labels([], ["happy", "sad"], 2)
    ('happy; perhaps sad', 'cannot tell: any of 2')
    >>> name_labels([], [], 3)
    'none of 3'
    """
    if len(possible) == num_labels > 1:
        return f"cannot tell: any of {num_labels}"
    parts = [list_some(certain, num_labels, word="and")] if certain else []
    parts += [f"perhaps {list_some(possible, _MOST_NAMED - 1, word='or')}"] if possible else []
    return "; ".join(parts) or f"none of {num_labels}"


def rank(probabilities: Mapping[str, float]) -> list[str]:
    """Return classes, the likeliest first."""
    return sorted(probabilities, key=lambda name: -probabilities[name])
