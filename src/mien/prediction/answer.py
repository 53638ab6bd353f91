"""What is predicted of a recording: scores with intervals, and what moved them.

Values here are plain: they know no model, are written as JSON and read back the same.
"""

from collections.abc import Mapping
from itertools import combinations
from typing import Literal

from pydantic import Field

from mien.config import Settings
from mien.prediction.target_answers.target_answer import TargetAnswer, is_missing
from mien.types import MODALITY_NAMES, Modality, Scale

__all__ = [
    "Answer",
    "ModelFacts",
    "Moment",
    "PersonFacts",
    "Score",
    "SpeechFacts",
    "Steps",
    "Window",
    "WordWeight",
    "find_conflicts",
    "is_uncertain",
    "name_sentiment",
]

_GRADES = ("neutral", "slightly", "", "strongly")


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

    def __float__(self) -> float:
        """Return the value."""
        return self.value


class PersonFacts(Settings):
    """Against whom a model reads voice and face that was trained to know a person's baseline.

    Attributes:
        kind: ``recording``: every utterance against the others of its recording; ``clip``: all of
            them against another recording of the same person; ``none``: everybody alike.
        source: Name of the other recording.
        seconds: How much there is of the person, by modality.
    """

    kind: Literal["none", "recording", "clip"]
    source: str | None = None
    seconds: dict[Modality, float] = Field(default_factory=dict)

    def __str__(self) -> str:
        """Return it as a sentence."""
        amounts = [
            f"{seconds:.0f} s of {MODALITY_NAMES[modality]}"
            for modality, seconds in self.seconds.items()
            if modality is not Modality.TEXT
        ]
        amount = " and ".join(amounts)
        if self.kind == "none":
            return "baseline: none, voice and face are read without knowing the person"
        if self.kind == "clip":
            return f"baseline: {self.source} of the same person, {amount}"
        return f"baseline: the utterances of this recording as those of one person, {amount}"


class WordWeight(Settings):
    """A word, its effect on the score, and the attention to it.

    Attributes:
        text: The word with its punctuation.
        start: When it begins, in seconds of the recording; None if that is not known.
        end: When it ends.
        weight: Attention to it as a multiple of what equal weights would give it: the mean over
            its tokens; negative if it speaks against the rest. None if the word was not read, or
            the model has no attention weights.
        effect: The multimodal score less what it would be if the word were not said; None if it
            was not read, nothing would remain, or effects were not computed.
    """

    text: str
    start: float | None = None
    end: float | None = None
    weight: float | None
    effect: float | None = None


class Window(Settings):
    """A stretch of the voice or of the face, and its effect on the score.

    Attributes:
        start: When it begins, in seconds of the recording.
        end: When it ends.
        effect: The multimodal score less what it would be without the steps in this stretch.
    """

    start: float
    end: float
    effect: float


class Steps(Settings):
    """A series of the voice or of the face: the effects of its stretches, and attention to steps.

    Attributes:
        times: Centre of each step in seconds of the recording, increasing.
        weights: Attention to each step as a multiple of what equal weights would give it; empty
            if the model has no attention weights.
        windows: Stretches of equal length with a step in them, in the order of time; empty if
            effects were not computed.
    """

    times: tuple[float, ...]
    weights: tuple[float, ...] = ()
    windows: tuple[Window, ...] = ()


class Moment(Settings):
    """One of the moments that moved the score most.

    Attributes:
        modality: In which it is: a word, a stretch of the voice or of the face.
        start: When it begins, in seconds of the recording; None for a word without a time.
        end: When it ends.
        text: The word, for text; else empty.
        weight: Attention to it as a multiple of what equal weights would give it; None if it has
            none.
        effect: The multimodal score less what it would be without this moment; None in files
            that were written before effects were computed, where moments are those with the
            largest weights.
    """

    modality: Modality
    start: float | None = None
    end: float | None = None
    text: str = ""
    weight: float | None = None
    effect: float | None = None


