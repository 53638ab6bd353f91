"""What is said about a recording: scores with intervals, and what weighed most.

Values here are plain: they know no model, are written as JSON and read back the same.
"""

from typing import Any

from pydantic import Field

from mien.config import Settings
from mien.types import Modality, Scale

__all__ = [
    "Answer",
    "ModelFacts",
    "Moment",
    "Score",
    "Steps",
    "WordWeight",
    "find_conflicts",
    "name_sentiment",
]

_GRADES = ("neutral", "slightly", "", "strongly")
#: How far from neutral a score must be to speak for a side: a share of the end of the scale.
_NEUTRAL = 0.1


class Score(Settings):
    """A predicted sentiment.

    Attributes:
        value: On the scale of the model, cut to its ends.
        low: Where the interval begins; None if the model was not calibrated.
        high: Where it ends.
        words: The value in words: ``slightly positive``.
    """

    value: float
    low: float | None = None
    high: float | None = None
    words: str


class WordWeight(Settings):
    """A word and how much it weighed.

    Attributes:
        text: The word with its punctuation.
        start: When it begins, in seconds of the recording; None if that is not known.
        end: When it ends.
        weight: Its weight as a multiple of what equal weights would give it: the mean over its
            tokens; negative if it speaks against the rest; None if the model did not read it.
    """

    text: str
    start: float | None = None
    end: float | None = None
    weight: float | None


class Steps(Settings):
    """How much each moment of a series weighed.

    Attributes:
        times: Centre of each step in seconds of the recording, increasing.
        weights: Weight of each step as a multiple of what equal weights would give it.
    """

    times: tuple[float, ...]
    weights: tuple[float, ...]


class Moment(Settings):
    """One of the moments that weighed most.

    Attributes:
        modality: In which it is: a word, a piece of the voice, a frame of the face.
        start: When it begins, in seconds of the recording; None for a word without a time.
        end: When it ends.
        text: The word, for text; else empty.
        weight: Its weight as a multiple of what equal weights would give it.
    """

    modality: Modality
    start: float | None = None
    end: float | None = None
    text: str = ""
    weight: float


class Answer(Settings):
    """What is said about one utterance.

    Attributes:
        start: Where it begins in the recording, in seconds; None if there is no recording.
        end: Where it ends.
        transcript: What is said.
        score: The multimodal sentiment.
        unimodal: The sentiment of each modality that is present, judged by itself.
        absent: Why a modality that the model knows is not present.
        influence: How much the multimodal score changes by each present modality: the score less
            what it would be without the modality. Empty if only one is present.
        conflicts: Pairs of modalities that lie on opposite sides of neutral.
        words: Every word of the transcript with its weight; empty without text.
        steps: Weights over time of audio and video, where they are present.
        moments: What weighed most, the heaviest first within each modality.
    """

    start: float | None = None
    end: float | None = None
    transcript: str = ""
    score: Score
    unimodal: dict[Modality, Score]
    absent: dict[Modality, str] = Field(default_factory=dict)
    influence: dict[Modality, float] = Field(default_factory=dict)
    conflicts: tuple[tuple[Modality, Modality], ...] = ()
    words: tuple[WordWeight, ...] = ()
    steps: dict[Modality, Steps] = Field(default_factory=dict)
    moments: tuple[Moment, ...] = ()

    @property
    def present(self) -> tuple[Modality, ...]:
        """The modalities that the answer rests on."""
        return tuple(m for m in Modality if m in self.unimodal)


class ModelFacts(Settings):
    """Which model it was.

    Attributes:
        name: Name of its file.
        sha256: Of its file.
        corpus: What it was trained on.
        licence: What its weights may be used for, if it says so.
    """

    name: str
    sha256: str
    corpus: str
    licence: str = ""


def name_sentiment(value: float, scale: Scale) -> str:
    """Say a score in words: seven of them, of equal width, with 0 in the middle of ``neutral``.

    >>> name_sentiment(1.2, Scale(-3, 3)), name_sentiment(-0.9, Scale(-1, 1))
    ('slightly positive', 'strongly negative')
    >>> name_sentiment(0.1, Scale(-1, 1))
    'neutral'
    """
    share = value / (max(abs(scale.low), abs(scale.high)) or 1.0)
    grade = min(round(3 * abs(share)), 3)
    if grade == 0:
        return "neutral"
    return f"{_GRADES[grade]} {'positive' if share > 0 else 'negative'}".strip()


def find_conflicts(
    scores: dict[Modality, float], scale: Scale
) -> tuple[tuple[Modality, Modality], ...]:
    """Return the pairs of modalities that lie on opposite sides of neutral.

    A score nearer to 0 than a tenth of the end of the scale is on neither side.

    >>> find_conflicts({Modality.TEXT: 2.0, Modality.AUDIO: -1.0}, Scale(-3, 3))
    ((<Modality.TEXT: 'text'>, <Modality.AUDIO: 'audio'>),)
    """
    least = _NEUTRAL * max(abs(scale.low), abs(scale.high))
    sides = {m: (s > 0) - (s < 0) if abs(s) >= least else 0 for m, s in scores.items()}
    there = [m for m in Modality if sides.get(m)]
    return tuple(
        (a, b) for i, a in enumerate(there) for b in there[i + 1 :] if sides[a] != sides[b]
    )


def plain(value: Settings) -> dict[str, Any]:
    """Return a value as JSON would have it."""
    return value.model_dump(mode="json")