class Answer(Settings):
    """What is said about one utterance.

    Attributes:
        start: Where it begins in the recording, in seconds; None if there is no recording.
        end: Where it ends.
        transcript: What is said.
        score: The multimodal sentiment; that of the modality itself if only one is present. None,
            and not in JSON, if the model predicts no sentiment.
        unimodal: The sentiment of each modality that is present, by itself.
        absent: Why a modality that the model knows is not present.
        influence: Contribution of each present modality: the multimodal score less what it would
            be without the modality. Empty if only one is present.
        conflicts: Pairs of modalities whose intervals do not meet.
        words: Every word of the transcript with its effect and weight; empty without text.
        steps: Effects and weights over time of audio and video, where they are present.
        moments: What moved the multimodal score most: the largest effects first, whatever their
            sign, and at most three of a modality.
        notes: What a reader of this answer should know, such as a score that rests on one moment.
        confidence: How sure the speech recogniser is of the words, from 0 to 1: the mean of their
            probabilities; None if they were not recognised.
        targets: What is predicted besides sentiment, such as emotion, by name; not in JSON if there
            is nothing.
    """

    start: float | None = None
    end: float | None = None
    transcript: str = ""
    score: Score | None = Field(default=None, exclude_if=is_missing)
    unimodal: dict[Modality, Score]
    absent: dict[Modality, str] = Field(default_factory=dict)
    influence: dict[Modality, float] = Field(default_factory=dict)
    conflicts: tuple[tuple[Modality, Modality], ...] = ()
    words: tuple[WordWeight, ...] = ()
    steps: dict[Modality, Steps] = Field(default_factory=dict)
    moments: tuple[Moment, ...] = ()
    notes: tuple[str, ...] = ()
    confidence: float | None = None
    targets: dict[str, TargetAnswer] = Field(default_factory=dict, exclude_if=is_missing)

    @property
    def present(self) -> tuple[Modality, ...]:
        """The modalities that the answer rests on."""
        of_targets = {m for target in self.targets.values() for m in target.unimodal}
        return tuple(m for m in Modality if m in self.unimodal or m in of_targets)


class SpeechFacts(Settings):
    """How the words of a recording were recognised.

    Attributes:
        recogniser: Name of the asset or of the folder.
        language: ISO 639-1 code of what is spoken; empty if it was not detected, or is not clear.
    """

    recogniser: str
    language: str = ""


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
    """Return a score in words: seven of them, of equal width, with 0 in the middle of ``neutral``.

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


def is_uncertain(score: Score, scale: Scale) -> bool:
    """Return whether a score may be positive as well as negative.

    That is so if its interval contains 0, unless all of it is called neutral.

    >>> wide = Score(value=0.3, low=-1.4, high=2.1, words="neutral")
    >>> narrow = Score(value=0.3, low=-0.1, high=0.4, words="neutral")
    >>> is_uncertain(wide, Scale(-3, 3)), is_uncertain(narrow, Scale(-3, 3))
    (True, False)
    """
    if score.low is None or score.high is None or not score.low < 0 < score.high:
        return False
    return {name_sentiment(end, scale) for end in (score.low, score.high)} != {"neutral"}


def find_conflicts(scores: Mapping[Modality, Score]) -> tuple[tuple[Modality, Modality], ...]:
    """Return the pairs of modalities that disagree: those whose intervals do not meet.

    Two modalities that may both be right do not disagree, however far apart their scores are.
    Without intervals nothing is known, and no pair is returned.

    >>> said = Score(value=2, low=1, high=3, words="positive")
    >>> shown = Score(value=-1, low=-2, high=0.5, words="slightly negative")
    >>> find_conflicts({Modality.TEXT: said, Modality.VIDEO: shown})
    ((<Modality.TEXT: 'text'>, <Modality.VIDEO: 'video'>),)
    """
    pairs = combinations([m for m in Modality if m in scores], 2)
    return tuple((a, b) for a, b in pairs if _are_apart(scores[a], scores[b]))


def _are_apart(first: Score, second: Score) -> bool:
    if first.low is None or first.high is None or second.low is None or second.high is None:
        return False
    return first.high < second.low or second.high < first.low
